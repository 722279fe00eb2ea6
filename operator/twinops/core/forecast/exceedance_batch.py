"""The exceedance probability from every step of a past, each learned only from what was known by then.

It returns what ``exceedance_online`` returns one sync at a time; a property test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.backtest import stride
from twinops.core.forecast.config import Config
from twinops.core.forecast.exceedance import (
    ExceedanceState,
    combine,
    new_exceedance_state,
    rates,
    slot_of,
    state_of,
)
from twinops.core.forecast.exceedance_updates import Matured, means_of, path_probabilities, tallies
from twinops.core.series import Flags, Floats, Indices


@dataclass(frozen=True, slots=True, eq=False)
class ExceedanceRun:
    """The result of a backtest of the exceedance probability, for every step of the past.

    Attributes:
        exceedance: the published probability, shape (n, series, horizons).
        experts: each expert's probability, shape (n, k, experts).
        scale: of the residual of the path maximum, shape (n, k).
        highest: highest forecast up to the horizon, shape (n, k).
        states: index into ``Config.risk_states`` at the step, shape (n, series).
        since: seconds since the last value beyond the limit, after the last step, shape (series,).
        state: what was learned by the last step.
    """

    exceedance: Floats
    experts: Floats
    scale: Floats
    highest: Floats
    states: Indices
    since: Floats
    state: ExceedanceState


def backtest_exceedance(
    values: Floats,
    centre: Floats,
    limit: Floats,
    horizons: Indices,
    step: float,
    config: Config,
    *,
    first: int = 0,
    calibration_excluded: Flags | None = None,
) -> ExceedanceRun:
    """Return the probability from every step of a past; each outcome is learned when it is known, not before.

    Args:
        values: shape (s, n), NaN where unknown.
        centre: the ensemble's forecasts, shape (n, s, h), NaN where there was none.
        limit: shape (s,) or (s, n); beyond means strictly above.
        horizons: shape (h,), increasing.
        step: seconds.
        config: the frozen configuration.
        first: number of the first step.
        calibration_excluded: shape (s, n); windows that hold such a value are not learned from.
    """
    count, kinds = values.shape[1], len(horizons)
    bounds = np.broadcast_to(limit[:, None] if limit.ndim == 1 else limit, values.shape)
    beyond = values > bounds
    since = _since(beyond, step)
    states, slots = state_of(since.T, config), slot_of(first + np.arange(count), step, config)
    highest = np.maximum.accumulate(centre, axis=-1).reshape(count, -1)
    matured = _matured(*outcomes(values, beyond, horizons, calibration_excluded), highest, horizons, first, config)
    state = new_exceedance_state(highest.shape[1], config)
    by_row = np.repeat(states, kinds, axis=1)
    scale = _learn_sizes(state, matured, config)
    path = path_probabilities(state, matured, scale, np.repeat(bounds.T, kinds, axis=1) - highest, config)
    rated, total = _learn_rates(state, matured, by_row, slots, config)
    experts = np.concatenate([path[..., None], rated], axis=-1)
    brier = _learn_scores(state, matured, experts, (by_row == 0).astype(np.intp), config)
    by_series = (*centre.shape, -1)
    exceedance = combine(brier.reshape(by_series), experts.reshape(by_series), total.reshape(by_series), config)
    return ExceedanceRun(exceedance, experts, scale, highest, states, since[:, -1], state)


def _learn_sizes(state: ExceedanceState, matured: Matured, config: Config) -> Floats:
    """Return the scale of the path residual at every step, shape (n, k), and leave its mean sizes in the state."""
    residual = np.abs(matured.residual)
    half_lives = (config.scale_half_life, config.long_half_life)
    sizes = np.stack([means_of(residual, matured.whole, half_life) for half_life in half_lives], axis=-1)
    state.size[:], state.checks[:] = sizes[-1], matured.whole.sum(axis=0)
    return np.maximum(sizes[..., 0], config.scale_floor * sizes[..., 1])


def _learn_rates(
    state: ExceedanceState, matured: Matured, by_row: Indices, slots: Indices, config: Config
) -> tuple[Floats, Floats]:
    """Return the rates of ``rates`` and the counts in any state, shapes (n, k, 2); counts are left in the state.

    Args:
        state: changed in place.
        matured: the outcomes.
        by_row: state at every step, shape (n, k).
        slots: slot of the hour at every step, shape (n,).
        config: the frozen configuration.
    """
    rows, at = np.arange(by_row.shape[1]), matured.at
    by_slot = np.broadcast_to(slots[:, None], by_row.shape)
    decay = 0.5 ** (1 / config.state_half_life)
    in_state, total = tallies(matured, by_row[at, rows], by_row, decay, state.states)
    in_slot, _ = tallies(matured, slots[at], by_slot, config.slot_decay, state.slots)
    return rates(in_state, in_slot, total, config), total


def _learn_scores(state: ExceedanceState, matured: Matured, experts: Floats, sides: Indices, config: Config) -> Floats:
    """Return the experts' Brier scores that apply at every step, shape (n, k, experts), and leave them in the state.

    Args:
        state: changed in place.
        matured: the outcomes.
        experts: their probabilities, shape (n, k, experts).
        sides: 1 where the origin lies beyond the limit, else 0, shape (n, k).
        config: the frozen configuration.
    """
    rows, at, brier = np.arange(sides.shape[1]), matured.at, np.zeros_like(experts)
    squared = (experts[at, rows] - matured.event[..., None]) ** 2
    for side in (0, 1):
        scored = matured.checked & (sides[at, rows] == side)
        means = means_of(np.where(scored[..., None], squared, 0.0), scored[..., None], config.brier_half_life)
        brier = np.where((sides == side)[..., None], means, brier)
        state.brier[:, side], state.judged[:, side] = means[-1], scored.sum(axis=0)
    return brier


def _since(beyond: Flags, step: float) -> Floats:
    """Return the seconds since the last value beyond, shape (s, n); infinite before the first."""
    places = np.arange(beyond.shape[1])
    newest = np.maximum.accumulate(np.where(beyond, places, -1), axis=1)
    return np.where(newest >= 0, (places - newest) * step, np.inf)


def _matured(event: Floats, most: Floats, highest: Floats, horizons: Indices, first: int, config: Config) -> Matured:
    """Return outcomes of shapes (s, h, n) by the step at which they become known, of shapes (n, k)."""
    count, rows = highest.shape
    lag = np.tile(horizons, rows // len(horizons))
    every = np.tile([stride(int(horizon), config) for horizon in horizons], rows // len(horizons))
    origin = np.arange(count)[:, None] - lag
    at, columns = np.maximum(origin, 0), np.arange(rows)
    crossed = event.reshape(rows, count).T[at, columns]
    residual = (most.reshape(rows, count).T - highest)[at, columns]
    checked = (origin >= 0) & ((first + origin) % every == 0) & np.isfinite(crossed) & np.isfinite(highest[at, columns])
    whole = checked & np.isfinite(residual)
    return Matured(at, np.where(checked, crossed, 0.0), np.where(whole, residual, 0.0), checked, whole)


def outcomes(
    values: Floats, beyond: Flags, horizons: Indices, calibration_excluded: Flags | None = None
) -> tuple[Floats, Floats]:
    """Return whether any of the next steps crosses, and their maximum, shapes (s, h, n); NaN where unknown.

    Args:
        values: shape (s, n), NaN where unknown.
        beyond: whether each value lies beyond its limit.
        horizons: shape (h,).
        calibration_excluded: shape (s, n); the outcome of a window that holds such a value is NaN.
    """
    series, count = values.shape
    event, highest = np.full((series, len(horizons), count), np.nan), np.full((series, len(horizons), count), np.nan)
    known, touched = (
        np.isfinite(values),
        np.zeros_like(beyond) if calibration_excluded is None else calibration_excluded,
    )
    most = np.where(known, values, -np.inf)
    for h, length in enumerate(map(int, horizons)):
        if length >= count:
            continue
        whole, crossed = _ahead(known, length).all(axis=-1), _ahead(beyond, length).any(axis=-1)
        clean = ~_ahead(touched, length).any(axis=-1)
        event[:, h, :-length] = np.where((whole | crossed) & clean, crossed, np.nan)
        highest[:, h, :-length] = np.where(whole & clean, _ahead(most, length).max(axis=-1), np.nan)
    return event, highest


def _ahead(array: np.ndarray, length: int) -> np.ndarray:
    """Return the next ``length`` entries after each that has so many, shape (s, n - length, length)."""
    return np.lib.stride_tricks.sliding_window_view(array[:, 1:], length, axis=1)
