"""How soon something that failed is tried again: one table, and one counter per object."""

from __future__ import annotations

from enum import Enum

from twinops.core.schedule import fraction

SPREAD = 0.2
"""Objects that failed together are tried again apart by up to this share of the pause either way."""

_MOST_DOUBLINGS = 10


class Failure(Enum):
    """What can fail, with the seconds until it is tried again: after the first failure, and at most.

    Each kind is counted by itself, since what a success ends differs: one kind must not begin anew because another
    one succeeded. In most cases a watch event wakes a twin when the cause of its failure has ended; the pauses are for
    causes that no watch event reports.
    """

    SYNC = ("sync", 5.0, 60.0)
    """The spec cannot be used, or the API server did not answer."""
    TARGET = ("target", 8.0, 60.0)
    """A target that is missing may be of a kind that is not watched."""
    SOURCE = ("source", 30.0, 300.0)
    """The metrics backend failed; it is queried again this soon, however long the interval."""
    RESTORE = ("restore", 10.0, 120.0)
    """A saved value could not be restored."""
    WRITE = ("write", 5.0, 60.0)
    """The status could not be written."""
    CONFLICT = ("conflict", 1.0, 30.0)
    """Somebody else wrote the twin at the same time."""
    CRASH = ("crash", 30.0, 600.0)
    """A defect of ours ended the sync."""
    LIST = ("list", 2.0, 30.0)
    """The first list of all twins failed."""
    PROBE = ("probe", 5.0 / (1 + SPREAD), 15.0 / (1 + SPREAD))
    """A MetricsSource did not answer a probe, or its status could not be written. The times hold with the spread."""
    DELETION = ("deletion", 3.0, 15.0)
    """The saved values of a twin that is being deleted could not be restored."""
    FINALIZER = ("finalizer", 5.0, 30.0)
    """The daemon's finalizer could not be taken off a twin that is being deleted."""

    def __init__(self, word: str, first: float, longest: float) -> None:
        self.word = word
        self.first = first
        self.longest = longest

    def pause_seconds(self, key: str, failures: int, *, at_least: float = 0.0) -> float:
        """Return the seconds until the next attempt: doubled with each failure, spread by ``key``.

        Args:
            key: of what failed, for example a UID.
            failures: number of failures in a row before this one.
            at_least: seconds that the other side has asked for, for example by ``Retry-After``.
        """
        seconds = min(self.first * 2.0 ** min(failures, _MOST_DOUBLINGS), self.longest)
        return max(at_least, seconds * (1 - SPREAD + 2 * SPREAD * fraction(key)))


class Backoff:
    """Counts the failures of one object, in a row and by kind.

    Args:
        key: by which the pauses of different objects are spread, for example a UID.
    """

    __slots__ = ("_failures", "_key")

    def __init__(self, key: str) -> None:
        self._key = key
        self._failures: dict[Failure, int] = {}

    def failed(self, what: Failure, *, at_least: float = 0.0) -> float:
        """Count one failure and return the seconds until the next attempt, at least ``at_least``."""
        count = self._failures.get(what, 0)
        self._failures[what] = count + 1
        return what.pause_seconds(self._key, count, at_least=at_least)

    def succeeded(self, *what: Failure) -> None:
        """Start counting these kinds of failures anew."""
        for one in what:
            self._failures.pop(one, None)

    def reset(self) -> None:
        """Start counting all kinds of failures anew."""
        self._failures.clear()
