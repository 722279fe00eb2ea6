"""Which twins must sync before their next slot, and why."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from twinops.core.schedule import herd_delay
from twinops.ports.process import Clock

SPACING_SECONDS = 5.0
"""A twin is synced on request this long after its last sync began, at the earliest."""

MAX_REASONS = 4
"""How many different reasons for one sync are remembered."""


class Accepted(StrEnum):
    """What became of a request, in words for an Event."""

    QUEUED = "sync requested"
    IN_PROGRESS = "sync already in progress"


@dataclass(slots=True, eq=False)
class _Twin:
    event: asyncio.Event = field(default_factory=asyncio.Event)
    reasons: tuple[str, ...] = ()
    due: float = 0.0
    syncing: bool = False
    began: float = -math.inf

    def ask(self, why: str, due: float) -> None:
        self.due = min(self.due, due) if self.reasons else due
        if why not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons = (*self.reasons, why)
        self.event.set()

    def answered(self) -> str:
        why = ", ".join(self.reasons)
        self.reasons = ()
        self.event.clear()
        return why


class WorkQueue:
    """Requests for a sync, by twin UID.

    A twin's own loop calls ``wait`` and then syncs inside ``running``; watches call ``request`` and
    ``request_all``. Requests for one twin coalesce: however many arrive, one sync answers those that
    came before it began, and one more those that came while it ran. However often somebody asks (whoever may
    edit a twin can do so many times a second), requested syncs begin some seconds apart.

    Not thread-safe: everything happens in one event loop.

    Args:
        clock: its monotonic time must be that of the event loop.
        spacing_seconds: least time from the beginning of a sync to that of a requested one.
    """

    def __init__(self, clock: Clock, *, spacing_seconds: float = SPACING_SECONDS) -> None:
        self._clock = clock
        self._spacing = spacing_seconds
        self._twins: dict[str, _Twin] = {}

    def __len__(self) -> int:
        return len(self._twins)

    def request(self, uid: str, why: str, *, delay: float = 0.0, at_once: bool = False) -> Accepted:
        """Ask for a sync.

        Args:
            uid: UID of the twin.
            why: few words for the log, for example ``spec changed``.
            delay: seconds until the sync begins, unless its slot or another request comes first.
            at_once: however short a time ago the last one began.

        Returns:
            ``IN_PROGRESS`` when a sync runs now: the request is kept and runs next.
        """
        twin = self._of(uid)
        due = self._clock.monotonic() + delay
        twin.ask(why, due if at_once else max(due, twin.began + self._spacing))
        return Accepted.IN_PROGRESS if twin.syncing else Accepted.QUEUED

    def request_all(self, uids: Collection[str], why: str) -> None:
        """Ask for a sync of many twins that share one cause, spread over a few seconds when they are many."""
        for uid in uids:
            self.request(uid, why, delay=herd_delay(uid, len(uids)))

    def rouse(self, uid: str, why: str) -> None:
        """Let the twin's own loop, where it has one, look at what has become of the twin."""
        if uid in self._twins:
            self.request(uid, why, at_once=True)

    def began(self, uid: str) -> float:
        """Return when the twin's newest sync began, in monotonic seconds; long ago where none has."""
        twin = self._twins.get(uid)
        return -math.inf if twin is None else twin.began

    def is_running(self, uid: str) -> bool:
        """Tell whether a sync of this twin runs now."""
        twin = self._twins.get(uid)
        return twin is not None and twin.syncing

    def forget(self, uid: str) -> None:
        """Drop what is known of the twin. A ``wait`` that is under way ends with None."""
        twin = self._twins.pop(uid, None)
        if twin is not None:
            twin.reasons = ()
            twin.event.set()

    async def wait(self, uid: str, timeout: float) -> str | None:  # noqa: ASYNC109 - a slot that comes is no failure
        """Sleep until a sync is asked for, at most ``timeout`` seconds.

        Returns:
            Why, when it was asked for; None when the time has passed or the twin was forgotten.
        """
        twin = self._of(uid)
        slot = self._clock.monotonic() + timeout
        while self._twins.get(uid) is twin:
            now = self._clock.monotonic()
            if twin.reasons and twin.due <= now:
                return twin.answered()
            if now >= slot:
                return None
            until = min(slot, twin.due) if twin.reasons else slot
            # Cleared although a request stands: only a more urgent one may cut this sleep short.
            twin.event.clear()
            await _set_within(twin.event, until - now)
        return None

    @contextmanager
    def running(self, uid: str) -> Iterator[None]:
        """Mark the twin as syncing; what was asked for before is answered by this sync.

        Raises:
            RuntimeError: the twin is syncing already.
        """
        twin = self._of(uid)
        if twin.syncing:
            raise RuntimeError(f"twin {uid} is syncing already")
        twin.answered()
        twin.syncing = True
        twin.began = self._clock.monotonic()
        try:
            yield
        finally:
            twin.syncing = False

    def _of(self, uid: str) -> _Twin:
        twin = self._twins.get(uid)
        if twin is None:
            twin = self._twins[uid] = _Twin()
        return twin


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
