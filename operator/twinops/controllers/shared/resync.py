"""Corrects the store of twins by a list of all twins every few minutes, since a watch may miss events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import structlog

from twinops.controllers.shared.backoff import Backoff, Failure
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.errors import ClusterError
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()

PERIOD_SECONDS = 300.0
"""Seconds between two lists."""

AT_ONCE = 50
"""Twins that are parsed before other tasks may run: less than a millisecond each."""


class TwinLister(Protocol):
    """Lists twins."""

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return every twin of these namespaces, of all when none is named."""
        ...


class Resync:
    """Compares the store with a list of all twins.

    A twin that is deleted while a watch is broken causes no event, and would be synced for ever otherwise. One whose
    creation was missed, or whose daemon has died, would never be synced.

    Args:
        twins: lists them.
        store: the records; those of twins that are not listed are dropped.
        gone: called with each twin that was dropped; its own event, if one follows, finds it dropped already.
        deleting: called with each twin that is being deleted, in case its event was missed, too.
        clock: for the pauses.
        idle: called with each twin that two lists in a row have found without a daemon.
        namespaces: namespaces to list, all when empty.
    """

    def __init__(
        self,
        twins: TwinLister,
        store: TwinStore,
        clock: Clock,
        *,
        gone: Callable[[TwinRecord], None],
        deleting: Callable[[TwinRecord], None],
        idle: Callable[[TwinRef], None] = lambda _: None,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._twins = twins
        self._store = store
        self._clock = clock
        self._gone = gone
        self._deleting = deleting
        self._idle = idle
        self._namespaces = namespaces

    async def first(self) -> None:
        """Fill the store before the first sync, which must find the twin's rivals in it. Tries until it succeeds."""
        backoff = Backoff("")
        while True:
            try:
                await self.call()
            except ClusterError as error:
                log.warning("twins not listed", error=str(error))
                await self._clock.sleep(backoff.failed(Failure.LIST, at_least=error.retry_after or 0.0))
            else:
                return

    async def run(self) -> None:
        """List every ``PERIOD_SECONDS``, until cancelled."""
        while True:
            await self._clock.sleep(PERIOD_SECONDS)
            try:
                await self.call()
            except ClusterError as error:
                log.warning("twins not listed", error=str(error))

    async def call(self) -> None:
        """List once and correct the store.

        Raises:
            ClusterError: the API server did not answer; nothing was changed.
        """
        # Taken before the list: a twin that comes meanwhile is in neither, and must not be dropped.
        known = [record.ref for record in self._store]
        listed = await self._twins.list(self._namespaces)
        there = set[str]()
        for number, body in enumerate(listed):
            there.add(self._store.put(body).ref.uid)
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        self._check(there)
        for ref in known:
            if ref.uid not in there:
                if (record := self._store.drop(ref.uid)) is not None:
                    self._gone(record)
                log.info("twin vanished unseen", namespace=ref.namespace, twin=ref.name)

    def _check(self, uids: Collection[str]) -> None:
        """Tell of the twins that are being deleted, and of those without a daemon."""
        for uid in uids:
            record = self._store.get(uid)
            if record is None:
                continue
            if record.object.deleting:
                self._deleting(record)
            elif not record.has_daemon:
                # Twice, since the daemon of a new twin may be about to start.
                if record.daemon.found_missing:
                    log.warning("daemon restarted", namespace=record.ref.namespace, twin=record.ref.name)
                    self._idle(record.ref)
                record.daemon.found_missing = True
