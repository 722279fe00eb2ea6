"""The whole past at once: what would have been forecast at every step, and the state that is left at the end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.calibration import (
    Flags,
    Issued,
    State,
    gate,
    mix,
    new_state,
    published,
    rate,
    scale_of,
    scores,
)
from twinops.core.forecast.config import DAY, LAYOUT, Config
from twinops.core.forecast.members import WINDOW, climbs, member_forecasts
from twinops.core.forecast.recursions import at_origin, averaged, held, lasting, tracked
from twinops.core.forecast.views import Cells, Indices, View, carried, view
from twinops.core.series import Floats

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
    state: State

    @property
    def last(self) -> Issued:
        """The forecasts of the last step."""
        return Issued(self.centre[-1], self.scale[-1])


def stride(horizon: int, config: Config) -> int:
    """Return the steps between two checks of a horizon, so that few forecasts are pending at a time."""
    return -(-horizon // config.most_pending)


def shifts(past: View, origins: Indices, config: Config) -> Flags:
    """Tell where the newest cells all lie far outside what the day before them held, on one side.

    Cells, as single values that are seconds apart leave any range for a moment, and a steep climb of some minutes is
    no new level yet.
    """
    cells = past.fine.values
    newest = past.fine_at(origins)
    length = max(SHIFT_STEPS, round(DAY / past.fine.seconds))
    low, high, known = _range_at(cells, np.maximum(newest - SHIFT_STEPS, 0), length)
    margin = config.shift_margin * np.maximum(high - low, 0.0)
    held = carried(cells)
    latest = np.stack([held[:, np.maximum(newest - k, 0)] for k in range(SHIFT_STEPS)])
    outside: Flags = (latest.min(axis=0) > high + margin) | (latest.max(axis=0) < low - margin)
    # Of a few cells nobody can tell what a usual range is: a climb leaves that of its own first minutes.
    return outside & (newest >= SHIFT_STEPS) & (known >= config.shift_known)


def _range_at(values: Floats, ends: Indices, length: int) -> tuple[Floats, Floats, Floats]:
    """Return least and largest known value of the ``length`` columns up to each of these, and how many are known.

    All of shape (series, o).
    """
    known = np.isfinite(values)
    if len(ends) == 1:
        part = slice(max(0, int(ends[0]) - length + 1), int(ends[0]) + 1)
        values, known = values[:, part], known[:, part]
        low, high = np.where(known, values, np.inf), np.where(known, values, -np.inf)
        return low.min(axis=1)[:, None], high.max(axis=1)[:, None], known.sum(axis=1)[:, None]
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
    """Forecast from every step of a past, learning from each outcome when it is known and not before.

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
    came = values if calibration_excluded is None else np.where(calibration_excluded, np.nan, values)
    shifted = shifts(past, places, config)
    near = bool((horizons * step <= config.climb_seconds).any())
    climbing = climbs(past, places, config) if near else None
    return run(members, came[:, begin:], shifted, places, first, step, horizons, config, keep=keep, climbing=climbing)


