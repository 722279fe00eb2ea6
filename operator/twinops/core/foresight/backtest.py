"""The whole past at once: what would have been forecast at every step, and the state that is left at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinops.core.foresight.config import DAY, Config
from twinops.core.foresight.members import member_forecasts
from twinops.core.foresight.track import Flags, Issued, State, issue, learn, learn_step, new_state, published
from twinops.core.foresight.views import Indices, View, view
from twinops.core.observation import Floats

SHIFT_STEPS = 2
"""Newest values that must all lie outside for a level shift."""


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
    """Tell where the newest values all lie far outside what the day before them held, on one side."""
    length = max(SHIFT_STEPS, round(DAY / past.fine.seconds))
    end = past.fine_at(origins - SHIFT_STEPS)
    if len(origins) == 1:
        part = past.fine.values[:, max(0, int(end[0]) - length + 1) : int(end[0]) + 1]
        low = np.where(np.isfinite(part), part, np.inf).min(axis=1, keepdims=True)
        high = np.where(np.isfinite(part), part, -np.inf).max(axis=1, keepdims=True)
    else:
        low, high = _range(past.fine.values, length)
        low, high = low[:, end], high[:, end]
    margin = config.shift_margin * np.maximum(high - low, 0.0)
    newest = np.stack([past.steps[:, np.maximum(origins - k, 0)] for k in range(SHIFT_STEPS)])
    outside: Flags = (newest.min(axis=0) > high + margin) | (newest.max(axis=0) < low - margin)
    return outside & (origins >= 2 * SHIFT_STEPS)


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


def backtest(
    values: Floats,
    first: int,
    step: float,
    horizons: Indices,
    config: Config,
    *,
    origins: int | None = None,
    censored: Flags | None = None,
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
        censored: shape (series, n), values that must not be scored.
        keep: whether to keep the published quantiles.
    """
    past = view(values, first, step)
    count = values.shape[1]
    begin = 0 if origins is None else max(0, count - origins)
    places = np.arange(begin, count)
    members = np.ascontiguousarray(member_forecasts(past, places, horizons, config).transpose(2, 0, 1, 3))
    came = values if censored is None else np.where(censored, np.nan, values)
    shifted = shifts(past, places, config)
    return run(members, came[:, begin:], shifted, places, first, step, horizons, config, keep=keep)


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
) -> Run:
    """Weigh and calibrate forecasts that are given.

    Args:
        members: shape (o, series, horizons, members); the first member is naive.
        came: what is scored, shape (series, o), NaN where unknown or censored.
        shifted: whether a level shift is seen, shape (series, o).
        places: shape (o,), index of every origin among the steps.
        first: number of the first step.
        step: seconds.
        horizons: shape (h,), steps.
        config: the frozen one.
        keep: whether to keep the published quantiles.
    """
    count, series, kinds = members.shape[:3]
    state = new_state(series, kinds, members.shape[-1])
    centre, scale = np.zeros((count, series, kinds, 2)), np.zeros((count, series, kinds, 2))
    quantiles = np.full((count, series, kinds, state.quantiles.shape[-1]), np.nan) if keep else None
    naive = quantiles.copy() if quantiles is not None else None
    changes = np.full((count, series), np.nan)
    changes[1:] = came.T[1:] - members[:-1, :, 0, 0]
    strides = np.array([stride(int(h), config) for h in horizons])
    hold = np.ceil(config.hold_seconds / step)
    which = np.arange(kinds)
    seconds = strides * step
    for t in range(count):
        if t:
            learn_step(state, changes[t], config)
        made = t - horizons
        due = (made >= 0) & ((first + places[t] - horizons) % strides == 0)
        if due.any():
            at = np.maximum(made, 0)
            value = np.where(due, came[:, t, None], np.nan)
            issued = Issued(_at(centre, at, which), _at(scale, at, which))
            learn(state, value, _at(members, at, which), issued, seconds, config)
        now = issue(state, members[t], shifted[:, t], hold, horizons <= hold, config)
        centre[t], scale[t] = now.centre, now.scale
        if quantiles is not None and naive is not None:
            quantiles[t] = published(state, now, horizons)
            naive[t] = now.centre[..., 1, None] + now.scale[..., 1, None] * np.sort(state.quantiles[:, :, 1], axis=-1)
    return Run(places, quantiles, naive, members, centre, scale, state)


def _at(array: Floats, rows: Indices, which: Indices) -> Floats:
    """Return, for every horizon, the entry of its own row: shape (series, horizons, ...)."""
    return np.moveaxis(array[rows, :, which], 0, 1)
