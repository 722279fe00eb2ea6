"""The budget of status writes: which heartbeats may be written. Time is an argument.

A token bucket (J. Turner, "New directions in communications", 1986) limits the writes per second. Material writes take
a token even if there is none, so that they never wait, and heartbeats share what is left. The emptier the bucket, the
longer ago an object's last write must be for its heartbeat to be written: the oldest come first, without a queue, and
the age settles where all objects together use just the budget.
"""

from __future__ import annotations


class WriteBudget:
    """Token bucket for the status writes of the whole operator.

    Args:
        per_second: tokens that flow in per second.
        longest_gap: longest time between two writes of an object in seconds (or one interval, if that is more).
        now: monotonic seconds; the bucket starts full.
        burst_seconds: size of the bucket, as seconds of ``per_second``.
    """

    def __init__(self, per_second: float, longest_gap: float, now: float, *, burst_seconds: float = 5.0) -> None:
        self._per_second = per_second
        self._longest_gap = longest_gap
        self._capacity = max(1.0, per_second * burst_seconds)
        self._tokens = self._capacity
        self._filled_at = now

    def spend(self, now: float) -> None:
        """Take the token of a write that cannot wait; there may be fewer than none afterwards."""
        self._fill(now)
        # A larger debt would hold back heartbeats long after the burst of writes is over.
        self._tokens = max(self._tokens - 1, -self._capacity)

    def allows(self, now: float, *, age: float, interval: float) -> bool:
        """Tell whether a heartbeat may be written now; if so, its token is taken.

        Args:
            now: monotonic seconds.
            age: seconds since the object's last write.
            interval: seconds until its next sync.
        """
        self._fill(now)
        gap = max(self._longest_gap, interval)
        # A tenth more than an interval: the next sync may take longer than this one did.
        overdue = age + 1.1 * interval > gap
        old_enough = self._tokens >= 1 and age >= gap * (1 - self._tokens / self._capacity)
        if overdue or old_enough:
            self.spend(now)
            return True
        return False

    def _fill(self, now: float) -> None:
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._filled_at) * self._per_second)
        self._filled_at = max(now, self._filled_at)
