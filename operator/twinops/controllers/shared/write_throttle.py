"""Limits the status writes of one kind: by a budget, and by the pauses that the API server asks for."""

from __future__ import annotations

from twinops.core.schedule import fraction
from twinops.core.status.write_budget import WriteBudget
from twinops.errors import Unavailable
from twinops.ports.process import Clock

PATIENCE_SECONDS = 5.0
"""The longest a write waits because the API server asked for a pause."""

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""The pause after a failure for which the API server named none: after the first failure, and at most."""

INTERNAL_ERROR = 500
"""HTTP status when only this object could not be written, for example because of a webhook: others do not pause."""

SPREAD = 0.25
"""Writes that waited for the same pause continue apart by up to this share of it."""


class WriteThrottle:
    """Decides when a status may be written.

    Args:
        clock: monotonic time.
        per_second: status writes for all objects together.
        heartbeat_seconds: longest time between two writes of one object.
    """

    def __init__(self, clock: Clock, *, per_second: float = 50.0, heartbeat_seconds: float = 300.0) -> None:
        self._clock = clock
        self._budget = WriteBudget(per_second, heartbeat_seconds, clock.monotonic())
        self._quiet_until = clock.monotonic()
        self._pauses = 0

    def spend(self) -> None:
        """Count a write that cannot wait for the budget."""
        self._budget.spend(self._clock.monotonic())

    def allows_heartbeat(self, *, age: float, interval: float) -> bool:
        """Tell whether a heartbeat may be written now; if so, it is counted.

        Args:
            age: seconds since the object's last write.
            interval: seconds until its next sync.
        """
        now = self._clock.monotonic()
        return now >= self._quiet_until and self._budget.allows(now, age=age, interval=interval)

    async def wait(self, uid: str) -> None:
        """Wait until the pause that the API server asked for is over, and a little longer, spread by uid.

        Raises:
            Unavailable: the pause is longer than a write waits.
        """
        pause = self._quiet_until - self._clock.monotonic()
        if pause > PATIENCE_SECONDS:
            raise Unavailable("the API server asked for a pause", retry_after=pause)
        if pause > 0:
            await self._clock.sleep(pause * (1 + SPREAD * fraction(uid)))

    def succeeded(self) -> None:
        """Note a write that succeeded: the next failure causes the shortest pause again."""
        self._pauses = 0

    def failed(self, error: Unavailable) -> None:
        """Begin a pause for all writes, as long as the API server asked for, else longer after each failure."""
        if error.status == INTERNAL_ERROR:
            return
        now = self._clock.monotonic()
        # Writes that were under way together fail together: that is one failure.
        if now >= self._quiet_until:
            self._pauses += 1
        own = min(PAUSE_SECONDS * 2.0 ** min(self._pauses - 1, 10), LONGEST_PAUSE_SECONDS)
        pause = own if error.retry_after is None else error.retry_after
        self._quiet_until = max(self._quiet_until, now + pause)
