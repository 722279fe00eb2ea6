"""How soon a sync that failed is tried again: at once at first, then less and less often."""

from __future__ import annotations

from twinops.core.schedule import fraction

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
SPREAD = 0.2
"""Twins that failed together come back apart by up to this share either way."""


class Backoff:
    """Counts failures in a row, by twin uid.

    What ends a failure wakes the twin by a watch in most cases; this is for what no watch tells.

    Args:
        first: seconds until the second attempt.
        longest: seconds that no wait exceeds by more than its spread.
    """

    def __init__(self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._first = first
        self._longest = longest
        self._failures: dict[str, int] = {}

    def failed(self, uid: str, *, at_least: float = 0.0) -> float:
        """Count one failure and return the seconds until the next attempt.

        Args:
            uid: whose.
            at_least: what the other side has asked for.
        """
        count = self._failures.get(uid, 0)
        self._failures[uid] = count + 1
        seconds = min(self._first * 2.0 ** min(count, 10), self._longest)
        return max(at_least, seconds * (1 - SPREAD + 2 * SPREAD * fraction(uid)))

    def forget(self, uid: str) -> None:
        """Start anew: an attempt succeeded, or the twin is gone."""
        self._failures.pop(uid, None)
