"""The exceedance probability from every step of a past, each learned only from what was known by then.

It gives what ``exceedance_online`` gives one sync at a time; a property test holds them together.
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
    """What a backtest leaves, for every step t of the past.

    Attributes:
        exceedance: the probability, shape (n, series, horizons).
        experts: each expert's, shape (n, k, experts).
        scale: of the path's residual, shape (n, k).
        highest: highest forecast on the way, shape (n, k).
        states: shape (n, series).
        since: seconds since the last value beyond the limit, after the last step, shape (series,).
        state: after the last step.
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
        config: the frozen one.
        first: number of the first step.
        calibration_excluded: shape (s, n): windows that hold one are not learned from.
    """
    count, kinds = values.shape[1], len(horizons)
    bounds = np.broadcast_to(limit[:, None] if limit.ndim == 1 else limit, values.shape)
    beyond = values > bounds
    since = _since(beyond, step)
    states, slots = state_of(since.T, config), slot_of(first + np.arange(count), step, config)
    highest = np.maximum.accumulate(centre, axis=-1).reshape(count, -1)
    came = _matured(*outcomes(values, beyond, horizons, calibration_excluded), highest, horizons, first, config)
    state = new_exceedance_state(highest.shape[1], config)
    by_row = np.repeat(states, kinds, axis=1)
    rows = np.arange(highest.shape[1])

    sizes = np.stack(
        [means_of(np.abs(came.residual), came.whole, life) for life in (config.scale_half_life, config.long_half_life)],
        axis=-1,
    )
    scale = np.maximum(sizes[..., 0], config.scale_floor * sizes[..., 1])
    path = path_probabilities(state, came, scale, np.repeat(bounds.T, kinds, axis=1) - highest, config)
    events = tallies(came, by_row[came.at, rows], by_row, 0.5 ** (1 / config.state_half_life), state.states)
    in_slot = tallies(
        came, slots[came.at], np.broadcast_to(slots[:, None], by_row.shape), config.slot_decay, state.slots
    )[0]
    experts = np.concatenate([path[..., None], rates(events[0], in_slot, events[1], config)], axis=-1)

    sides, brier = (by_row == 0).astype(np.intp), np.zeros_like(experts)
    squared = (experts[came.at, rows] - came.event[..., None]) ** 2
    for side in (0, 1):
        mine = came.checked & (sides[came.at, rows] == side)
        means = means_of(np.where(mine[..., None], squared, 0.0), mine[..., None], config.brier_half_life)
        brier = np.where((sides == side)[..., None], means, brier)
        state.brier[:, side], state.judged[:, side] = means[-1], mine.sum(axis=0)
    state.size[:], state.checks[:] = sizes[-1], came.whole.sum(axis=0)
    by_series = (*centre.shape, -1)
    exceedance = combine(brier.reshape(by_series), experts.reshape(by_series), events[1].reshape(by_series), config)
    return ExceedanceRun(exceedance, experts, scale, highest, states, since[:, -1], state)


def _since(beyond: Flags, step: float) -> Floats:
    """Return the seconds since the last value beyond, shape (s, n); infinite before the first."""
    places = np.arange(beyond.shape[1])
    newest = np.maximum.accumulate(np.where(beyond, places, -1), axis=1)
    return np.where(newest >= 0, (places - newest) * step, np.inf)


def _matured(event: Floats, most: Floats, highest: Floats, horizons: Indices, first: int, config: Config) -> Matured:
    """Lay out, by the step at which they are known, the outcomes of shapes (s, h, n)."""
    count, rows = highest.shape
    lag = np.tile(horizons, rows // len(horizons))
    every = np.tile([stride(int(horizon), config) for horizon in horizons], rows // len(horizons))
    made = np.arange(count)[:, None] - lag
    at, columns = np.maximum(made, 0), np.arange(rows)
    came = event.reshape(rows, count).T[at, columns]
    residual = (most.reshape(rows, count).T - highest)[at, columns]
    checked = (made >= 0) & ((first + made) % every == 0) & np.isfinite(came) & np.isfinite(highest[at, columns])
    whole = checked & np.isfinite(residual)
    return Matured(at, np.where(checked, came, 0.0), np.where(whole, residual, 0.0), checked, whole)


def outcomes(
    values: Floats, beyond: Flags, horizons: Indices, calibration_excluded: Flags | None = None
) -> tuple[Floats, Floats]:
    """Return whether any of the next steps crosses, and their maximum, shapes (s, h, n); NaN where not known.

    Args:
        values: shape (s, n), NaN where unknown.
        beyond: whether each value lies beyond its limit.
        horizons: shape (h,).
        calibration_excluded: shape (s, n): nothing is known of windows that hold one.
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
