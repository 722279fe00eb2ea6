"""Queries that did not finish in time, when they may be asked again, and who keeps asking such."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twinops.core.schedule import fraction
from twinops.engine.fair_slots import Key

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
SPREAD = 0.2
"""Queries that failed together come back apart by up to this share either way."""

MOST = 4096
"""Queries, and askers, that are remembered for one source."""

FORGIVING_SECONDS = 300.0
"""After so long a query that timed out counts a third towards whether its asker is slow."""

SLOW_FROM = 4.0
"""Queries that timed out of late, from which on an asker is slow; a single one that is tried again stays below."""


@dataclass(slots=True)
class _Failing:
    times: int
    until: float


class SlowQueries:
    """Remembers queries that timed out: each is left alone for a while, longer each time.

    A query that Prometheus cannot finish costs it, and everybody who asks it, the whole time-out again and again.

    Args:
        monotonic: seconds that never jump.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failing: OrderedDict[bytes, _Failing] = OrderedDict()

    def wait(self, promql: str) -> float:
        """Return the seconds until this query may be asked again, 0 where it may now."""
        failing = self._failing.get(_digest(promql))
        return 0.0 if failing is None else max(0.0, failing.until - self._monotonic())

    def failed(self, promql: str) -> float:
        """Note that a query timed out, and return the seconds until it may be asked again."""
        key = _digest(promql)
        failing = self._failing.pop(key, None) or _Failing(0, 0.0)
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failing.times, 10), LONGEST_PAUSE_SECONDS)
        pause *= 1 - SPREAD + 2 * SPREAD * fraction(promql)
        self._failing[key] = _Failing(failing.times + 1, self._monotonic() + pause)
        while len(self._failing) > MOST:
            self._failing.popitem(last=False)
        return pause

    def answered(self, promql: str) -> None:
        """Forget a query that finished."""
        if self._failing:
            self._failing.pop(_digest(promql), None)


@dataclass(slots=True)
class _Score:
    value: float
    at: float


class SlowAskers:
    """Remembers who has had many queries time out of late: these ask after all others, with half the connections.

    Turns and shares bound what one slow asker costs; this bounds what any number of them cost together.

    Args:
        monotonic: seconds that never jump.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._scores: OrderedDict[Key, _Score] = OrderedDict()

    def failed(self, who: Key) -> None:
        """Note that a query of this asker timed out."""
        value = self._value(who) + 1
        self._scores.pop(who, None)
        self._scores[who] = _Score(value, self._monotonic())
        while len(self._scores) > MOST:
            self._scores.popitem(last=False)

    def is_slow(self, who: Key) -> bool:
        """Tell whether this asker has to wait for the others."""
        return self._value(who) >= SLOW_FROM

    def _value(self, who: Key) -> float:
        score = self._scores.get(who)
        if score is None:
            return 0.0
        return score.value * math.exp(-(self._monotonic() - score.at) / FORGIVING_SECONDS)


def _digest(promql: str) -> bytes:
    return hashlib.blake2b(promql.encode(), digest_size=16).digest()
