"""The probability of crossing a limit from every step of a past, each learned from what was known by then.

All recursions but one are linear, so they run over all steps at once; only the quantiles move step by step. What
results is what ``crossing`` gives one step at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.backtest import stride
from twinops.core.forecast.config import Config
from twinops.core.forecast.exceedance import (
    ExceedanceState,
    combine,
    moved,
    new_exceedance_state,
    path_probability,
    rates,
    slot_of,
    state_of,
)
from twinops.core.series import Flags, Floats, Indices

_LARGEST_EXPONENT = 500.0


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


@dataclass(frozen=True, slots=True, eq=False)
class _Matured:
    """What matures at every step, shapes (n, k): of the forecast that was made a horizon earlier.

    Attributes:
        at: step at which it was made.
        event: whether any step crossed.
        residual: path maximum less the highest forecast.
        checked: whether the event is known and checked.
        whole: whether the residual is, too.
    """

    at: Indices
    event: Floats
    residual: Floats
    checked: Flags
    whole: Flags


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
    """Give the probability from every step of a past, learning each outcome when it is known and not before.

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
        [
            running_means(np.abs(came.residual), came.whole, life)
            for life in (config.scale_half_life, config.long_half_life)
        ],
        axis=-1,
    )
    scale = np.maximum(sizes[..., 0], config.scale_floor * sizes[..., 1])
    path = _path_chances(state, came, scale, np.repeat(bounds.T, kinds, axis=1) - highest, config)
    events = _tallies(came, by_row[came.at, rows], by_row, 0.5 ** (1 / config.state_half_life), state.states)
    in_slot = _tallies(
        came, slots[came.at], np.broadcast_to(slots[:, None], by_row.shape), config.slot_decay, state.slots
    )[0]
    experts = np.concatenate([path[..., None], rates(events[0], in_slot, events[1], config)], axis=-1)

    sides, brier = (by_row == 0).astype(np.intp), np.zeros_like(experts)
    squared = (experts[came.at, rows] - came.event[..., None]) ** 2
    for side in (0, 1):
        mine = came.checked & (sides[came.at, rows] == side)
        means = running_means(np.where(mine[..., None], squared, 0.0), mine[..., None], config.brier_half_life)
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


def _matured(event: Floats, most: Floats, highest: Floats, horizons: Indices, first: int, config: Config) -> _Matured:
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
    return _Matured(at, np.where(checked, came, 0.0), np.where(whole, residual, 0.0), checked, whole)


def _path_chances(state: ExceedanceState, came: _Matured, scale: Floats, room: Floats, config: Config) -> Floats:
    """Return the first expert's probability, shape (n, k), and leave the quantiles in the state."""
    made_with = np.take_along_axis(scale, came.at, axis=0)
    usable: Flags = came.whole & (made_with > 0)
    scaled = came.residual / np.where(usable, made_with, 1.0)
    pace = np.where(usable, config.quantile_step, 0.0)
    any_usable: Flags = np.asarray(usable.any(axis=1))
    history = np.zeros((len(scale), *state.quantiles.shape))
    quantiles = state.quantiles
    for t in range(len(scale)):
        if any_usable[t]:
            quantiles = moved(quantiles, scaled[t], pace[t], config)
        history[t] = quantiles
    state.quantiles = quantiles
    return path_probability(history, scale, room, config)


def _tallies(
    came: _Matured, learned_in: Indices, read_in: Indices, decay: float, last: Floats
) -> tuple[Floats, Floats]:
    """Return decayed crossings and checks in the cell that is read at every step, and in any, shapes (n, k, 2).

    Args:
        came: the outcomes.
        learned_in: cell that each outcome belongs to, shape (n, k).
        read_in: cell that is asked for at each step, shape (n, k).
        decay: per check in the same cell.
        last: shape (k, cells, 2); what is left after the last step is written here.
    """
    read, total = np.zeros((*read_in.shape, 2)), np.zeros((*read_in.shape, 2))
    for cell in range(last.shape[1]):
        mine = came.checked & (learned_in == cell)
        sums = np.stack([decayed_sums(one, mine, decay) for one in (came.event, np.ones_like(came.event))], axis=-1)
        read = np.where((read_in == cell)[..., None], sums, read)
        total += sums
        last[:, cell] = sums[-1]
    return read, total


def decayed_sums(values: Floats, counted: Flags, decay: float) -> Floats:
    """Return, at every step, the sum of the values counted so far; each of them makes those before it decay.

    Args:
        values: shape (n, ...), finite.
        counted: which values count, likewise or broadcast.
        decay: factor per value that counts, below 1.
    """
    block = max(1, int(_LARGEST_EXPONENT / -np.log(decay)))
    found, carried = np.zeros_like(values), np.zeros_like(values[:1])
    for begin in range(0, len(values), block):
        part = slice(begin, begin + block)
        grown = decay ** -np.cumsum(counted[part], axis=0, dtype=float)
        found[part] = (carried + np.cumsum(values[part] * counted[part] * grown, axis=0)) / grown
        carried = found[part][-1:]
    return found


def running_means(values: Floats, counted: Flags, half_life: float) -> Floats:
    """Return, at every step, the plain mean of the first values, and a decaying one from 1 / (its weight) on.

    Args:
        values: shape (n, ...), finite, 0 where they don't count.
        counted: which values count, likewise or broadcast.
        half_life: values.
    """
    weight = 1 - 0.5 ** (1 / half_life)
    enough = int(1 / weight)
    number = np.cumsum(counted, axis=0)
    young = counted & (number <= enough)
    begun = np.cumsum(values * young, axis=0) / np.clip(number, 1, enough)
    later = counted & ~young
    if not later.any():
        return begun
    kept = (1 - weight) ** np.maximum(number - enough, 0)
    means: Floats = begun * kept + weight * decayed_sums(values, later, 1 - weight)
    return means


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