def run(  # noqa: PLR0913 - everything the loop reads
    members: Floats,
    came: Floats,
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

    Args:
        members: shape (o, series, horizons, members); the first member is naive.
        came: what is scored, shape (series, o), NaN where unknown or not scored.
        shifted: whether a level shift is seen, shape (series, o).
        places: shape (o,), index of every origin among the steps.
        first: number of the first step.
        step: seconds.
        horizons: shape (h,), steps.
        config: the frozen one.
        keep: whether to keep the published quantiles.
        climbing: whether values climb steadily, shape (series, o).
    """
    count, series, kinds = members.shape[:3]
    state = new_state(series, kinds, members.shape[-1])
    centre, scale = np.zeros((count, series, kinds, 2)), np.zeros((count, series, kinds, 2))
    quantiles = np.full((count, series, kinds, state.quantiles.shape[-1]), np.nan) if keep else None
    naive = quantiles.copy() if quantiles is not None else None
    changes = np.full((count, series), np.nan)
    changes[1:] = came.T[1:] - members[:-1, :, 0, 0]
    strides = np.array([stride(int(h), config) for h in horizons])
    hold = float(np.ceil(config.hold_seconds / step))
    soon = horizons * step <= config.climb_seconds
    due = (np.arange(count)[:, None] >= horizons) & ((first + places[:, None] - horizons) % strides == 0)
    for begin in range(0, count, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        rows = np.maximum(np.arange(count)[part, None] - horizons, 0)
        then = at_origin(members, rows)
        value = np.where(due[part, None], came.T[part, :, None], np.nan)
        known = np.isfinite(value) & np.isfinite(then[..., 0])
        value = np.where(known, value, 0.0)
        after = _changed(state, changes[part], config)
        after.checks = state.checks + np.cumsum(known, axis=0)
        young = 1 / np.maximum(after.checks, 1)
        errors = np.subtract(value[..., None], then, out=then)
        np.abs(errors, out=errors)
        if not known.all():
            errors = np.where(known[..., None], errors, 0.0)
        after.loss = averaged(state.loss, errors, _pace(rate(config.loss_half_life), known, young))
        after.held = held(state.held, shifted.T[part], hold)
        steady = None if climbing is None else climbing.T[part][..., None] & soon
        centre[part] = mix(after, members[part], horizons <= hold, config, steady)
        residual = np.where(known[..., None], value[..., None] - at_origin(centre, rows), 0.0)
        _sized(state, after, residual, known, young, config)
        scale[part] = scale_of(after, config)
        was = at_origin(scale, rows)
        before, last = _judged(state, after, residual, was, known, strides.astype(np.float64) * step, config)
        if quantiles is not None and naive is not None:
            now = Issued(centre[part], scale[part])
            after.quantiles = np.concatenate([before[1:], last[None]])
            quantiles[part] = published(after, now, horizons, horizons <= hold)
            offsets = now.scale[..., 1, None] * np.sort(after.quantiles[..., 1, :], axis=-1)
            naive[part] = now.centre[..., 1, None] + offsets
        after.quantiles = last[None]
        state = State(**{field.name: getattr(after, field.name)[-1].copy() for field in dataclasses.fields(State)})
    return Run(places, quantiles, naive, members, centre, scale, state)


def _sized(state: State, after: State, residual: Floats, known: Flags, young: Floats, config: Config) -> None:
    """Fill in both running sizes of the residuals after each step."""
    half_lives = (config.scale_half_life, config.scale_half_life, config.long_half_life, config.long_half_life)
    pace = np.concatenate([_pace(rate(half_life), known, young) for half_life in half_lives], axis=-1)
    start = np.concatenate([state.size, state.long], axis=-1)
    sizes = averaged(start, np.concatenate([np.abs(residual)] * 2, axis=-1), pace)
    after.size, after.long = sizes[..., :2], sizes[..., 2:]


def _judged(
    state: State, after: State, residual: Floats, scale: Floats, known: Flags, seconds: Floats, config: Config
) -> tuple[Floats, Floats]:
    """Fill in score, width, coverage and gate after each step.

    Args:
        state: before the first step.
        after: after each; ``checks`` are there.
        residual: shape (t, series, horizons, 2), 0 where none is known.
        scale: as issued, of the same shape.
        known: shape (t, series, horizons).
        seconds: between two checks, shape (horizons,).
        config: the frozen one.

    Returns:
        Quantiles before each step, and after the last.
    """
    usable = known[..., None] & (scale > 0)
    scaled = residual / np.where(usable, scale, 1.0)
    before, last = tracked(state.quantiles, scaled, np.where(usable, config.quantile_step, 0.0))
    score, width, covered = scores(before, residual, scale)
    figures = np.concatenate([score, width, covered[..., None]], axis=-1)
    start = np.concatenate([state.score, state.width, state.covered[..., None]], axis=-1)
    young = 1 / np.maximum(after.checks, 1)
    figures = averaged(start, figures, _pace(seconds / config.skill_seconds, known, young))
    after.score, after.width, after.covered = figures[..., :2], figures[..., 2:4], figures[..., 4]
    after.open = lasting(state.open, *gate(after))
    return before, last


def _pace(share: float | Floats, known: Flags, young: Floats) -> Floats:
    """Return the share of each check in a mean: that of a plain mean as long as there are few."""
    return np.where(known, np.maximum(share, young), 0.0)[..., None]


def _changed(state: State, changes: Floats, config: Config) -> State:
    """Return the states after each of these one-step changes, shape (t, series); the rest is as before."""
    known = np.isfinite(changes)
    steps = state.steps + np.cumsum(known, axis=0)
    pace = np.where(known, np.maximum(rate(config.loss_half_life), 1 / np.maximum(steps, 1)), 0.0)
    squares = averaged(state.change, np.where(known, changes, 0.0) ** 2, pace)
    return dataclasses.replace(state, steps=steps, change=squares)
