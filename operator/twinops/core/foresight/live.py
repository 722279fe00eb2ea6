"""One sync at a time: the memory of a twin, bounded, and what it makes of the newest values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.foresight.backtest import SHIFT_STEPS, backtest, shifts, stride
from twinops.core.foresight.config import DAY, Config
from twinops.core.foresight.members import COUNT, WINDOW, member_forecasts
from twinops.core.foresight.track import Issued, State, issue, learn, learn_step, published
from twinops.core.foresight.views import COARSE_CELL, FINE_CELL, Cells, Indices, View, coarser, filled, into_cells
from twinops.core.observation import Floats

Singles = npt.NDArray[np.floating]
Halves = npt.NDArray[np.floating]

STORED: type[np.floating] = np.float32
"""Precision of what is kept between two steps."""
STORED_OLD: type[np.floating] = np.float16
"""Precision of old cells and of what members had forecast: both are kept as differences."""
_MOST_STEPS = 240
_RECENT_SECONDS = 7200
_LARGEST_HALF = 60_000.0
_UNITS_PER_SPREAD = 64.0


@dataclass(slots=True, eq=False)
class History:
    """A twin's past in three resolutions: its steps, five minutes over a day, a quarter of an hour over weeks.

    Older cells are kept as half-precision deviations from each metric's middle, in units of its spread: they feed
    profiles only, and three decimal digits of a deviation are more than a profile knows.

    Attributes:
        step: seconds.
        now: number of the newest step.
        steps: shape (series, n), empty where the step is not shorter than a fine cell.
        fine: cells of the last day, the newest may be incomplete.
        fine_now: number of the newest fine cell.
        old: coarse cells before the fine ones.
        old_end: number of the coarse cell after the last of ``old``.
        middle: each metric's, for ``old``.
        unit: likewise.
    """

    step: float
    now: int
    steps: Singles
    fine: Singles
    fine_now: int
    old: Halves
    old_end: int
    middle: Singles
    unit: Singles

    @property
    def nbytes(self) -> int:
        """Bytes that the values take."""
        return sum(part.nbytes for part in (self.steps, self.fine, self.old, self.middle, self.unit))


def history_of(values: Floats, first: int, step: float, days: int) -> History:
    """Compress a past.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step.
        step: seconds.
        days: of the past to keep.
    """
    seconds = max(float(FINE_CELL), step)
    fine = Cells(values, first, step) if seconds == step else into_cells(values, first, step, seconds)
    coarse = coarser(fine)
    kept = round(DAY / seconds) + int(np.ceil(WINDOW * step / seconds)) + SHIFT_STEPS + 2
    fine_now = fine.first + fine.values.shape[1] - 1
    length = min(_MOST_STEPS, max(WINDOW + SHIFT_STEPS, round(_RECENT_SECONDS / step)))
    # Coarse cells that the kept fine ones do not hold in full.
    old_end = int(np.floor((fine_now - kept + 1) * seconds / coarse.seconds + 1e-9)) + 1
    old = _last(coarse.values[:, : max(0, old_end - coarse.first)], round((days - 1) * DAY / coarse.seconds))
    middle, unit = np.zeros(len(values)), np.ones(len(values))
    for k, row in enumerate(coarse.values):
        known = row[np.isfinite(row)]
        if len(known):
            middle[k] = np.median(known)
            spread = np.abs(known - middle[k])
            unit[k] = max(float(spread.mean()) / _UNITS_PER_SPREAD, float(spread.max()) / _LARGEST_HALF) or 1.0
    short = _last(values, length) if step < seconds else np.empty((len(values), 0))
    packed = ((old - middle[:, None]) / unit[:, None]).clip(-_LARGEST_HALF, _LARGEST_HALF)
    return History(
        step, first + values.shape[1] - 1, short.astype(STORED), _last(fine.values, kept).astype(STORED),
        fine_now, packed.astype(STORED_OLD), old_end, middle.astype(STORED), unit.astype(STORED),
    )  # fmt: skip


def _last(values: Floats, count: int) -> Floats:
    """Return the last ``count`` columns, NaN before the first."""
    if values.shape[1] >= count:
        return values[:, values.shape[1] - count :]
    return np.concatenate([np.full((len(values), count - values.shape[1]), np.nan), values], axis=1)


def push(history: History, number: int, values: Floats) -> None:
    """Take in the values of one step; steps in between are unknown.

    Args:
        history: what is known; changed in place.
        number: of the step, larger than ``history.now``.
        values: shape (series,), NaN where unknown.
    """
    step, short = history.step, history.steps.shape[1] > 0
    seconds = max(float(FINE_CELL), step)
    cell = int(np.floor(number * step / seconds + 1e-9)) if short else number
    _make_room(history, cell, seconds)
    if short:
        _shift(history.steps, number - history.now)
        history.steps[:, -1] = values
        begin = int(np.ceil(cell * seconds / step - 1e-9))
        part = history.steps[:, -min(number - begin + 1, history.steps.shape[1]) :]
        known = np.isfinite(part)
        total = np.where(known, part, 0).sum(axis=1, dtype=float)
        history.fine[:, -1] = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
    else:
        history.fine[:, -1] = values
    history.now = number


def _make_room(history: History, cell: int, seconds: float) -> None:
    """Move on to this fine cell; what leaves the last day goes into the coarse cells."""
    ahead = cell - history.fine_now
    if ahead <= 0:
        return
    count = history.fine.shape[1]
    coarse = max(float(COARSE_CELL), history.step)
    first = history.fine_now - count + 1
    end = int(np.floor((cell - count + 1) * seconds / coarse + 1e-9)) + 1
    if end > history.old_end and history.old.shape[1]:
        cells = coarser(Cells(history.fine.astype(float), first, seconds))
        for number in range(history.old_end, min(end, history.old_end + history.old.shape[1])):
            _shift(history.old, 1)
            place = number - cells.first
            if 0 <= place < cells.values.shape[1]:
                packed = (cells.values[:, place] - history.middle) / history.unit
                history.old[:, -1] = packed.clip(-_LARGEST_HALF, _LARGEST_HALF)
        history.old_end = max(end, history.old_end)
    _shift(history.fine, ahead)
    history.fine_now = cell


def _shift(array: npt.NDArray[np.floating], by: int) -> None:
    """Move the columns to the left; what becomes free is unknown."""
    count = array.shape[1]
    if by < count:
        array[:, : count - by] = array[:, by:].copy()
    array[:, max(0, count - by) :] = np.nan


def view_of(history: History) -> View:
    """Return the past as the members read it, with profiles for the newest step only."""
    seconds = max(float(FINE_CELL), history.step)
    fine = Cells(history.fine.astype(float), history.fine_now - history.fine.shape[1] + 1, seconds)
    recent = coarser(fine)
    old = history.old.astype(float) * history.unit[:, None] + history.middle[:, None]
    skip = history.old_end - recent.first
    coarse = Cells(
        np.concatenate([old, recent.values[:, skip:]], axis=1) if old.shape[1] else recent.values,
        history.old_end - old.shape[1] if old.shape[1] else recent.first,
        recent.seconds,
    )
    steps = history.steps.astype(float) if history.steps.shape[1] else fine.values
    first = history.now - steps.shape[1] + 1
    return View(filled(steps), first, history.step, fine, coarse, since=steps.shape[1] - WINDOW)


@dataclass(slots=True, eq=False)
class Pending:
    """Forecasts of one horizon that wait for their outcome, in rows by the number of their check.

    Attributes:
        members: difference to naive in units of ``unit``, shape (rows, series, members).
        centre: shape (rows, series, 2).
        scale: likewise.
        unit: shape (rows, series).
    """

    members: Halves
    centre: Singles
    scale: Singles
    unit: Singles


@dataclass(slots=True, eq=False)
class Foresight:
    """All that a twin's forecasts rest on: history, weights and calibration, pending forecasts.

    Attributes:
        horizons: shape (h,), steps ahead.
        state: float64 while it is used; ``nbytes`` counts what single precision takes.
        pending: one per horizon.
        last: last known values, shape (series,).
    """

    history: History
    horizons: Indices
    state: State
    pending: list[Pending]
    last: Floats
    issued: Issued

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        rows = [getattr(one, name) for one in self.pending for name in ("members", "centre", "scale", "unit")]
        kept = [getattr(self.state, name) for name in State.__slots__]
        return self.history.nbytes + int(self.last.nbytes) + sum(int(row.nbytes) for row in [*rows, *kept])

    def quantiles(self) -> Floats:
        """Return what is published now, shape (series, horizons, levels)."""
        return published(self.state, self.issued, self.horizons)


def start(
    values: Floats, first: int, step: float, horizons: Indices, config: Config, *, origins: int | None = None,
    days: int = 7,
) -> Foresight:  # fmt: skip
    """Learn from a past by a backtest, and be ready for the next step.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen one.
        origins: newest steps to forecast from; few for a first answer, all by default.
        days: of the past to keep.
    """
    done = backtest(values, first, step, horizons, config, origins=origins)
    pending = []
    for h, horizon in enumerate(horizons):
        every = stride(int(horizon), config)
        rows = -(-int(horizon) // every)
        series = len(values)
        one = Pending(
            np.zeros((rows, series, COUNT), STORED_OLD), np.zeros((rows, series, 2), STORED),
            np.zeros((rows, series, 2), STORED), np.zeros((rows, series), STORED),
        )  # fmt: skip
        for t in range(max(0, len(done.origins) - rows * every), len(done.origins)):
            number = first + int(done.origins[t])
            if number % every == 0:
                _keep(one, number // every, done.members[t, :, h], done.centre[t, :, h], done.scale[t, :, h])
        pending.append(one)
    issued = Issued(done.centre[-1], done.scale[-1])
    state = _single(done.state)
    return Foresight(history_of(values, first, step, days), horizons, state, pending, filled(values)[:, -1], issued)


def _single(state: State) -> State:
    """Return the state in single precision."""
    return State(
        **{
            name: (array.astype(STORED) if array.dtype == np.float64 else array)
            for name in State.__slots__
            for array in (getattr(state, name),)
        }
    )


def _keep(one: Pending, check: int, members: Floats, centre: Floats, scale: Floats) -> None:
    row = check % len(one.unit)
    difference = members - members[:, :1]
    unit = np.abs(difference).max(axis=1)
    one.unit[row] = unit
    one.members[row] = difference / np.where(unit > 0, unit, 1.0)[:, None]
    one.centre[row], one.scale[row] = centre, scale


def advance(foresight: Foresight, number: int, values: Floats, config: Config) -> Floats:
    """Take in the values of a step and return the forecasts from there.

    Args:
        foresight: changed in place.
        number: of the step: Unix seconds over the step, rounded down; larger than the last one.
        values: shape (series,), NaN where unknown or censored.
        config: the frozen one.

    Returns:
        Quantiles, shape (series, horizons, levels).
    """
    history, state, horizons = foresight.history, foresight.state, foresight.horizons
    if number == history.now + 1:
        learn_step(state, values - foresight.last, config)
    _learn_due(foresight, number, values, config)
    push(history, number, values)
    past = view_of(history)
    origin = np.array([past.steps.shape[1] - 1])
    found = member_forecasts(past, origin, horizons, config)[:, :, 0]
    foresight.last = np.where(np.isfinite(values), values, foresight.last)
    shifted = shifts(past, origin, config)[:, 0]
    hold = np.ceil(config.hold_seconds / history.step)
    now = issue(state, found, shifted, hold, horizons <= hold, config)
    foresight.issued = now
    for h, horizon in enumerate(horizons):
        every = stride(int(horizon), config)
        if number % every == 0:
            _keep(foresight.pending[h], number // every, found[:, h], now.centre[:, h], now.scale[:, h])
    return foresight.quantiles()


def _learn_due(foresight: Foresight, number: int, values: Floats, config: Config) -> None:
    state, horizons = foresight.state, foresight.horizons
    every = np.array([stride(int(horizon), config) for horizon in horizons])
    due = (number - horizons) % every == 0
    if not due.any() or not np.isfinite(values).any():
        return
    series, kinds = len(values), len(horizons)
    members, centre, scale = (
        np.zeros((series, kinds, COUNT)),
        np.zeros((series, kinds, 2)),
        np.zeros((series, kinds, 2)),
    )
    for h in np.flatnonzero(due):
        one = foresight.pending[h]
        row = (number - int(horizons[h])) // int(every[h]) % len(one.unit)
        centre[:, h], scale[:, h] = one.centre[row], one.scale[row]
        members[:, h] = one.centre[row, :, 1:] + one.members[row].astype(float) * one.unit[row][:, None]
    came = np.where(due, values[:, None], np.nan)
    learn(state, came, members, Issued(centre, scale), every * foresight.history.step, config)
