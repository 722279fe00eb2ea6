"""Means of even spans of wall-clock time: cells of five minutes over a day, of a quarter of an hour over weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.config import LAYOUT
from twinops.core.series import Floats, Indices


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Means of even spans of wall-clock time, of several series.

    Attributes:
        values: shape (series, n), NaN where unknown.
        first: number of the first cell: its start in Unix seconds over ``seconds``.
        seconds: length of a cell.
    """

    values: Floats
    first: int
    seconds: float


def first_cell(step_number: int, step: float, seconds: float) -> int:
    """Return the number of the cell before the one whose middle lies before this step's."""
    return math.floor((step_number + 0.5) * step / seconds - 0.5) - 1


def cells_ahead(ahead: float, seconds: float) -> int:
    """Return how many cells past the newest one a reading so many seconds ahead needs."""
    return math.ceil(ahead / seconds) + 1


def fine_seconds(step: float) -> float:
    """Return the length of a fine cell."""
    return max(float(LAYOUT.fine_cell), step)


def into_cells(values: Floats, first: int, step: float, seconds: float) -> Cells:
    """Return the means of the known values per cell; a cell with none is NaN.

    Args:
        values: shape (series, n), NaN where unknown.
        first: number of the first step.
        step: seconds.
        seconds: length of a cell, at least ``step``.
    """
    numbers = np.floor((first + np.arange(values.shape[1])) * step / seconds + 1e-9).astype(np.intp)
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0.0), begins, axis=1)
    count = np.add.reduceat(known.astype(float), begins, axis=1)
    means = np.full((values.shape[0], int(numbers[-1] - numbers[0]) + 1), np.nan)
    means[:, numbers[begins] - numbers[0]] = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    return Cells(means, int(numbers[0]), seconds)


def coarser(fine: Cells) -> Cells:
    """Return coarse cells as means of fine ones."""
    return (
        into_cells(fine.values, fine.first, fine.seconds, LAYOUT.coarse_cell)
        if fine.seconds < LAYOUT.coarse_cell
        else fine
    )


def first_known(cells: Cells) -> Indices:
    """Return the number of each series' first cell with a known value; of one without, that after the last."""
    known = np.isfinite(cells.values)
    found: Indices = cells.first + np.where(known.any(axis=1), known.argmax(axis=1), cells.values.shape[1])
    return found


def fine_cells(values: Floats, first: int, step: float, older: Cells | None = None) -> Cells:
    """Return the fine cells of a past.

    Args:
        values: shape (series, n), NaN where unknown.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        older: fine cells of the time before; in the cell where the steps begin they take precedence.
    """
    seconds = fine_seconds(step)
    recent = Cells(values, first, step) if seconds == step else into_cells(values, first, step, seconds)
    if older is None or older.first >= recent.first + recent.values.shape[1]:
        return recent
    begin = min(older.first, recent.first)
    joined = np.full((len(values), recent.first + recent.values.shape[1] - begin), np.nan)
    joined[:, recent.first - begin :] = recent.values
    # The first cell may cover a part of its steps only; in later ones the steps are more exact.
    count = min(older.values.shape[1], recent.first + 1 - older.first)
    known = older.values[:, : max(count, 0)]
    place = slice(older.first - begin, older.first - begin + known.shape[1])
    joined[:, place] = np.where(np.isfinite(known), known, joined[:, place])
    return Cells(joined, begin, seconds)


def carried(values: Floats) -> Floats:
    """Return the values with each hole filled by the last known one; NaN before the first."""
    known = np.isfinite(values)
    if known.all():
        return values
    places = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), 0), axis=1)
    return np.take_along_axis(values, places, axis=1)


def filled(values: Floats) -> Floats:
    """Return the values with each hole filled by the last known one, the beginning by the first known one."""
    known = np.isfinite(values)
    if known.all():
        return values
    known = carried(values)
    first = np.take_along_axis(values, _first_finite(values)[:, None], axis=1)
    return np.where(np.isfinite(known), known, np.where(np.isfinite(first), first, 0.0))


def _first_finite(values: Floats) -> Indices:
    first: Indices = np.argmax(np.isfinite(values), axis=1)
    return first
