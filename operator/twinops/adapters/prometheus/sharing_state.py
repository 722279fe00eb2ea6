"""What an endpoint has learned about joining queries: how many at a time, and which not at all."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_REMEMBERED = 65_536
"""Queries that one memory holds; the oldest are dropped."""


LEAST = 8
"""Queries that are joined however slow the answers are: a few slow ones among many must not undo the joining of all."""


class Remembered:
    """Queries that are remembered for some time, by the hash of their text.

    Two texts with the same hash would be taken for one another, which costs a request more.

    Args:
        seconds: for how long.
        monotonic: clock in seconds.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._until: OrderedDict[int, float] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        if not self._until:
            return False
        key = hash(text)
        until = self._until.get(key)
        if until is None or until > self._monotonic():
            return until is not None
        del self._until[key]
        return False

    def add(self, text: str) -> None:
        """Remember a text from now on."""
        key = hash(text)
        self._until.pop(key, None)
        self._until[key] = self._monotonic() + self._seconds
        while len(self._until) > MOST_REMEMBERED:
            self._until.popitem(last=False)

    def discard(self, text: str) -> None:
        """Forget a text."""
        if self._until:
            self._until.pop(hash(text), None)


class BatchSize:
    """How many queries are joined at most: half as many after a slow answer, some more after a quick one.

    Additive increase and multiplicative decrease, as in TCP (RFC 5681).

    Args:
        first: to begin with.
        most: upper bound.
        step: what is added after a quick answer to as many as were allowed.
    """

    def __init__(self, first: int = 64, most: int = 256, step: int = 32) -> None:
        self.texts = first
        self._most = most
        self._step = step

    def quick(self, count: int) -> None:
        """Take note of a quick answer to so many joined queries."""
        if count >= self.texts:
            self.texts = min(self._most, self.texts + self._step)

    def slow(self, count: int) -> None:
        """Take note of a slow answer, or none, to so many joined queries."""
        # A batch that was sent before an earlier cut tells nothing new.
        if count <= self.texts:
            self.texts = max(LEAST, count // 2)


class Allowance:
    """A token bucket.

    Args:
        per_second: tokens that are added each second.
        most: tokens that it holds, also to begin with.
        monotonic: clock in seconds.
    """

    def __init__(self, per_second: float, most: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = self._left = most
        self._monotonic = monotonic
        self._at = monotonic()

    def take(self, count: int) -> bool:
        """Take so many tokens, or none where there are fewer."""
        now = self._monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True
