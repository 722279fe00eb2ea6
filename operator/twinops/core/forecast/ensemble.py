"""The ensemble, one sync at a time, in bounded memory: history, calibration, and forecasts whose outcome is pending.

It returns what ``backtest`` returns over the same past, up to the precision in which it stores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.forecast import history as past_of
from twinops.core.forecast.backtest import BacktestRun, backtest, stride
from twinops.core.forecast.calibration import CalibrationState, Issued, published, scale_of
from twinops.core.forecast.cells import Cells
from twinops.core.forecast.config import Config
from twinops.core.forecast.history import Halves, History, Singles, coarse_now, history_of, push, view_of
from twinops.core.forecast.horizon import QUANTILES
from twinops.core.forecast.level_shifts import shifts
from twinops.core.forecast.members import COUNT, climbs, day_median, hour_of, member_forecasts
from twinops.core.forecast.profiles import Seasons
from twinops.core.forecast.updates import issue, learn_change, learn_sync
from twinops.core.forecast.views import View
from twinops.core.series import Flags, Floats, Indices

_NONE = np.iinfo(np.int32).min
_ROOT_SCALE = 127
STORED_ROOTS: type[np.generic] = np.int8
"""Precision of pending forecasts of the members."""
_MIDDLE = QUANTILES.index(0.5)


@dataclass(slots=True, eq=False)
class Pending:
    """Forecasts whose outcome is pending. The rows of a horizon form a ring buffer by the number of the check.

    Attributes:
        made: number of the step at which each row was issued, shape (rows,).
        naive: shape (rows, series).
        centre: the ensemble's difference to naive, in units of ``unit``, shape (rows, series).
        others: the other members' differences to the ensemble, in units of ``unit``, shape (rows, series, members - 1):
            ``_ROOT_SCALE`` times the signed square root, so that small differences are as exact as large ones.
        scale: in units of ``unit``, shape (rows, series, 2).
        unit: shape (rows, series).
    """

    made: npt.NDArray[np.int32]
    naive: Singles
    centre: Halves
    others: npt.NDArray[np.generic]
    scale: Halves
    unit: Singles

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(part.nbytes for part in (self.made, self.naive, self.centre, self.others, self.scale, self.unit))


@dataclass(slots=True, eq=False)
class Ensemble:
    """The state of a twin's ensemble: history, weights and calibration, pending forecasts.

    Attributes:
        history: the past, compressed.
        horizons: shape (h,), steps ahead, increasing.
        strides: shape (h,), steps between two checks.
        state: weights and calibration.
        begins: shape (h + 1,), where each horizon's rows begin in ``pending``, and where the last one's end.
        pending: forecasts whose outcome is pending.
        last: last known values, shape (series,); NaN for a series without any known value.
        centre: the ensemble's forecasts from the newest step, shape (series, h); NaN likewise.
        seasons: profiles around the newest step, None where they are to be computed.
        day_median: number of an hour, and the median of the day before it, shape (series,).
    """

    history: History
    horizons: Indices
    strides: Indices
    state: CalibrationState
    begins: Indices
    pending: Pending
    last: Singles
    centre: Singles
    seasons: Seasons | None = None
    day_median: tuple[int, Singles] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        kept = [getattr(self.state, name) for name in CalibrationState.__slots__]
        own = (self.last, self.centre, self.horizons, self.strides, self.begins, *kept)
        own += (self.day_median[1],) if self.day_median else ()
        own_bytes = sum(int(part.nbytes) for part in own) + (self.seasons.nbytes if self.seasons else 0)
        return self.history.nbytes + self.pending.nbytes + own_bytes

    def rows(self, made: Indices) -> Indices:
        """Return the rows of ``pending`` for forecasts issued at these steps, one of each horizon, shape (h,)."""
        begins = self.begins
        places: Indices = begins[:-1] + made // self.strides % (begins[1:] - begins[:-1])
        return places

    def quantiles(self, config: Config) -> Floats:
        """Return the published quantiles, shape (series, h, levels); NaN for a series without any known value."""
        centre = np.empty((*self.centre.shape, 2))
        centre[..., 0], centre[..., 1] = self.centre, self.last[:, None]
        near = self.horizons <= self.hold(config)
        return published(self.state, Issued(centre, scale_of(self.state, config)), self.horizons, near)

    def hold(self, config: Config) -> float:
        """Return the steps for which naive is published after a level shift."""
        return float(np.ceil(config.hold_seconds / self.history.step))


def start(
    values: Floats, first: int, step: float, horizons: Indices, config: Config, *, origins: int | None = None,
    older: Cells | None = None,
) -> tuple[Ensemble, BacktestRun]:  # fmt: skip
    """Learn from a past by a backtest and return the state for the next step.

    Args:
        values: shape (series, n), n ≥ 1, NaN where unknown.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        horizons: shape (h,), steps ahead, increasing, at most a day.
        config: the frozen configuration.
        origins: newest steps to forecast from; few for a quick first result, all by default.
        older: fine cells of the time before.

    Returns:
        The ensemble, and the result of the backtest.
    """
    run = backtest(values, first, step, horizons, config, origins=origins, older=older)
    strides = np.array([stride(int(horizon), config) for horizon in horizons], dtype=np.intp)
    begins = np.concatenate([[0], np.cumsum(-(-horizons // strides))])
    stored = past_of.STORED
    known = np.isfinite(values)
    newest = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    last = values[np.arange(len(values)), newest].astype(stored)
    history = history_of(values, first, step, older)
    found = Ensemble(
        history, horizons, strides, _single(run.state), begins, _none_pending(int(begins[-1]), len(values)), last,
        run.last.centre[..., 0].astype(stored),
    )  # fmt: skip
    for t in range(max(0, len(run.origins) - int(horizons[-1])), len(run.origins)):
        _store(found, first + int(run.origins[t]), run.members[t], Issued(run.centre[t], run.scale[t]))
    return found, run


def _none_pending(rows: int, series: int) -> Pending:
    stored, halves = past_of.STORED, past_of.STORED_OLD
    return Pending(
        np.full(rows, _NONE, np.int32), np.zeros((rows, series), stored), np.zeros((rows, series), halves),
        np.zeros((rows, series, COUNT - 1), STORED_ROOTS),
        np.zeros((rows, series, 2), halves), np.zeros((rows, series), stored),
    )  # fmt: skip


def _single(state: CalibrationState) -> CalibrationState:
    """Return the state in single precision."""
    arrays = {name: getattr(state, name) for name in CalibrationState.__slots__}
    return CalibrationState(
        **{name: one.astype(past_of.STORED if one.dtype == np.float64 else one.dtype) for name, one in arrays.items()}
    )


def _store(ensemble: Ensemble, number: int, members: Floats, issued: Issued) -> None:
    """Store the forecasts that are to be checked; shapes (series, h, members) and (series, h, 2)."""
    which = np.flatnonzero(number % ensemble.strides == 0)
    if not len(which):
        return
    pending, rows = ensemble.pending, ensemble.rows(np.array(number))[which]
    members, centre, scale = (part[:, which].swapaxes(0, 1) for part in (members, issued.centre, issued.scale))
    lead = centre[..., 0] - centre[..., 1]
    others = members[..., 1:] - centre[..., :1]
    sizes = np.abs(others)
    unit = np.maximum(np.maximum(sizes.max(axis=-1), np.abs(lead)), scale.max(axis=-1))
    safe = np.where(unit > 0, unit, 1.0)
    roots = np.copysign(np.sqrt(sizes / safe[..., None]), others) * _ROOT_SCALE
    if STORED_ROOTS is np.int8:
        # An integer holds no NaN; where there is no forecast, naive is NaN.
        roots = np.where(np.isfinite(roots), np.rint(roots), 0.0)
    pending.made[rows] = number
    pending.naive[rows] = centre[..., 1]
    pending.centre[rows] = lead / safe
    pending.others[rows] = roots
    pending.scale[rows] = scale / safe[..., None]
    pending.unit[rows] = unit


def advance(
    ensemble: Ensemble,
    number: int,
    values: Floats,
    config: Config,
    *,
    calibration_excluded: Flags | None = None,
    censored: Flags | None = None,
) -> Floats:
    """Take in the values of a step, learn, and issue the forecast; steps since the last one are unknown.

    Args:
        ensemble: changed in place.
        number: of the step: Unix seconds over the step, rounded down; larger than the last one.
        values: shape (series,), NaN where unknown.
        config: the frozen configuration.
        calibration_excluded: shape (series,), values that forecasts read but are not checked by.
        censored: shape (series,), values that are lower bounds only. Such a value is taken as it is where it lies above
            the forecast of the nearest horizon, and as unknown below it.

    Returns:
        The values as they were used, shape (series,), NaN where unknown.
    """
    history, state, horizons = ensemble.history, ensemble.state, ensemble.horizons
    if censored is not None and censored.any():
        values = np.where(censored & (values < ensemble.quantiles(config)[:, 0, _MIDDLE]), np.nan, values)
    outcomes = values if calibration_excluded is None else np.where(calibration_excluded, np.nan, values)
    gap = number - history.now - 1
    if gap:
        state.hold[...] = np.maximum(state.hold - gap, 0)
    else:
        learn_change(state, outcomes - ensemble.last, config)
    _learn_due(ensemble, number, outcomes, config)
    coarse = coarse_now(history)
    push(history, number, values)
    ensemble.last = np.where(np.isfinite(values), values, ensemble.last).astype(past_of.STORED)
    if ensemble.seasons is not None and coarse_now(history) != coarse:
        ensemble.seasons = None
    past = view_of(history, ensemble.seasons, int(horizons[-1]))
    ensemble.seasons = past.seasons
    origin = np.array([past.steps.shape[1] - 1])
    members = member_forecasts(past, origin, horizons, config, _day_median(ensemble, past, origin))[:, :, 0]
    members[~np.isfinite(ensemble.last)] = np.nan
    shifted = shifts(past, origin, config)[:, 0]
    hold = ensemble.hold(config)
    soon = horizons * history.step <= config.climb_seconds
    climbing = climbs(past, origin, config) & soon if soon.any() else None
    now = issue(state, members, shifted, hold, horizons <= hold, config, climbing)
    ensemble.centre = now.centre[..., 0].astype(past_of.STORED)
    _store(ensemble, number, members, now)
    return values


def _day_median(ensemble: Ensemble, past: View, origin: Indices) -> Floats | None:
    """Return the median of the last day, which is computed once an hour; None as long as no cell is complete."""
    cell = past.fine_at(origin)
    hour = int(hour_of(past, cell)[0])
    if cell[0] < 0:
        return None
    if ensemble.day_median is None or ensemble.day_median[0] != hour:
        ensemble.day_median = hour, day_median(past, hour).astype(past_of.STORED)
    return ensemble.day_median[1].astype(np.float64)


def _learn_due(ensemble: Ensemble, number: int, outcomes: Floats, config: Config) -> None:
    """Learn from the pending forecasts of this step; ``outcomes`` has shape (series,)."""
    pending, made = ensemble.pending, number - ensemble.horizons
    rows = ensemble.rows(made)
    due = (pending.made[rows] == made) & (made % ensemble.strides == 0)
    if not due.any() or not np.isfinite(outcomes).any():
        return
    unit, naive = pending.unit[rows].astype(float), pending.naive[rows].astype(float)
    centre = np.empty((*naive.shape, 2))
    centre[..., 0], centre[..., 1] = naive + pending.centre[rows] * unit, naive
    roots = pending.others[rows].astype(float) / _ROOT_SCALE
    members = np.empty((*naive.shape, COUNT))
    members[..., 0] = naive
    members[..., 1:] = centre[..., :1] + roots * np.abs(roots) * unit[..., None]
    issued = Issued(centre.swapaxes(0, 1), (pending.scale[rows] * unit[..., None]).swapaxes(0, 1))
    value = np.where(due, outcomes[:, None], np.nan)
    seconds = ensemble.strides.astype(np.float64) * ensemble.history.step
    learn_sync(ensemble.state, value, members.swapaxes(0, 1), issued, seconds, config)
