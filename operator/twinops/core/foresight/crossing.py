"""The probability that any of the next h steps crosses a limit, learned from what has crossed it so far.

Marginal quantiles do not give it: the maximum of a path lies higher than each of its steps. Three experts do:

* the distribution of the path maximum itself: its residuals from the highest forecast on the way, calibrated as
  ``track`` calibrates single steps;
* the causal rate of crossings in the current state (how long ago the last crossing was), forgetting with time;
* the rate in the same minutes of the last 24 hours, for what runs by the clock.

Their probabilities are averaged with weights that fall with a power of each one's recent Brier score, apart for origins
beyond the limit and not: a residual distribution that is far off is shrunk to the rates, and only then.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from twinops.core.foresight.config import Config
from twinops.core.foresight.track import Flags
from twinops.core.foresight.views import Indices
from twinops.core.observation import Floats

LEVELS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99])
_START = np.array([NormalDist().inv_cdf(level) for level in LEVELS]) / 0.797884560802865
_SINCE = np.array([300, 1200, 3900, 11_100, 86_700])
"""Seconds since the last value beyond the limit that part the six states."""
STATES = len(_SINCE) + 1
EXPERTS = 3
_HOURS = 24
_HOUR_DECAY = 0.95
_LEAST_BRIER = 1e-4


@dataclass(slots=True, eq=False)
class Crossings:
    """What is learned of s series at h horizons.

    Attributes:
        size: running mean absolute residual of the path maximum, shape (s, h).
        long: the long-run one.
        quantiles: of scaled residuals, shape (s, h, levels).
        checks: shape (s, h).
        events: decayed number of crossings per state, shape (s, h, states).
        seen: decayed number of origins per state.
        brier: mean squared error of every expert, shape (s, h, 2, experts); the axis of two: not beyond, beyond.
        judged: checks per side, shape (s, h, 2).
    """

    size: Floats
    long: Floats
    quantiles: Floats
    checks: Floats
    events: Floats
    seen: Floats
    brier: Floats
    judged: Floats


def new_crossings(series: int, horizons: int) -> Crossings:
    """Return a state that knows nothing."""
    shape = (series, horizons)
    return Crossings(
        np.zeros(shape), np.zeros(shape), np.broadcast_to(_START, (*shape, len(LEVELS))).copy(), np.zeros(shape),
        np.zeros((*shape, STATES)), np.zeros((*shape, STATES)), np.zeros((*shape, 2, EXPERTS)), np.zeros((*shape, 2)),
    )  # fmt: skip


def state_of(since_seconds: Floats) -> Indices:
    """Return the state for the seconds since the last value beyond the limit: 0 for beyond now."""
    states: Indices = np.searchsorted(_SINCE, since_seconds, side="right")
    return states


def hourly_rate(events: Floats, origin: int, lag: int, horizon: int, base: Floats, config: Config) -> Floats:
    """Return the decayed rate of crossings in the same minutes of the last 24 hours, shape (series,).

    Args:
        events: 1 where any of the ``horizon`` steps after an entry crosses, 0 where none, NaN unknown, (series, n).
        origin: index of now; entries from ``origin - horizon + 1`` on are not read.
        lag: steps of an hour.
        horizon: steps, at most an hour's; beyond, the newest hours are left out.
        base: rate to lean on, shape (series,).
        config: the frozen one.
    """
    back = np.arange(1, _HOURS + 1)
    places = origin - lag * back
    use = (places >= 0) & (places <= origin - horizon)
    seen = events[:, np.maximum(places, 0)]
    weight = np.where(use & np.isfinite(seen), _HOUR_DECAY ** (back - 1), 0.0)
    number = weight.sum(axis=1)
    rate: Floats = ((weight * np.where(weight > 0, seen, 0.0)).sum(axis=1) + config.hour_prior * base) / (
        number + config.hour_prior
    )
    return rate


def experts(
    state: Crossings, centre: Floats, limit: Floats, states: Indices, hourly: Floats, config: Config
) -> tuple[Floats, Floats]:
    """Return every expert's probability, shape (s, h, experts), and the scale of the path's residual, (s, h).

    Args:
        state: what was learned so far.
        centre: highest forecast on the way, shape (s, h).
        limit: shape (s,).
        states: shape (s,).
        hourly: shape (s, h).
        config: the frozen one.
    """
    scale = np.maximum(state.size, config.scale_floor * state.long)
    values = centre[..., None] + scale[..., None] * np.sort(state.quantiles, axis=-1)
    path = _beyond(values, np.broadcast_to(limit[:, None], centre.shape))
    rows = np.arange(len(states))
    base = base_rate(state)
    rate = (state.events[rows, :, states] + config.state_prior * base) / (
        state.seen[rows, :, states] + config.state_prior
    )
    return np.stack([path, rate, hourly], axis=-1), scale


def base_rate(state: Crossings) -> Floats:
    """Return the rate of crossings in any state, shape (s, h)."""
    rate: Floats = (state.events.sum(axis=-1) + 0.5) / (state.seen.sum(axis=-1) + 10.0)
    return rate


def combine(state: Crossings, probabilities: Floats, beyond: Flags, config: Config) -> Floats:
    """Return the weighted probability, shape (s, h)."""
    brier = np.where(beyond[:, None, None], state.brier[:, :, 1], state.brier[:, :, 0]) + _LEAST_BRIER
    weight = (brier.min(axis=-1, keepdims=True) / brier) ** config.brier_power
    mixed: Floats = (weight * probabilities).sum(axis=-1) / weight.sum(axis=-1)
    return mixed


def learn_crossing(
    state: Crossings,
    event: Floats,
    highest: Floats,
    centre: Floats,
    scale: Floats,
    probabilities: Floats,
    states: Indices,
    config: Config,
) -> None:
    """Take in what came of the forecasts made h steps ago; all of shape (s, h) unless told.

    Args:
        state: what was learned so far; it is changed.
        event: whether any step crossed, 1 or 0, NaN where unknown.
        highest: the path's maximum, NaN where a step is unknown.
        centre: highest forecast on the way, as made.
        scale: as made.
        probabilities: of the experts, as made, shape (s, h, experts).
        states: as they were.
        config: the frozen one.
    """
    due = np.isfinite(event)
    came = np.where(due, event, 0.0)
    rows, columns = np.indices(event.shape)
    decay = np.where(due, 0.5 ** (1 / config.state_half_life), 1.0)
    state.events[rows, columns, states] = state.events[rows, columns, states] * decay + came
    state.seen[rows, columns, states] = state.seen[rows, columns, states] * decay + due
    side = (states == 0).astype(np.intp)
    state.judged[rows, columns, side] += due
    pace = np.where(
        due, np.maximum(_rate(config.brier_half_life), 1 / np.maximum(state.judged[rows, columns, side], 1)), 0.0
    )
    squared = (probabilities - came[..., None]) ** 2
    state.brier[rows, columns, side] += pace[..., None] * (squared - state.brier[rows, columns, side])

    whole = np.isfinite(highest) & due
    residual = np.where(whole, highest - centre, 0.0)
    usable = whole & (scale > 0)
    scaled = (residual / np.where(usable, scale, 1.0))[..., None]
    below = np.where(scaled == state.quantiles, LEVELS, scaled < state.quantiles)
    moved = np.where(usable, config.quantile_step, 0.0)[..., None] * np.maximum(1.0, np.abs(state.quantiles))
    state.quantiles += moved * (LEVELS - below)
    state.checks += whole
    young = 1 / np.maximum(state.checks, 1)
    missed = np.abs(residual)
    state.size += np.where(whole, np.maximum(_rate(config.scale_half_life), young), 0.0) * (missed - state.size)
    state.long += np.where(whole, np.maximum(_rate(config.long_half_life), young), 0.0) * (missed - state.long)


def _rate(half_life: float) -> float:
    return float(1 - 0.5 ** (1 / half_life))


def _beyond(values: Floats, limit: Floats) -> Floats:
    """Return the probability above the limit: linear between the quantiles, exponential tails through the median."""
    count = values.shape[-1]
    number = (values <= limit[..., None]).sum(axis=-1)
    lower = np.clip(number - 1, 0, count - 2)
    left = np.take_along_axis(values, lower[..., None], axis=-1)[..., 0]
    right = np.take_along_axis(values, lower[..., None] + 1, axis=-1)[..., 0]
    span = right - left
    share = np.where(span > 0, (limit - left) / np.where(span > 0, span, 1.0), 1.0)
    inner = 1 - (LEVELS[lower] + share * (LEVELS[lower + 1] - LEVELS[lower]))
    middle = values[..., count // 2]
    upper = _tail(limit - values[..., -1], values[..., -1] - middle)
    under = 1 - _tail(values[..., 0] - limit, middle - values[..., 0])
    return np.where(number == 0, under, np.where(number == count, upper, inner))


def _tail(distance: Floats, spread: Floats) -> Floats:
    outer = LEVELS[0]
    far = 100.0 * spread
    ratio = np.minimum(np.maximum(distance, 0.0), far) / np.where(spread > 0, spread, 1.0)
    share: Floats = np.where(spread > 0, outer * np.exp(-ratio * np.log(0.5 / outer)), 0.0)
    return share


def backtest_crossing(
    values: Floats, centre: Floats, limit: Floats, horizons: Indices, step: float, config: Config
) -> Floats:
    """Return the probability from every step of a past, learning each outcome when it is known.

    Args:
        values: shape (s, n), NaN where unknown.
        centre: the ensemble's forecasts, shape (n, s, h).
        limit: shape (s,); beyond means strictly above.
        horizons: shape (h,), increasing.
        step: seconds.
        config: the frozen one.

    Returns:
        Shape (n, s, h).
    """
    series, count = values.shape
    state = new_crossings(series, len(horizons))
    highest_forecast = np.maximum.accumulate(centre, axis=-1)
    event, highest = outcomes(values, limit, horizons)
    above = np.isfinite(values) & (values > limit[:, None])
    found = np.zeros((count, series, len(horizons)))
    scales, chances = np.zeros_like(found), np.zeros((*found.shape, EXPERTS))
    states = np.zeros((count, series), dtype=np.intp)
    since = np.full(series, np.inf)
    lag = max(1, round(3600 / step))
    which = np.arange(len(horizons))
    for t in range(count):
        made = t - horizons
        if (made >= 0).any():
            at = np.maximum(made, 0)
            due = made >= 0
            learn_crossing(
                state, np.where(due, event[:, which, at], np.nan), highest[:, which, at],
                highest_forecast[at, :, which].T, scales[at, :, which].T,
                np.moveaxis(chances[at, :, which], 0, 1), states[at].T, config,
            )  # fmt: skip
        since = np.where(above[:, t], 0.0, since + step)
        states[t] = state_of(since)
        base = base_rate(state)
        hourly = np.stack(
            [hourly_rate(event[:, h], t, lag, int(horizon), base[:, h], config) for h, horizon in enumerate(horizons)],
            axis=1,
        )
        chances[t], scales[t] = experts(state, highest_forecast[t], limit, states[t], hourly, config)
        found[t] = combine(state, chances[t], states[t] == 0, config)
    return found


def outcomes(values: Floats, limit: Floats, horizons: Indices) -> tuple[Floats, Floats]:
    """Return whether any of the next steps crosses, and their maximum, shapes (s, h, n); NaN where not known."""
    series, count = values.shape
    event, highest = np.full((series, len(horizons), count), np.nan), np.full((series, len(horizons), count), np.nan)
    for h, horizon in enumerate(horizons):
        padded = np.concatenate([values[:, 1:], np.full((series, int(horizon)), np.nan)], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, int(horizon), axis=1)
        whole = np.isfinite(windows).all(axis=-1)
        most = np.where(np.isfinite(windows), windows, -np.inf).max(axis=-1)
        inside = np.arange(count) < count - int(horizon)
        crossed = most > limit[:, None]
        event[:, h] = np.where((whole | crossed) & inside, crossed, np.nan)
        highest[:, h] = np.where(whole & inside, most, np.nan)
    return event, highest
