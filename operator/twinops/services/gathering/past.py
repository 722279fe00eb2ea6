"""A twin's past: what is known of it, and what is still to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from twinops.core.observation import Floats, Sample
from twinops.services.gathering.grid import Grid
from twinops.services.ports import RangeAnswer, RangeQuery, SourceAccess

MAX_POINTS = 10_000
"""Slots of history per metric; also what one range query may ask for."""

_MOST_PIECES = 16
"""A past that cannot be read at once is read in up to so many pieces."""

_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 3600.0
"""Seconds until a query that failed is asked again: twice as many after every further failure."""

_GIVEN_UP_AFTER = 3
"""Failures in a row after which a past that cannot be read is done without; one that is refused is at once."""

_WHATEVER_THE_LENGTH = frozenset({"bad_data", "result_type"})
"""Refusals that a shorter range would meet, too."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the whole past of a twin depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    step: int
    size: int

    @classmethod
    def of(cls, source: SourceAccess, step: int, history_seconds: int, depth: int) -> Shape:
        """Return the shape for this source, step and length, all times in seconds; at most ``depth`` slots."""
        headers = tuple(sorted(source.spec.headers.items()))
        size = min(history_seconds // step + 1, depth, MAX_POINTS)
        return cls(source.name, source.spec.url, headers, step, size)


class Track:
    """One metric's past.

    Attributes:
        failures: how often in a row Prometheus could not be asked for it.
    """

    def __init__(self, promql: str, grid: Grid) -> None:
        self.promql = promql
        self.grid = grid
        self.failures = 0
        # First and last slot between which nothing is missing that Prometheus could tell.
        self._read: tuple[int, int] | None = None
        self._last_good: int | None = None
        self._reach = grid.size
        self._failed_at = 0.0
        self._given_up = False

    def take_in(self, sample: Sample, slot: int) -> None:
        """Move on to this slot, and set it where the sample is good."""
        if self.grid.newest is not None and slot < self.grid.newest:
            # A clock that was ahead has pushed out the oldest part.
            self._read = self._last_good = None
        self.grid.advance(slot)
        if not sample.actionable or sample.value is None:
            return
        self.grid.put(slot, sample.value)
        self._last_good = slot
        if self._read is not None and slot <= self._read[1] + 1:
            self._read = (self._read[0], slot)

    def missing(self) -> tuple[int, int] | None:
        """Return the first and last slot that are next to be read from Prometheus, None when nothing is."""
        newest = self.grid.newest
        if newest is None:
            return None
        first = newest - self.grid.size + 1
        last = newest
        if self._read is not None:
            if self._last_good is not None and self._last_good > self._read[1] + 1:
                first = max(first, self._read[1] + 1)
            elif first < self._read[0]:
                last = self._read[0] - 1
            else:
                return None
        return max(first, last - self._reach + 1), last

    @property
    def complete(self) -> bool:
        """Tell whether the past is there as far as it can be had."""
        return self._given_up or self.missing() is None

    def rests(self, now: float) -> bool:
        """Tell whether the last failure is too fresh to ask again. A clock that went back ends the rest."""
        pause = min(_FIRST_PAUSE * 2.0 ** min(self.failures - 1, 10), _LONGEST_PAUSE)
        return self.failures > 0 and 0 <= now - self._failed_at < pause

    def fill(self, first: int, last: int, times: Floats, values: Floats) -> None:
        """Take in what was read between two slots."""
        self.failures, self._given_up = 0, False
        self.grid.merge(times, values)
        if self.grid.newest is None or last > self.grid.newest:
            return  # the clock went back meanwhile: read again
        if self._read is None or first > self._read[1] + 1:
            self._read = (first, last)
        else:
            self._read = (min(first, self._read[0]), max(last, self._read[1]))

    def fail(self, now: float, *, refused: bool, shorten: bool) -> None:
        """Rest after a failure.

        Args:
            now: Unix seconds.
            refused: whether the query itself was refused, as it will be again.
            shorten: whether to ask for half as much next time.
        """
        self.failures += 1
        self._failed_at = now
        self._given_up = refused or self.failures >= _GIVEN_UP_AFTER
        if shorten:
            self._reach = max(self._reach // 2, self.grid.size // _MOST_PIECES, 1)


class Twin:
    """One twin's past."""

    def __init__(self, shape: Shape, source: SourceAccess, phase: float) -> None:
        self.shape = shape
        self.source = source
        self.tracks: dict[str, Track] = {}
        self.now = phase
        self._phase = phase

    def take_in(self, queries: Mapping[str, str], samples: Mapping[str, Sample], now: float) -> None:
        """Take in one sync; a metric whose query is another one begins anew."""
        self.now = now
        self.tracks = {metric: track for metric, track in self.tracks.items() if metric in samples}
        for metric, promql in queries.items():
            if metric in samples and (metric not in self.tracks or self.tracks[metric].promql != promql):
                grid = Grid(self.shape.step, self._phase, self.shape.size)
                self.tracks[metric] = Track(promql, grid)
        for metric, track in self.tracks.items():
            track.take_in(samples[metric], track.grid.slot(now))

    @property
    def complete(self) -> bool:
        """Tell whether everything is there as far as it can be had."""
        return all(track.complete for track in self.tracks.values())

    def wanted(self) -> list[Wanted]:
        """Return what is to be read from Prometheus now, possibly nothing."""
        awake = {metric: track for metric, track in self.tracks.items() if not track.rests(self.now)}
        found = ((metric, track, track.missing()) for metric, track in awake.items())
        return [Wanted(metric, track, *slots) for metric, track, slots in found if slots is not None]


class Wanted:
    """One range query that is due.

    Attributes:
        suspect: whether it failed last time, so that it must not be asked together with others.
    """

    def __init__(self, metric: str, track: Track, first: int, last: int) -> None:
        self.metric = metric
        self.suspect = track.failures > 0
        self._track = track
        self._first, self._last = first, last
        grid = track.grid
        self.query = RangeQuery(track.promql, grid.time(first), grid.time(last), float(grid.step))

    def take_in(self, answer: RangeAnswer, now: float) -> None:
        """Fill in what was read."""
        if answer.error:
            refused = answer.error in _WHATEVER_THE_LENGTH
            self._track.fail(now, refused=refused, shorten=not refused)
        else:
            self._track.fill(self._first, self._last, *_joined(answer))

    def unanswered(self, now: float) -> None:
        """Note that there was no answer at all. It takes one that fails alone to blame its length."""
        self._track.fail(now, refused=False, shorten=self.suspect)


def _joined(answer: RangeAnswer) -> tuple[Floats, Floats]:
    """Join the series of a query that gave another one at another time; where two overlap, nothing is known."""
    if not answer.series:
        return np.empty(0), np.empty(0)
    times = np.concatenate([times for times, _values in answer.series])
    values = np.concatenate([values for _times, values in answer.series])
    different, index, count = np.unique(times, return_index=True, return_counts=True)
    return different, np.where(count == 1, values[index], np.nan)
