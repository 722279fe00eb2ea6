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


@dataclass(frozen=True, slots=True)
class Shape:
    """What the whole past of a twin depends on. Credentials do not: tokens change by the hour."""

    source: str
    url: str
    headers: tuple[tuple[str, str], ...]
    step: int
    size: int

    @classmethod
    def of(cls, source: SourceAccess, step: int, history_seconds: int) -> Shape:
        """Return the shape for this source, step and length, all times in seconds."""
        headers = tuple(sorted(source.spec.headers.items()))
        return cls(source.name, source.spec.url, headers, step, min(history_seconds // step + 1, MAX_POINTS))


class Track:
    """One metric's past.

    Attributes:
        covered: the last slot up to which nothing is missing that Prometheus could tell; None at first.
    """

    def __init__(self, promql: str, grid: Grid) -> None:
        self.promql = promql
        self.grid = grid
        self.covered: int | None = None
        self.last_good: int | None = None

    def take_in(self, sample: Sample, slot: int) -> None:
        """Move on to this slot, and set it where the sample is good."""
        if self.grid.newest is not None and slot < self.grid.newest:
            # A clock that was ahead has pushed out the oldest part.
            self.covered = self.last_good = None
        self.grid.advance(slot)
        if not sample.actionable or sample.value is None:
            return
        self.grid.put(slot, sample.value)
        self.last_good = slot
        if self.covered is not None and slot <= self.covered + 1:
            self.covered = slot

    def missing_from(self) -> int | None:
        """Return the first slot to be read from Prometheus, None when nothing is."""
        newest = self.grid.newest
        if newest is None:
            return None
        oldest = newest - self.grid.size + 1
        if self.covered is None:
            return oldest
        behind = self.last_good is not None and self.last_good > self.covered + 1
        return max(self.covered + 1, oldest) if behind else None


class Twin:
    """One twin's past."""

    def __init__(self, shape: Shape, source: SourceAccess, phase: float) -> None:
        self.shape = shape
        self.source = source
        self.tracks: dict[str, Track] = {}
        self._phase = phase

    def take_in(self, queries: Mapping[str, str], samples: Mapping[str, Sample], now: float) -> None:
        """Take in one sync; a metric whose query is another one begins anew."""
        self.tracks = {metric: track for metric, track in self.tracks.items() if metric in samples}
        for metric, promql in queries.items():
            if metric in samples and (metric not in self.tracks or self.tracks[metric].promql != promql):
                grid = Grid(self.shape.step, self._phase, self.shape.size)
                self.tracks[metric] = Track(promql, grid)
        for metric, track in self.tracks.items():
            track.take_in(samples[metric], track.grid.slot(now))

    def wanted(self) -> list[Wanted]:
        """Return what is to be read from Prometheus, possibly nothing."""
        found = ((metric, track, track.missing_from()) for metric, track in self.tracks.items())
        return [Wanted(metric, track, first) for metric, track, first in found if first is not None]


class Wanted:
    """One range query that is due."""

    def __init__(self, metric: str, track: Track, first: int) -> None:
        self.metric = metric
        self._track = track
        grid = track.grid
        self._last = first if grid.newest is None else grid.newest
        self.query = RangeQuery(track.promql, grid.time(first), grid.time(self._last), float(grid.step))

    def take_in(self, answer: RangeAnswer) -> None:
        """Fill in what was read."""
        self._track.grid.merge(*_joined(answer))
        newest = self._track.grid.newest
        if newest is not None and self._last <= newest:  # else the clock went back meanwhile: read again
            self._track.covered = max(self._last, self._track.covered or self._last)


def _joined(answer: RangeAnswer) -> tuple[Floats, Floats]:
    """Join the series of a query that gave another one at another time; where two overlap, nothing is known."""
    if not answer.series:
        return np.empty(0), np.empty(0)
    times = np.concatenate([times for times, _values in answer.series])
    values = np.concatenate([values for _times, values in answer.series])
    different, index, count = np.unique(times, return_index=True, return_counts=True)
    return different, np.where(count == 1, values[index], np.nan)
