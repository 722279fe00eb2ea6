"""Recorded history as it comes from the metrics backend, and the grid that a forecaster learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.cells import Cells, fine_seconds, into_cells
from twinops.core.series import Floats, Indices, Series

HUGE = 1e18
"""Values from here on count as unknown; their square would overflow single precision."""
SMALLEST = 1e-18
"""Values up to here count as 0; ratios to them would overflow single precision."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A metric's recorded past, in up to two resolutions.

    Attributes:
        recent: at the twin's step; entry k is slot number floor(time / step), the last entry is the newest.
        older: at a coarser step (at least 300 s), ending before or inside ``recent``; None when that holds everything.
    """

    recent: Series
    older: Series | None = None

    @property
    def parts(self) -> tuple[Series, ...]:
        """The resolutions that hold anything, older first."""
        return tuple(part for part in (self.older, self.recent) if part is not None and len(part.times))

    def scaled(self, factor: Recorded) -> Recorded:
        """Return the product with another metric at the same time, or its last known value before; NaN before any."""
        times = np.concatenate([part.times for part in factor.parts])
        values = np.concatenate([part.values for part in factor.parts])
        order = np.argsort(times, kind="stable")
        order = order[np.isfinite(values[order])]
        times, values = times[order], values[order]

        def scale(part: Series) -> Series:
            places = np.searchsorted(times, part.times + part.step / 2, side="right")
            return Series(part.times, part.values * np.concatenate([[np.nan], values])[places], part.step)

        return Recorded(scale(self.recent), None if self.older is None else scale(self.older))

    def joined(self) -> Series:
        """Return both resolutions one after the other, on an uneven grid."""
        if self.older is None or not len(self.older.times):
            return self.recent
        before = self.older.times + self.older.step <= self.recent.times[0] if len(self.recent.times) else slice(None)
        return Series(
            np.concatenate([self.older.times[before], self.recent.times]),
            np.concatenate([self.older.values[before], self.recent.values]),
            self.recent.step,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Several metrics' past on one grid.

    Attributes:
        values: shape (series, n), n ≥ 1, NaN where unknown.
        first: number of the first step.
        older: fine cells of the time before, None where there are none.
        samples: number of known entries of both resolutions, shape (series,).
    """

    values: Floats
    first: int
    older: Cells | None
    samples: Indices


def grid_of(past: Sequence[Recorded | None], step: float) -> Grid | None:
    """Put metrics on one grid; None without any recorded entry.

    Args:
        past: one per metric.
        step: seconds.
    """
    recent = [one.recent if one is not None and len(one.recent.times) else None for one in past]
    if not any(recent):
        return None
    values, first = _rows(recent, step)
    older = _older([None if one is None else one.older for one in past], fine_seconds(step))
    samples = np.isfinite(values).sum(axis=1)
    if older is not None:
        before = older.values[:, : max(0, math.floor(first * step / older.seconds + _ROUNDING) - older.first)]
        samples = samples + np.isfinite(before).sum(axis=1)
    return Grid(values, first, older, samples)


def _rows(series: Sequence[Series | None], step: float) -> tuple[Floats, int]:
    """Return values of one step one below the other, shape (series, n), and the number of the first entry."""
    ends = {k: math.floor(one.times[-1] / step + _ROUNDING) for k, one in enumerate(series) if one is not None}
    last = max(ends.values())
    begins = [ends[k] - len(one.values) + 1 for k, one in enumerate(series) if one is not None]
    first = min(begins)
    rows = np.full((len(series), last - first + 1), np.nan)
    for k, one in enumerate(series):
        if one is not None:
            end = ends[k] - first + 1
            rows[k, end - len(one.values) : end] = one.values
    return measured(rows), first


def measured(values: Floats) -> Floats:
    """Return the values, NaN where they are too large (``HUGE``) and 0 where they are too small (``SMALLEST``)."""
    sizes = np.abs(values)
    return np.where(sizes < HUGE, np.where(sizes > SMALLEST, values, 0.0), np.nan)


def _older(series: Sequence[Series | None], seconds: float) -> Cells | None:
    """Return coarser series as fine cells; cells shorter than an entry take its value."""
    cells: Mapping[int, Cells] = {
        k: _as_cells(one, seconds) for k, one in enumerate(series) if one is not None and len(one.times)
    }
    if not cells:
        return None
    first = min(one.first for one in cells.values())
    end = max(one.first + one.values.shape[1] for one in cells.values())
    rows = np.full((len(series), end - first), np.nan)
    for k, one in cells.items():
        rows[k, one.first - first : one.first - first + one.values.shape[1]] = one.values[0]
    return Cells(rows, first, seconds)


def _as_cells(series: Series, seconds: float) -> Cells:
    values, first = _rows([series], series.step)
    if series.step == seconds:
        return Cells(values, first, seconds)
    if series.step < seconds:
        return into_cells(values, first, series.step, seconds)
    begin = math.floor(first * series.step / seconds + _ROUNDING)
    end = math.ceil((first + values.shape[1]) * series.step / seconds - _ROUNDING)
    entries = np.floor((np.arange(begin, end) + 0.5) * seconds / series.step).astype(np.intp) - first
    return Cells(values[:, np.clip(entries, 0, values.shape[1] - 1)], begin, seconds)
