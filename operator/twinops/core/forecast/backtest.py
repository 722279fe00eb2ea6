"""Rolling-origin backtest: the forecasts from every step of a past, computed together, and the calibration after it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.calibration import CalibrationState, Issued, mixed, new_state, published, scale_of
from twinops.core.forecast.cells import Cells
from twinops.core.forecast.config import Config
from twinops.core.forecast.level_shifts import shifts
from twinops.core.forecast.members import WINDOW, climbs, member_forecasts
from twinops.core.forecast.updates import (
    hold_left,
    learn_changes,
    learn_losses,
    learn_quantiles,
    learn_sizes,
    learning_rates,
)
from twinops.core.forecast.views import view
from twinops.core.series import Flags, Floats, Indices

_CHUNK = 192
"""Steps that are computed together; more would need larger arrays and be no faster."""


@dataclass(frozen=True, slots=True, eq=False)
class BacktestRun:
    """The result of a backtest.

    Attributes:
        origins: shape (o,), indices of the steps that were forecast from.
        quantiles: as published, shape (o, series, horizons, levels); None unless asked for.
        naive: those of naive under the same calibration, likewise.
        members: every member's forecasts, shape (o, series, horizons, members).
        centre: shape (o, series, horizons, 2), ensemble and naive.
        scale: likewise.
        state: calibration after the last step.
    """

    origins: Indices
    quantiles: Floats | None
    naive: Floats | None
    members: Floats
    centre: Floats
    scale: Floats
    state: CalibrationState

    @property
    def last(self) -> Issued:
        """The forecasts of the last step."""
        return Issued(self.centre[-1], self.scale[-1])


def stride(horizon: int, config: Config) -> int:
    """Return the steps between two checks of a horizon, so that few forecasts are pending at a time."""
    return -(-horizon // config.most_pending)


def backtest(  # noqa: PLR0913 - a past and how to read it
    values: Floats,
    first: int,
    step: float,
    horizons: Indices,
    config: Config,
    *,
    origins: int | None = None,
    older: Cells | None = None,
    calibration_excluded: Flags | None = None,
    keep: bool = False,
) -> BacktestRun:
    """Forecast from every step of a past (rolling origin), learning from each outcome when it is known, not before.

    Args:
        values: shape (series, n), NaN where unknown.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen configuration.
        origins: newest steps to forecast from; all by default.
        older: fine cells of the time before.
        calibration_excluded: shape (series, n), values that forecasts read but are not checked by.
        keep: whether to keep the published quantiles.
    """
    count = values.shape[1]
    begin = 0 if origins is None else max(0, count - origins)
    past = view(values, first, step, older, since=begin - WINDOW, reach=int(horizons.max()))
    places = np.arange(begin, count)
    members = np.ascontiguousarray(member_forecasts(past, places, horizons, config).transpose(2, 0, 1, 3))
    known = np.isfinite(values)
    if not known[:, begin].all():
        members[~np.maximum.accumulate(known, axis=1)[:, begin:].T] = np.nan
    outcomes = values if calibration_excluded is None else np.where(calibration_excluded, np.nan, values)
    shifted = shifts(past, places, config)
    near = bool((horizons * step <= config.climb_seconds).any())
    climbing = climbs(past, places, config) if near else None
    return backtest_members(
        members, outcomes[:, begin:], shifted, places, first, step, horizons, config, keep=keep, climbing=climbing
    )


def backtest_members(  # noqa: PLR0913 - everything the loop reads
    members: Floats,
    outcomes: Floats,
    shifted: Flags,
    places: Indices,
    first: int,
    step: float,
    horizons: Indices,
    config: Config,
    *,
    keep: bool,
    climbing: Flags | None = None,
) -> BacktestRun:
    """Weigh and calibrate given forecasts, learning from each outcome when it is known, not before.

    Args:
        members: shape (o, series, horizons, members); the first member is naive.
        outcomes: values that forecasts are checked by, shape (series, o), NaN where unknown or excluded.
        shifted: whether a level shift is detected, shape (series, o).
        places: shape (o,), index of every origin among the steps.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        horizons: shape (h,), steps.
        config: the frozen configuration.
        keep: whether to keep the published quantiles.
        climbing: whether values climb steadily, shape (series, o).
    """
    count, series, width = members.shape[:3]
    state = new_state(series, width, members.shape[-1])
    changes = np.full((count, series), np.nan)
    changes[1:] = outcomes.T[1:] - members[:-1, :, 0, 0]
    given = _Given(members, outcomes.T, shifted.T, None if climbing is None else climbing.T, changes)
    issued = _new_issued((count, series, width), state.quantiles.shape[-1], keep=keep)
    schedule = _schedule(first + places, step, horizons, config)
    for begin in range(0, count, _CHUNK):
        state = _learn_chunk(state, slice(begin, begin + _CHUNK), given, issued, schedule, config)
    return BacktestRun(places, issued.quantiles, issued.naive, members, issued.centre, issued.scale, state)


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """The input of a backtest; the first axis is time.

    Attributes:
        members: shape (o, series, horizons, members).
        outcomes: shape (o, series), NaN where unknown or excluded.
        shifted: whether a level shift is detected, shape (o, series).
        climbing: whether values climb steadily, likewise; None where no horizon is near enough for that to count.
        changes: from the step before, shape (o, series), NaN where unknown.
    """

    members: Floats
    outcomes: Floats
    shifted: Flags
    climbing: Flags | None
    changes: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Issued:
    """The forecasts of a backtest, filled in chunk by chunk; attributes as in ``BacktestRun``."""

    centre: Floats
    scale: Floats
    quantiles: Floats | None
    naive: Floats | None


def _new_issued(shape: tuple[int, int, int], levels: int, *, keep: bool) -> _Issued:
    quantiles = np.full((*shape, levels), np.nan) if keep else None
    naive = quantiles.copy() if quantiles is not None else None
    return _Issued(np.zeros((*shape, 2)), np.zeros((*shape, 2)), quantiles, naive)


@dataclass(frozen=True, slots=True, eq=False)
class _Schedule:
    """What follows from horizons and step alone.

    Attributes:
        horizons: shape (h,), steps.
        due: whether the forecast of a horizon earlier is checked at a step, shape (o, h).
        rates: of ``learning_rates``.
        hold: steps for which naive is published after a level shift.
        near: horizons that end within that time, shape (h,).
        soon: horizons near enough for a steady climb to count, shape (h,).
    """

    horizons: Indices
    due: Flags
    rates: Floats
    hold: float
    near: Flags
    soon: Flags


def _schedule(numbers: Indices, step: float, horizons: Indices, config: Config) -> _Schedule:
    """Return the schedule of the steps with these numbers, shape (o,)."""
    strides = np.array([stride(int(h), config) for h in horizons])
    hold = float(np.ceil(config.hold_seconds / step))
    due = (np.arange(len(numbers))[:, None] >= horizons) & ((numbers[:, None] - horizons) % strides == 0)
    rates = learning_rates(strides.astype(np.float64) * step, config)
    return _Schedule(horizons, due, rates, hold, horizons <= hold, horizons * step <= config.climb_seconds)


def _learn_chunk(
    state: CalibrationState, part: slice, given: _Given, issued: _Issued, schedule: _Schedule, config: Config
) -> CalibrationState:
    """Fill in the forecasts of some steps and return the state after the last of them.

    The steps are worked on together, in an order in which everything that is read is known: losses, centres, sizes of
    the residuals, scales, quantiles. ``updates`` keeps the order of time.
    """
    members, horizons = given.members[part], schedule.horizons
    rows = np.maximum(np.arange(len(given.members))[part, None] - horizons, 0)
    issued_members = _at_origins(given.members, rows)
    value = np.where(schedule.due[part, None], given.outcomes[part, :, None], np.nan)
    known = np.isfinite(value) & np.isfinite(issued_members[..., 0])
    value = np.where(known, value, 0.0)
    after = learn_changes(state, given.changes[part], config)
    factors = learn_losses(state, after, value, issued_members, known, schedule.rates)
    after.hold = hold_left(state.hold, given.shifted[part], schedule.hold)
    climbing = None if given.climbing is None else given.climbing[part][..., None] & schedule.soon
    issued.centre[part] = mixed(after, members, schedule.near, config, climbing)
    residual = np.where(known[..., None], value[..., None] - _at_origins(issued.centre, rows), 0.0)
    learn_sizes(state, after, residual, factors)
    issued.scale[part] = scale_of(after, config)
    scale = _at_origins(issued.scale, rows)
    before, last = learn_quantiles(state, after, residual, scale, known, factors, config)
    if issued.quantiles is not None and issued.naive is not None:
        now = Issued(issued.centre[part], issued.scale[part])
        after.quantiles = np.concatenate([before[1:], last[None]])
        issued.quantiles[part] = published(after, now, horizons, schedule.near)
        offsets = now.scale[..., 1, None] * np.sort(after.quantiles[..., 1, :], axis=-1)
        issued.naive[part] = now.centre[..., 1, None] + offsets
    after.quantiles = last[None]
    return CalibrationState(
        **{field.name: getattr(after, field.name)[-1].copy() for field in dataclasses.fields(CalibrationState)}
    )


def _at_origins(array: Floats, rows: Indices) -> Floats:
    """Return, for every step and horizon, the entry of the origin that it was forecast from.

    Args:
        array: shape (o, series, horizons, ...).
        rows: index of that origin, shape (t, horizons).

    Returns:
        Shape (t, series, horizons, ...).
    """
    columns = np.arange(rows.shape[1])
    taken: Floats = array[rows[:, None, :], np.arange(array.shape[1])[None, :, None], columns[None, None, :]]
    return taken
