"""Back-off for queries that timed out, and detection of requesters (twins) with many of them."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twinops.core.schedule import fraction
from twinops.engine.fair_semaphore import Key

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
SPREAD = 0.2
"""Jitter: pauses vary by up to this share either way."""

MOST = 4096
"""Number of queries, and of requesters, that are kept per source; the oldest are dropped."""

DECAY_SECONDS = 300.0
"""Time constant of the exponentially decaying count of a requester's time-outs."""

SLOW_FROM = 4.0
"""Decayed count from which a requester is slow; a single query that is retried stays below."""


@dataclass(slots=True)
class _Failing:
    times: int
    until: float


class SlowQueries:
    """Exponential back-off of queries that timed out.

    A query that Prometheus cannot finish would take a connection for the whole time-out at every sync.

    Args:
        monotonic: clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failing: OrderedDict[bytes, _Failing] = OrderedDict()

    def wait(self, promql: str) -> float:
        """Return the seconds until the query may be sent again, 0 if now."""
        if not self._failing:
            return 0.0
        failing = self._failing.get(_digest(promql))
        return 0.0 if failing is None else max(0.0, failing.until - self._monotonic())

    def failed(self, promql: str) -> float:
        """Record a time-out and return the seconds until the query may be sent again."""
        key = _digest(promql)
        failing = self._failing.pop(key, None) or _Failing(0, 0.0)
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failing.times, 10), LONGEST_PAUSE_SECONDS)
        pause *= 1 - SPREAD + 2 * SPREAD * fraction(promql)
        self._failing[key] = _Failing(failing.times + 1, self._monotonic() + pause)
        while len(self._failing) > MOST:
            self._failing.popitem(last=False)
        return pause

    def answered(self, promql: str) -> None:
        """Reset the back-off of a query that was answered."""
        if self._failing:
            self._failing.pop(_digest(promql), None)


@dataclass(slots=True)
class _Score:
    value: float
    at: float


class SlowRequesters:
    """Finds requesters with many recent time-outs: their queries run after all others, on half of the connections.

    ``FairSemaphore`` bounds the cost of one slow requester; this bounds the cost of any number of them.

    Args:
        monotonic: clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._scores: OrderedDict[Key, _Score] = OrderedDict()

    def failed(self, who: Key) -> None:
        """Record a time-out of this requester."""
        value = self._value(who) + 1
        self._scores.pop(who, None)
        self._scores[who] = _Score(value, self._monotonic())
        while len(self._scores) > MOST:
            self._scores.popitem(last=False)

    def is_slow(self, who: Key) -> bool:
        """Whether this requester's queries run after those of others."""
        return self._value(who) >= SLOW_FROM

    def _value(self, who: Key) -> float:
        score = self._scores.get(who)
        if score is None:
            return 0.0
        return score.value * math.exp(-(self._monotonic() - score.at) / DECAY_SECONDS)


def _digest(promql: str) -> bytes:
    return hashlib.blake2b(promql.encode(), digest_size=16).digest()
