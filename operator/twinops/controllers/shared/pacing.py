"""How many first syncs may run at once, so that a thousand new twins do not hold up those that are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from twinops.engine.fair_semaphore import FairSemaphore, Permit
from twinops.ports.process import Clock

TICK_SECONDS = 0.1
"""Pause between two measurements of the event loop's lag."""

BUSY_SECONDS = 0.25
"""A lag from which on fewer first syncs are admitted."""

LENT_SECONDS = 1.0
"""A first sync that takes longer than this lends its place."""

FIRST_AT_ONCE = 4
"""First syncs that are admitted at once before anything has been measured."""


class FirstSyncs:
    """Admits first syncs: additive increase, multiplicative decrease, by the event loop's lag.

    The first sync of a twin, and the first one of each new spec, costs several times as much as later ones: nothing is
    known of its queries and its history. Twice as many are admitted at once after each round that the loop has borne,
    once it has lagged one more; half as many after a lag of ``BUSY_SECONDS``; one always is, so that new twins are
    served under any load. What is not admitted waits; nothing that has begun is thrown away.

    Args:
        clock: its monotonic time must be that of the event loop.
        most: first syncs that are admitted at once, at most.
        lagged: called with each measured lag, in seconds.
    """

    def __init__(self, clock: Clock, *, most: int, lagged: Callable[[float], None] = lambda _: None) -> None:
        self._clock = clock
        self._most = max(1, most)
        self._limit = float(min(FIRST_AT_ONCE, self._most))
        self._has_lagged = False
        self._lag = 0.0
        self._lagged = lagged
        self._permits = FairSemaphore(int(self._limit))
        self._resize()

    @property
    def limit(self) -> int:
        """First syncs that are admitted at once now."""
        return int(self._limit)

    async def run(self) -> None:
        """Measure the lag of the event loop, until cancelled."""
        while True:
            began = self._clock.monotonic()
            await self._clock.sleep(TICK_SECONDS)
            self.measured(self._clock.monotonic() - began - TICK_SECONDS)

    def measured(self, lag: float) -> None:
        """Note by how many seconds the event loop was late."""
        self._lag = lag
        self._lagged(lag)
        if lag >= BUSY_SECONDS:
            self._has_lagged = True
            self._limit = max(1.0, self._limit / 2)
            self._resize()

    @asynccontextmanager
    async def place(self, source: str) -> AsyncIterator[None]:
        """Wait until a first sync may begin, and hold its place while the body runs.

        A sync that lasts longer than ``LENT_SECONDS`` waits for others: its place goes to the next one, unless the loop
        is what it waits for.

        Args:
            source: name of the twin's MetricsSource; first syncs of several are admitted by turns.
        """
        permit = await self._permits.acquire((source,))
        loop = asyncio.get_running_loop()

        lending: asyncio.TimerHandle

        def lend() -> None:
            nonlocal lending
            if self._lag < BUSY_SECONDS:
                self._left(permit)
            else:
                lending = loop.call_later(LENT_SECONDS, lend)

        lending = loop.call_later(LENT_SECONDS, lend)
        try:
            yield
        finally:
            lending.cancel()
            self._left(permit)

    def _left(self, permit: Permit) -> None:
        if permit.release():
            step = 1 / self._limit if self._has_lagged else 1.0
            self._limit = min(float(self._most), self._limit + step)
            self._resize()

    def _resize(self) -> None:
        self._permits.resize(self.limit, spare=(self.limit // 4,))
