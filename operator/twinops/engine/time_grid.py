"""The time grid of a twin's values, the ranges of it that are queried, and how the answers are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.forecaster import RECENT_STEPS
from twinops.core.series import Floats, Series
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery

MAX_POINTS = 10_000
"""Points of one range query, at most; Prometheus itself refuses more than 11,000."""

MAX_HISTORY_SECONDS = 21 * 86_400
"""No forecast reads further back: fourteen days of profile, and the steps that it is checked on."""

OLDER_STEP = 300
"""Seconds between two entries of the history before the recent one; profiles need no finer ones."""


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """The times that a twin's values are assigned to: ``phase + k * step`` for whole ``k``, the number of the slot.

    Attributes:
        step: seconds.
        phase: seconds, 0 <= phase < step; chosen so that a twin's syncs fall near its slots.
    """

    step: int
    phase: int

    def nearest(self, time: float) -> int:
        """Return the slot nearest to a time in Unix seconds."""
        return round((time - self.phase) / self.step)

    def time(self, slot: int) -> float:
        """Return the time of a slot in Unix seconds."""
        return float(self.phase + slot * self.step)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of slots of a time grid, both ends included."""

    grid: TimeGrid
    first: int
    last: int

    def queries(self, promql: str, pieces: int = 1) -> list[RangeQuery]:
        """Return range queries that together cover the span, newest first.

        Args:
            promql: the query.
            pieces: least number of range queries, as far as there are slots.
        """
        count = self.last - self.first + 1
        length = min(MAX_POINTS, max(1, -(-count // pieces)))
        ends = range(self.last, self.first - 1, -length)
        grid = self.grid
        return [
            RangeQuery(promql, grid.time(max(self.first, end - length + 1)), grid.time(end), float(grid.step))
            for end in ends
        ]

    def series(self, answers: Sequence[RangeAnswer]) -> Series:
        """Return the answers' values on the span's slots; NaN where there is none, or two series overlap."""
        count = self.last - self.first + 1
        values = np.full(count, np.nan)
        for answer in answers:
            times, found = _joined(answer)
            index = np.rint((times - self.grid.phase) / self.grid.step).astype(np.int64) - self.first
            inside = (index >= 0) & (index < count) & np.isfinite(found)
            values[index[inside]] = found[inside]
        times = self.grid.phase + np.arange(self.first, self.last + 1, dtype=np.float64) * self.grid.step
        return Series(times, values, float(self.grid.step))


def history_spans(grid: TimeGrid, newest: int, history_seconds: int) -> tuple[Span, Span | None]:
    """Return the recent history at the twin's step, and the older one at a coarser step where there is one.

    Args:
        grid: the twin's.
        newest: the slot of now.
        history_seconds: length of the whole, of which at most ``MAX_HISTORY_SECONDS`` are read.
    """
    length = min(history_seconds, MAX_HISTORY_SECONDS)
    if grid.step >= OLDER_STEP:
        return Span(grid, newest - length // grid.step, newest), None
    recent = min(length // grid.step, RECENT_STEPS - 1)
    coarse = TimeGrid(OLDER_STEP, 0)
    first, last = (int(grid.time(slot) // OLDER_STEP) for slot in (newest - length // grid.step, newest - recent))
    older = Span(coarse, first, last - 1) if last > first else None
    return Span(grid, newest - recent, newest), older


def without_unstored(answers: Sequence[RangeAnswer]) -> list[RangeAnswer]:
    """Return the answers with an empty one in place of the oldest ones that failed with ``NO_STORE``.

    The newest answer keeps its error: where that failed, too, the stores are out of reach, rather than too young.

    Args:
        answers: newest first.
    """
    kept = list(answers)
    while len(kept) > 1 and kept[-1].error == NO_STORE:
        kept.pop()
    return [*kept, *([RangeAnswer()] * (len(answers) - len(kept)))]


def _joined(answer: RangeAnswer) -> tuple[Floats, Floats]:
    """Join the series of one query, as labels may change over time; NaN where two have a value at one time."""
    if not answer.series:
        return np.empty(0), np.empty(0)
    times = np.concatenate([times for times, _values in answer.series])
    values = np.concatenate([values for _times, values in answer.series])
    different, index, count = np.unique(times, return_index=True, return_counts=True)
    return different, np.where(count == 1, values[index], np.nan)
