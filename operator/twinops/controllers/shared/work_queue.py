"""Which twins must sync before their next slot, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum

from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.core.schedule import herd_delay
from twinops.ports.process import Clock

SPACING_SECONDS = 5.0
"""A twin is synced on request this long after its last sync began, at the earliest."""


class Accepted(StrEnum):
    """What became of a request."""

    QUEUED = "sync requested"
    IN_PROGRESS = "sync already in progress"


class WorkQueue:
    """Requests for a sync. They are kept in the records of the twins.

    A request names a twin by its UID; a request for a twin that the store does not have is ignored. A twin's own
    daemon calls ``wait`` and then syncs inside ``running``, with its record. Requests for one twin coalesce: however
    many arrive, one sync answers those that came before it began, and one more those that came while it ran. However
    often somebody asks (whoever may edit a twin can do so many times a second), requested syncs begin some seconds
    apart.

    Not thread-safe: everything happens in one event loop.

    Args:
        store: the records.
        clock: its monotonic time must be that of the event loop.
        spacing_seconds: least time from the beginning of a sync to that of a requested one.
    """

    def __init__(self, store: TwinStore, clock: Clock, *, spacing_seconds: float = SPACING_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._spacing = spacing_seconds

    def request(self, uid: str, why: str, *, delay: float = 0.0, at_once: bool = False) -> Accepted:
        """Ask for a sync.

        Args:
            uid: the twin's.
            why: few words for the log, for example ``spec changed``.
            delay: seconds until the sync begins, unless its slot or another request comes first.
            at_once: however short a time ago the last one began.

        Returns:
            ``IN_PROGRESS`` when a sync runs now: the request is kept and runs next.
        """
        record = self._store.get(uid)
        if record is None:
            return Accepted.QUEUED
        requests = record.daemon.requests
        due = self._clock.monotonic() + delay
        requests.add(why, due if at_once else max(due, requests.began + self._spacing))
        return Accepted.IN_PROGRESS if requests.syncing else Accepted.QUEUED

    def request_all(self, uids: Collection[str], why: str) -> None:
        """Ask for a sync of many twins that share one cause, spread over a few seconds when they are many."""
        for uid in uids:
            self.request(uid, why, delay=herd_delay(uid, len(uids)))

    def is_running(self, uid: str) -> bool:
        """Tell whether a sync of this twin runs now."""
        record = self._store.get(uid)
        return record is not None and record.daemon.requests.syncing

    async def wait(self, record: TwinRecord, timeout: float) -> str | None:  # noqa: ASYNC109 - a slot that comes is no failure
        """Sleep until a sync is asked for, at most ``timeout`` seconds.

        Returns:
            Why, when it was asked for; None when the time has passed, or the twin or its daemon has gone.
        """
        if self._store.get(record.ref.uid) is not record:
            return None
        requests = record.daemon.requests
        slot = self._clock.monotonic() + timeout
        while not requests.closed:
            now = self._clock.monotonic()
            if requests.reasons and requests.due <= now:
                return requests.take()
            if now >= slot:
                return None
            # A request that is not due yet does not end this sleep: only a more urgent one does.
            until = min(slot, requests.due) if requests.reasons else slot
            await requests.wait(until - now)
        return None

    @contextmanager
    def running(self, record: TwinRecord) -> Iterator[None]:
        """Mark the twin as syncing; what was asked for before is answered by this sync.

        Raises:
            RuntimeError: the twin is syncing already.
        """
        requests = record.daemon.requests
        if requests.syncing:
            raise RuntimeError(f"twin {record.ref.uid} is syncing already")
        requests.take()
        requests.syncing = True
        requests.began = self._clock.monotonic()
        try:
            yield
        finally:
            requests.syncing = False
