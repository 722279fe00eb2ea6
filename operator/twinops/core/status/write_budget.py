"""Which heartbeats the write budget leaves room for. Pure: time is an argument.

A token bucket (Turner 1986) holds what may still be written. Material writes take their token
whether or not one is there, so they are never held back and heartbeats get what they leave. The
emptier the bucket, the longer ago an object's last write must be for its heartbeat to pass: the oldest
go first, without a queue, at the age at which all objects together use just the budget.
"""

from __future__ import annotations


class WriteBudget:
    """Writes per second for the whole operator.

    Args:
        per_second: tokens that flow in per second.
        longest_gap: seconds that two writes of an object may lie apart (or one interval, if that is more).
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
        """Take the token of a write that cannot wait, in advance if need be."""
        self._fill(now)
        # A debt older than the bucket would only silence heartbeats for what is long over.
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
