"""How the exceedance state changes: over one sync, and over a whole past at once, side by side.

Both versions exist because one sync at a time would cost a full backtest ten to fifteen times as much, and the whole
past at once needs every outcome laid out (docs/decisions/0015-online-and-batch.md). A property test holds them
together. Three things are learned, each first for one sync (``learn_…``, m rows whose outcome is due), then for a past
of n steps and k rows:

* decayed counts of crossings and checks, per state and per part of the hour: ``learn_event`` and ``tallies``;
* every expert's mean squared error (Brier 1950): ``learn_score`` and ``means_of``;
* size and quantiles of the path residual, as in ``updates``: ``learn_path`` and ``path_probabilities``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from twinops.core.forecast.config import Config
from twinops.core.forecast.exceedance import ExceedanceState, constant, path_probability
from twinops.core.series import Flags, Floats, Indices

_LARGEST_EXPONENT = 500.0


@cache
def _least_weights(*half_lives: float) -> Floats:
    """Return the least weight of a new value in exponentially weighted means of these half-lives."""
    return 1 - 0.5 ** (1 / np.array(half_lives))


@dataclass(frozen=True, slots=True, eq=False)
class Matured:
    """The outcomes that become known at every step, shapes (n, k): of the forecasts issued a horizon earlier.

    Attributes:
        at: step at which the forecast was issued.
        event: whether any step crossed.
        residual: path maximum less the highest forecast.
        checked: whether the event is known and checked.
        whole: whether the residual is known, too.
    """

    at: Indices
    event: Floats
    residual: Floats
    checked: Flags
    whole: Flags


def learn_event(
    state: ExceedanceState, rows: Indices, states: Indices, slots: Indices, event: Floats, config: Config
) -> None:
    """Count the outcomes of forecasts, by the state and the slot of their origins.

    Args:
        state: changed in place.
        rows: those whose outcome is known, shape (m,).
        states: of the origins, shape (m,).
        slots: likewise.
        event: whether any step crossed, 1 or 0, shape (m,).
        config: the frozen configuration.
    """
    for tally, cells, decay in (
        (state.states, states, 0.5 ** (1 / config.state_half_life)),
        (state.slots, slots, config.slot_decay),
    ):
        counted = tally[rows, cells] * decay
        counted[:, 0] += event
        counted[:, 1] += 1
        tally[rows, cells] = counted


def tallies(
    matured: Matured, learned_in: Indices, read_in: Indices, decay: float, last: Floats
) -> tuple[Floats, Floats]:
    """Return decayed crossings and checks in the state (or slot) at every step, and in any, shapes (n, k, 2).

    Args:
        matured: the outcomes.
        learned_in: state or slot that each outcome belongs to, shape (n, k).
        read_in: state or slot at each step, shape (n, k).
        decay: per check in the same state or slot.
        last: shape (k, cells, 2); the counts after the last step are written here.
    """
    read, total = np.zeros((*read_in.shape, 2)), np.zeros((*read_in.shape, 2))
    for cell in range(last.shape[1]):
        counted = matured.checked & (learned_in == cell)
        sums = np.stack(
            [decayed_sums(one, counted, decay) for one in (matured.event, np.ones_like(matured.event))], axis=-1
        )
        read = np.where((read_in == cell)[..., None], sums, read)
        total += sums
        last[:, cell] = sums[-1]
    return read, total


def decayed_sums(values: Floats, counted: Flags, decay: float) -> Floats:
    """Return, at every step, the sum of the values counted so far; each of them decays those before it.

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


def learn_score(state: ExceedanceState, rows: Indices, side: Indices, squared: Floats, config: Config) -> None:
    """Score the experts.

    Args:
        state: changed in place.
        rows: shape (m,).
        side: 1 for origins beyond the limit, else 0, shape (m,).
        squared: squared error of every expert, shape (m, experts).
        config: the frozen configuration.
    """
    judged = state.judged[rows, side] + 1
    state.judged[rows, side] = judged
    pace = np.maximum(_least_weights(config.brier_half_life), 1 / judged)
    brier = state.brier[rows, side]
    state.brier[rows, side] = brier + pace[:, None] * (squared - brier)


def means_of(values: Floats, counted: Flags, half_life: float) -> Floats:
    """Return, at every step, the plain mean of the first 1 / weight values, then an exponentially weighted one.

    Args:
        values: shape (n, ...), finite, 0 where they do not count.
        counted: which values count, likewise or broadcast.
        half_life: number of values.
    """
    weight = 1 - 0.5 ** (1 / half_life)
    enough = int(1 / weight)
    number = np.cumsum(counted, axis=0)
    young = counted & (number <= enough)
    plain = np.cumsum(values * young, axis=0) / np.clip(number, 1, enough)
    later = counted & ~young
    if not later.any():
        return plain
    kept = (1 - weight) ** np.maximum(number - enough, 0)
    means: Floats = plain * kept + weight * decayed_sums(values, later, 1 - weight)
    return means


def learn_path(state: ExceedanceState, rows: Indices, residual: Floats, scale: Floats, config: Config) -> None:
    """Learn from residuals of path maxima.

    Args:
        state: changed in place.
        rows: shape (m,).
        residual: path maximum less the highest forecast up to the horizon, finite, shape (m,).
        scale: as issued with the forecast, shape (m,).
        config: the frozen configuration.
    """
    usable = scale > 0
    scaled = residual / np.where(usable, scale, 1.0)
    state.quantiles[rows] = moved_quantiles(
        state.quantiles[rows], scaled, np.where(usable, config.quantile_step, 0.0), config
    )
    checks = state.checks[rows] + 1
    state.checks[rows] = checks
    size = state.size[rows]
    weight = np.maximum(_least_weights(config.scale_half_life, config.long_half_life), (1 / checks)[:, None])
    state.size[rows] = size + weight * (np.abs(residual)[:, None] - size)


def path_probabilities(state: ExceedanceState, matured: Matured, scale: Floats, room: Floats, config: Config) -> Floats:
    """Return the first expert's probability, shape (n, k), and leave the quantiles in the state.

    Args:
        state: changed in place.
        matured: the outcomes.
        scale: of the path residual at every step, shape (n, k).
        room: limit less the highest forecast, shape (n, k).
        config: the frozen configuration.
    """
    made_with = np.take_along_axis(scale, matured.at, axis=0)
    usable: Flags = matured.whole & (made_with > 0)
    scaled = matured.residual / np.where(usable, made_with, 1.0)
    pace = np.where(usable, config.quantile_step, 0.0)
    any_usable: Flags = np.asarray(usable.any(axis=1))
    history = np.zeros((len(scale), *state.quantiles.shape))
    quantiles = state.quantiles
    for t in range(len(scale)):
        if any_usable[t]:
            quantiles = moved_quantiles(quantiles, scaled[t], pace[t], config)
        history[t] = quantiles
    state.quantiles = quantiles
    return path_probability(history, scale, room, config)


def moved_quantiles(quantiles: Floats, scaled: Floats, pace: Floats, config: Config) -> Floats:
    """Return the quantiles, shape (m, levels), after one more scaled residual each, shape (m,)."""
    levels, scaled = constant(config.risk_levels), scaled[:, None]
    below = np.where(scaled == quantiles, levels, scaled < quantiles)
    after: Floats = quantiles + pace[:, None] * np.maximum(1.0, np.abs(quantiles)) * (levels - below)
    return after
