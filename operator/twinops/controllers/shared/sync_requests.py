"""The requests of one twin for a sync before its next slot."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

MAX_REASONS = 4
"""How many different reasons for one sync are kept."""


@dataclass(slots=True, eq=False)
class SyncRequests:
    """The requests that no sync has answered yet. ``WorkQueue`` says when they are due.

    Attributes:
        reasons: why a sync was requested, a few words each; empty when none is.
        due: monotonic seconds at which the requested sync begins.
        syncing: whether a sync runs now.
        began: monotonic seconds when the newest sync began.
        waiter: done when a request arrives, or the twin's daemon has ended; None while the daemon does not wait.
        closed: whether the daemon has ended.
    """

    reasons: tuple[str, ...] = ()
    due: float = 0.0
    syncing: bool = False
    began: float = -math.inf
    waiter: asyncio.Future[None] | None = None
    closed: bool = False

    def add(self, why: str, due: float) -> None:
        """Add a request; of several, the earliest decides when the sync begins.

        Args:
            why: a few words for the log.
            due: monotonic seconds.
        """
        self.due = min(self.due, due) if self.reasons else due
        if why not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons = (*self.reasons, why)
        self._notify()

    def take(self) -> str:
        """Remove all requests, and return their reasons."""
        why = ", ".join(self.reasons)
        self.reasons = ()
        return why

    def close(self) -> None:
        """Remove all requests, and end a wait that is under way."""
        self.reasons, self.closed = (), True
        self._notify()

    async def wait(self, seconds: float) -> None:
        """Sleep until the next request, at most so long."""
        # A future and a timer: thousands of twins sleep at the same time, so a sleep needs no task.
        loop = asyncio.get_running_loop()
        self.waiter = loop.create_future()
        timer = loop.call_later(max(seconds, 1e-6), self._notify)
        try:
            await self.waiter
        finally:
            timer.cancel()
            self.waiter = None

    def _notify(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
