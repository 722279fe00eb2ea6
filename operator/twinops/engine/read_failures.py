"""How often in a row the history of one metric could not be read, and what follows from it."""

from __future__ import annotations

from twinops.core.metrics.queries import PARTIAL
from twinops.ports.metrics import NO_STORE


class ReadFailures:
    """Failed reads of one metric's history since the last one that succeeded: backoff, size of the next, giving up.

    Attributes:
        given_up: whether the history counts as complete without this metric; it is still asked for now and then.
    """

    _FIRST_PAUSE = 60.0
    _LONGEST_PAUSE = 3600.0
    _GIVEN_UP_AFTER = 3
    _MAX_PIECES = 16
    _REFUSALS = frozenset({"bad_data", "result_type"})
    """Errors that a shorter range would meet, too."""
    _STORE_FAULTS = frozenset({PARTIAL, NO_STORE})
    """Errors that pass by themselves and have nothing to do with the query or its length."""

    def __init__(self) -> None:
        self.given_up = False
        self._count = 0
        self._at = 0.0
        self._pieces = 1

    @property
    def pieces(self) -> int:
        """Number of range queries that the next read is split into."""
        return self._pieces

    def backing_off(self, now: float) -> bool:
        """Tell whether the last failure is too recent to read again. A clock that was set back ends the backoff.

        Args:
            now: Unix seconds.
        """
        pause = min(self._FIRST_PAUSE * 2.0 ** min(self._count - 1, 10), self._LONGEST_PAUSE)
        return self._count > 0 and 0 <= now - self._at < pause

    def add(self, now: float, error: str) -> None:
        """Count a failure.

        Args:
            now: Unix seconds.
            error: ``errorType`` of the refusal, empty when there was no answer at all.
        """
        # The first read without an answer was sent together with other metrics: any of them may have been too long.
        too_long = bool(error) or self._count > 0
        self._count += 1
        self._at = now
        refused = error in self._REFUSALS
        self.given_up = refused or self._count >= self._GIVEN_UP_AFTER
        if too_long and not refused and error not in self._STORE_FAULTS:
            self._pieces = min(2 * self._pieces, self._MAX_PIECES)
