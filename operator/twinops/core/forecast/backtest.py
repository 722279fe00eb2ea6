"""The whole past at once: what would have been forecast at every step, and the calibration that results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.calibration import CalibrationState, Issued, mixed, new_state, published, scale_of
from twinops.core.forecast.cells import Cells, carried
from twinops.core.forecast.config import DAY, LAYOUT, Config
from twinops.core.forecast.members import WINDOW, climbs, member_forecasts
from twinops.core.forecast.updates import (
    hold_left,
    learn_changes,
    learn_losses,
    learn_quantiles,
    learn_sizes,
    learning_rates,
)
from twinops.core.forecast.views import View, view
from twinops.core.series import Flags, Floats, Indices

SHIFT_STEPS = LAYOUT.shift_steps
_CHUNK = 192
"""Steps that are worked on at once: as many as keep the arrays small."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a backtest leaves.

    Attributes:
        origins: shape (o,), indices of the steps that were forecast from.
        quantiles: as published, shape (o, series, horizons, levels); None unless asked for.
        naive: naive's under the same calibration, likewise.
        members: every member's forecasts, shape (o, series, horizons, members).
        centre: shape (o, series, horizons, 2), ensemble and naive.
        scale: likewise.
        state: after the last step.
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


def shifts(past: View, origins: Indices, config: Config) -> Flags:
    """Tell where the newest cells all lie far outside the range of the day before them, on one side.

    Cells are compared, not single values: values that are seconds apart leave any range for a moment, and a steep climb
    of some minutes is no new level yet.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), indices of ``past.steps``.
        config: the frozen one.

    Returns:
        Shape (series, o).
    """
    cells = past.fine.values
    newest = past.fine_at(origins)
    length = max(SHIFT_STEPS, round(DAY / past.fine.seconds))
    low, high, known = _range_at(cells, np.maximum(newest - SHIFT_STEPS, 0), length)
    margin = config.shift_margin * np.maximum(high - low, 0.0)
    filled = carried(cells)
    latest = [filled[:, np.maximum(newest - k, 0)] for k in range(SHIFT_STEPS)]
    low, high = low - margin, high + margin
    above, below = latest[0] > high, latest[0] < low
    for cell in latest[1:]:
        above, below = above & (cell > high), below & (cell < low)
    outside: Flags = above | below
    # A few cells do not show the usual range: a climb leaves that of its own first minutes.
    return outside & (newest >= SHIFT_STEPS) & (known >= config.shift_known)


def _range_at(values: Floats, ends: Indices, length: int) -> tuple[Floats, Floats, Floats]:
    """Return least and largest known value of the ``length`` columns up to each of these, and how many are known.

    All of shape (series, o).
    """
    if len(ends) == 1:
        values = values[:, max(0, int(ends[0]) - length + 1) : int(ends[0]) + 1]
        known = np.isfinite(values)
        low, high = np.where(known, values, np.inf), np.where(known, values, -np.inf)
        return low.min(axis=1)[:, None], high.max(axis=1)[:, None], known.sum(axis=1)[:, None]
    known = np.isfinite(values)
    low, high = _range(values, length)
    total = np.cumsum(known, axis=1)
    before = np.where(ends >= length, total[:, np.maximum(ends - length, 0)], 0)
    return low[:, ends], high[:, ends], total[:, ends] - before


def _range(values: Floats, length: int) -> tuple[Floats, Floats]:
    """Return least and largest known value of the last ``length`` cells, by doubling windows."""
    low, high = np.where(np.isfinite(values), values, np.inf), np.where(np.isfinite(values), values, -np.inf)
    width = 1
    while width < length:
        lag = min(width, length - width)
        for array, pick in ((low, np.minimum), (high, np.maximum)):
            array[:, lag:] = pick(array[:, lag:], array[:, :-lag].copy())
        width += lag
    return low, high


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
) -> Run:
    """Forecast from every step of a past (rolling origin), learning from each outcome when it is known, not before.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen one.
        origins: newest steps to forecast from; all by default.
        older: fine cells of the time before.
        calibration_excluded: shape (series, n), values that are known, but that nothing is learned from.
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
    return run(
        members, outcomes[:, begin:], shifted, places, first, step, horizons, config, keep=keep, climbing=climbing
    )


def run(  # noqa: PLR0913 - everything the loop reads
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
) -> Run:
    """Weigh and calibrate forecasts that are given.

    The steps of a chunk are worked on together, in an order in which everything that is read is known: losses, centres,
    sizes of the residuals, scales, quantiles. The order of time is kept by ``updates``.

    Args:
        members: shape (o, series, horizons, members); the first member is naive.
        outcomes: what is scored, shape (series, o), NaN where unknown or excluded.
        shifted: whether a level shift is seen, shape (series, o).
        places: shape (o,), index of every origin among the steps.
        first: number of the first step.
        step: seconds.
        horizons: shape (h,), steps.
        config: the frozen one.
        keep: whether to keep the published quantiles.
        climbing: whether values climb steadily, shape (series, o).
    """
    count, series, width = members.shape[:3]
    state = new_state(series, width, members.shape[-1])
    centre, scale = np.zeros((count, series, width, 2)), np.zeros((count, series, width, 2))
    quantiles = np.full((count, series, width, state.quantiles.shape[-1]), np.nan) if keep else None
    naive = quantiles.copy() if quantiles is not None else None
    changes = np.full((count, series), np.nan)
    changes[1:] = outcomes.T[1:] - members[:-1, :, 0, 0]
    strides = np.array([stride(int(h), config) for h in horizons])
    rates = learning_rates(strides.astype(np.float64) * step, config)
    hold = float(np.ceil(config.hold_seconds / step))
    near, soon = horizons <= hold, horizons * step <= config.climb_seconds
    due = (np.arange(count)[:, None] >= horizons) & ((first + places[:, None] - horizons) % strides == 0)
    for begin in range(0, count, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        rows = np.maximum(np.arange(count)[part, None] - horizons, 0)
        then = _at_origins(members, rows)
        value = np.where(due[part, None], outcomes.T[part, :, None], np.nan)
        known = np.isfinite(value) & np.isfinite(then[..., 0])
        value = np.where(known, value, 0.0)
        after = learn_changes(state, changes[part], config)
        factors = learn_losses(state, after, value, then, known, rates)
        after.hold = hold_left(state.hold, shifted.T[part], hold)
        steady = None if climbing is None else climbing.T[part][..., None] & soon
        centre[part] = mixed(after, members[part], near, config, steady)
        residual = np.where(known[..., None], value[..., None] - _at_origins(centre, rows), 0.0)
        learn_sizes(state, after, residual, factors)
        scale[part] = scale_of(after, config)
        issued_scale = _at_origins(scale, rows)
        before, last = learn_quantiles(state, after, residual, issued_scale, known, factors, config)
        if quantiles is not None and naive is not None:
            now = Issued(centre[part], scale[part])
            after.quantiles = np.concatenate([before[1:], last[None]])
            quantiles[part] = published(after, now, horizons, near)
            offsets = now.scale[..., 1, None] * np.sort(after.quantiles[..., 1, :], axis=-1)
            naive[part] = now.centre[..., 1, None] + offsets
        after.quantiles = last[None]
        state = CalibrationState(
            **{field.name: getattr(after, field.name)[-1].copy() for field in dataclasses.fields(CalibrationState)}
        )
    return Run(places, quantiles, naive, members, centre, scale, state)


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
