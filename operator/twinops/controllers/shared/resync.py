"""Keeping the index of twins true when a watch misses something: a list now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from twinops.controllers.shared.backoff import Backoff
from twinops.controllers.shared.store import TwinStore
from twinops.errors import ClusterError
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()

PERIOD_SECONDS = 300.0
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 30.0
"""Seconds until the first list is tried again: the first time, and in the end."""


class TwinLister(Protocol):
    """Lists twins."""

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return every twin of these namespaces, of all when none is named."""
        ...


class Resync:
    """Compares the index with a list of all twins.

    Twins that vanish while a watch is broken send no event; without this they would be synced for ever.

    Args:
        twins: lists them.
        index: what is known.
        gone: called for each twin that is known and no longer there.
        leaving: called with the body of each twin that is being deleted, in case its event was missed, too.
        clock: for the pauses.
        namespaces: namespaces to list, all when empty.
    """

    def __init__(
        self,
        twins: TwinLister,
        index: TwinStore,
        clock: Clock,
        *,
        gone: Callable[[TwinRef], None],
        leaving: Callable[[Mapping[str, Any]], None],
        namespaces: Sequence[str] = (),
    ) -> None:
        self._twins = twins
        self._index = index
        self._clock = clock
        self._gone = gone
        self._leaving = leaving
        self._namespaces = namespaces

    async def first(self) -> None:
        """Fill the index before any twin ticks, so that twins know their rivals. Tries until it succeeds."""
        retries = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        while True:
            try:
                await self.call()
            except ClusterError as error:
                log.warning("twins not listed", error=str(error))
                await self._clock.sleep(retries.failed("", at_least=error.retry_after or 0.0))
            else:
                return

    async def run(self) -> None:
        """Call every few minutes, for ever."""
        while True:
            await self._clock.sleep(PERIOD_SECONDS)
            try:
                await self.call()
            except ClusterError as error:
                log.warning("twins not listed", error=str(error))

    async def call(self) -> None:
        """List once and mend the index.

        Raises:
            ClusterError: the API server did not answer; nothing was changed.
        """
        # Taken before the list: a twin that comes meanwhile is in neither, and must not be dropped.
        known = list(self._index)
        listed = await self._twins.list(self._namespaces)
        there = {self._index.put(body).uid for body in listed}
        for body in listed:
            if body["metadata"].get("deletionTimestamp"):
                self._leaving(body)
        for ref in known:
            if ref.uid not in there:
                self._index.drop(ref.uid)
                self._gone(ref)
                log.info("twin vanished unseen", namespace=ref.namespace, twin=ref.name)
