"""How soon something that failed is tried again: soon at first, then less and less often."""

from __future__ import annotations

from enum import Enum

from twinops.core.schedule import fraction

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
SPREAD = 0.2
"""Twins that failed together come back apart by up to this share either way."""


def pause_seconds(key: str, failures: int, *, first: float, longest: float, at_least: float = 0.0) -> float:
    """Return the seconds until the next attempt: doubled with each failure, spread by ``key``.

    Args:
        key: whose, for example a UID.
        failures: how many failures in a row there were before this one.
        first: seconds after the first failure.
        longest: seconds that no pause exceeds by more than its spread.
        at_least: what the other side has asked for.
    """
    seconds = min(first * 2.0 ** min(failures, 10), longest)
    return max(at_least, seconds * (1 - SPREAD + 2 * SPREAD * fraction(key)))


class Backoff:
    """Counts failures in a row, by key.

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
        return pause_seconds(uid, count, first=self._first, longest=self._longest, at_least=at_least)

    def forget(self, uid: str) -> None:
        """Start anew: an attempt succeeded, or the object is gone."""
        self._failures.pop(uid, None)


class Failure(Enum):
    """What can fail in the syncs of a twin, with the seconds until it is tried again: at first, and in the end.

    Each kind is counted by itself, since what a success ends differs: one kind must not begin anew because another
    one succeeded. What ends a failure wakes the twin by a watch in most cases; this is for what no watch tells.
    """

    SYNC = ("sync", FIRST_SECONDS, LONGEST_SECONDS)
    """The spec cannot be used, or the API server did not answer."""
    TARGET = ("target", 8.0, LONGEST_SECONDS)
    """A target that is missing may be of a kind that no watch covers."""
    SOURCE = ("source", 30.0, 300.0)
    """The metrics backend failed; it is asked again this soon, however long the interval."""
    RESTORE = ("restore", 10.0, 120.0)
    """A saved value could not be restored."""
    WRITE = ("write", FIRST_SECONDS, LONGEST_SECONDS)
    """The status could not be written."""
    CONFLICT = ("conflict", 1.0, 30.0)
    """Somebody else wrote the twin at the same time."""
    CRASH = ("crash", 30.0, 600.0)
    """A defect of ours ended the sync."""

    def __init__(self, word: str, first: float, longest: float) -> None:
        self.word = word
        self.first = first
        self.longest = longest

    def pause_seconds(self, uid: str, failures: int, *, at_least: float = 0.0) -> float:
        """Return the seconds until the next attempt. Arguments as for ``pause_seconds``."""
        return pause_seconds(uid, failures, first=self.first, longest=self.longest, at_least=at_least)
