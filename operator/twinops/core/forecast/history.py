"""A twin's past, compressed: its newest steps, five-minute means of a day, quarter-hour means of two weeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.forecast.cells import Cells, coarser, filled, fine_cells, fine_seconds, first_cell, first_known
from twinops.core.forecast.config import DAY, LAYOUT
from twinops.core.forecast.level_shifts import SHIFT_STEPS
from twinops.core.forecast.members import WINDOW
from twinops.core.forecast.profiles import Seasons, seasons_of
from twinops.core.forecast.views import View
from twinops.core.series import Floats, Indices

Singles = npt.NDArray[np.floating]
Halves = npt.NDArray[np.floating]

STORED: type[np.floating] = np.float32
"""Precision of the newest steps."""
STORED_OLD: type[np.floating] = np.float16
"""Precision of cells, which are kept as deviations."""
STEPS_KEPT = WINDOW + 10
"""Newest steps: those of the averages, a few more to detect a climb, and more than a fine cell holds."""
_LARGEST_HALF = 60_000.0
_UNITS_PER_SPREAD = 64.0
_UNITS_PER_VALUE = 1024.0


@dataclass(slots=True, eq=False)
class History:
    """A past in three resolutions.

    Cells are kept as half-precision deviations from each series' offset, in units of its scale. Profiles and medians
    alone read them, and need no more than three decimal digits of a deviation.

    Attributes:
        step: seconds.
        now: number of the newest step.
        steps: newest values, shape (series, n).
        fine: cells of the last day, the newest may be incomplete.
        fine_now: number of the newest fine cell.
        old: coarse cells before the fine ones; it grows up to the longest lookback.
        old_end: number of the coarse cell after the last of ``old``.
        first_known: number of the first coarse cell with a known value, shape (series,).
        offset: median of each series, shape (series,); 0 without a known value.
        scale: scale of the deviations, likewise.
    """

    step: float
    now: int
    steps: Singles
    fine: Halves
    fine_now: int
    old: Halves
    old_end: int
    first_known: Indices
    offset: Singles
    scale: Singles

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(part.nbytes for part in (self.steps, self.fine, self.old, self.first_known, self.offset, self.scale))


def _fine_kept(step: float) -> int:
    """Return the fine cells that are kept: a day before the oldest step that averages read."""
    seconds = fine_seconds(step)
    return round(DAY / seconds) + int(np.ceil(WINDOW * step / seconds)) + SHIFT_STEPS + 2


def _old_kept(step: float) -> int:
    """Return the coarse cells that are kept at most."""
    seconds = fine_seconds(step)
    coarse = max(float(LAYOUT.coarse_cell), seconds)
    lookback = LAYOUT.mean_days * DAY + WINDOW * step
    return int(np.ceil(lookback / coarse)) + 2 - int(_fine_kept(step) * seconds // coarse)


def history_of(values: Floats, first: int, step: float, older: Cells | None = None) -> History:
    """Compress a past.

    Args:
        values: shape (series, n), NaN where unknown.
        first: number of the first step.
        step: seconds.
        older: fine cells of the time before.
    """
    cells = fine_cells(values, first, step, older)
    coarse = coarser(cells)
    kept = _fine_kept(step)
    fine_now = cells.first + cells.values.shape[1] - 1
    # Coarse cells that the kept fine ones do not cover completely.
    old_end = int(np.floor((fine_now - kept + 1) * cells.seconds / coarse.seconds + 1e-9)) + 1
    old = coarse.values[:, max(0, old_end - _old_kept(step) - coarse.first) : max(0, old_end - coarse.first)]
    offset, scale = _measure(np.concatenate([cells.values[:, -kept:], old], axis=1))
    return History(
        step=step,
        now=first + values.shape[1] - 1,
        steps=_last(values, STEPS_KEPT).astype(STORED),
        fine=_packed(_last(cells.values, kept), offset, scale),
        fine_now=fine_now,
        old=_packed(old, offset, scale),
        old_end=old_end,
        first_known=first_known(coarse),
        offset=offset,
        scale=scale,
    )


def _measure(values: Floats) -> tuple[Floats, Floats]:
    """Return offset and scale of each series, 0 without a known value."""
    offset, scale = np.zeros(len(values)), np.zeros(len(values))
    for k, row in enumerate(values):
        known = row[np.isfinite(row)]
        if len(known):
            # Rounded as it is stored: for large values that are close together rounding is the larger deviation.
            offset[k] = STORED(np.median(known))
            spread = np.abs(known - offset[k])
            scale[k] = max(float(spread.mean()) / _UNITS_PER_SPREAD, float(spread.max()) / _LARGEST_HALF)
            scale[k] = scale[k] or abs(offset[k]) / _UNITS_PER_VALUE or 1.0
    return offset.astype(STORED), scale.astype(STORED)


def _packed(values: Floats, offset: Singles, scale: Singles) -> Halves:
    deviations = (values - offset[:, None]) / np.where(scale > 0, scale, 1.0)[:, None]
    packed: Halves = deviations.clip(-_LARGEST_HALF, _LARGEST_HALF).astype(STORED_OLD)
    return packed


def _unpacked(packed: Halves, history: History) -> Floats:
    values: Floats = packed.astype(float) * history.scale[:, None] + history.offset[:, None]
    return values


def _last(values: Floats, count: int) -> Floats:
    """Return the last ``count`` columns, NaN before the first."""
    if values.shape[1] >= count:
        return values[:, values.shape[1] - count :]
    return np.concatenate([np.full((len(values), count - values.shape[1]), np.nan), values], axis=1)


def push(history: History, number: int, values: Floats) -> None:
    """Append the values of one step; steps in between are unknown.

    Args:
        history: changed in place.
        number: of the step, larger than ``history.now``.
        values: shape (series,), NaN where unknown.
    """
    step = history.step
    seconds = fine_seconds(step)
    cell = int(np.floor(number * step / seconds + 1e-9)) if step < seconds else number
    _make_room(history, cell, seconds)
    _shift(history.steps, number - history.now)
    history.steps[:, -1] = values
    history.now = number
    means = values
    if step < seconds:
        begin = int(np.ceil(cell * seconds / step - 1e-9))
        part = history.steps[:, -min(number - begin + 1, history.steps.shape[1]) :]
        known = np.isfinite(part)
        total = np.where(known, part, 0).sum(axis=1, dtype=float)
        means = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
    if (np.abs(means - history.offset) > _LARGEST_HALF * history.scale).any():
        _rescale(history, means)
    history.fine[:, -1] = (means - history.offset) / np.where(history.scale > 0, history.scale, 1.0)
    coarse = int(np.floor(cell * seconds / max(float(LAYOUT.coarse_cell), seconds) + 1e-9))
    history.first_known = np.where(np.isfinite(values), np.minimum(history.first_known, coarse), history.first_known)


def _rescale(history: History, newest: Floats | None = None) -> None:
    """Recompute offset and scale."""
    fine, old = _unpacked(history.fine, history), _unpacked(history.old, history)
    parts = [fine, old] if newest is None else [fine, old, newest[:, None]]
    history.offset, history.scale = _measure(np.concatenate(parts, axis=1))
    history.fine = _packed(fine, history.offset, history.scale)
    history.old = _packed(old, history.offset, history.scale)


def _make_room(history: History, cell: int, seconds: float) -> None:
    """Advance to this fine cell; fine cells that are dropped are merged into coarse ones."""
    ahead = cell - history.fine_now
    if ahead <= 0:
        return
    count = history.fine.shape[1]
    coarse = max(float(LAYOUT.coarse_cell), seconds)
    end = int(np.floor((cell - count + 1) * seconds / coarse + 1e-9)) + 1
    if end > history.old_end:
        _age(history, min(end, history.old_end + _old_kept(history.step)), seconds)
        if end > history.old_end:  # a gap longer than what is kept
            history.old[:] = np.nan
            history.old_end = end
    _shift(history.fine, ahead)
    per_day = round(DAY / seconds)
    if cell // per_day > history.fine_now // per_day:
        _rescale(history)
    history.fine_now = cell


def _age(history: History, end: int, seconds: float) -> None:
    """Append coarse cells up to ``end``, computed from fine cells that are about to be dropped."""
    first = history.fine_now - history.fine.shape[1] + 1
    cells = coarser(Cells(history.fine.astype(float), first, seconds))
    fresh = np.full((len(history.fine), end - history.old_end), np.nan, STORED_OLD)
    begin, stop = max(history.old_end, cells.first), min(end, cells.first + cells.values.shape[1])
    if begin < stop:
        place = slice(begin - history.old_end, stop - history.old_end)
        fresh[:, place] = cells.values[:, begin - cells.first : stop - cells.first]
    joined = np.concatenate([history.old, fresh], axis=1)
    if np.isfinite(joined).any():
        history.old = joined[:, max(0, joined.shape[1] - _old_kept(history.step)) :]
    history.old_end = end


def _shift(array: npt.NDArray[np.floating], by: int) -> None:
    """Shift the columns to the left; new ones are NaN."""
    count = array.shape[1]
    if by < count:
        array[:, : count - by] = array[:, by:].copy()
    array[:, max(0, count - by) :] = np.nan


def view_of(history: History, seasons: Seasons | None, reach: int) -> View:
    """Return the past as the members read it, with profiles for the newest step only.

    Args:
        history: the past.
        seasons: those of the step before; they are valid until a new coarse cell begins. None to compute them.
        reach: steps ahead that are forecast at most.
    """
    seconds, step = fine_seconds(history.step), history.step
    fine = Cells(_unpacked(history.fine, history), history.fine_now - history.fine.shape[1] + 1, seconds)
    steps = history.steps.astype(float)
    count = steps.shape[1]
    first, since = history.now - count + 1, count - WINDOW
    if seasons is None:
        coarse = _coarse(history, fine)
        begin = first_cell(first + since, step, coarse.seconds)
        seasons = seasons_of(coarse, history.first_known, begin, reach * step).as_type(STORED)
    return View(filled(steps), first, step, fine, seasons, since, reach)


def _coarse(history: History, fine: Cells) -> Cells:
    """Return the whole past as coarse cells."""
    recent = coarser(fine)
    if not history.old.shape[1]:
        return recent
    values = np.concatenate(
        [_unpacked(history.old, history), recent.values[:, history.old_end - recent.first :]], axis=1
    )
    return Cells(values, history.old_end - history.old.shape[1], recent.seconds)


def coarse_now(history: History) -> int:
    """Return the number of the newest coarse cell."""
    seconds = fine_seconds(history.step)
    return int(np.floor(history.fine_now * seconds / max(float(LAYOUT.coarse_cell), seconds) + 1e-9))
