"""The exceedance probability: that any of the next h steps crosses a limit, learned from past crossings.

It does not follow from marginal quantiles: the maximum of a path lies higher than each of its steps. Three experts
estimate it:

* the distribution of the path maximum: its residuals from the highest forecast on the way, calibrated as
  ``calibration`` calibrates single steps;
* the rate of crossings in the current state, which is how long ago the last value beyond the limit was;
* the rate in the same five minutes of earlier hours, for periodic jobs (cron).

Their probabilities are averaged with weights that fall with a power of each expert's recent Brier score (Brier 1950),
kept apart for origins beyond the limit and not. So the rates outweigh a residual distribution only where it is far off.

A *row* is one series at one horizon; the rows of a series are adjacent, in the order of the horizons. Beyond a limit
means above it: where lower values are harmful, values and limit are handed in negated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from twinops.core.forecast.calibration import MEAN_OF_NORMAL
from twinops.core.forecast.config import HOUR, Config
from twinops.core.series import Floats, Indices

EXPERTS = 3
_LEAST_BRIER = 1e-4
_BASE_PRIOR = (0.5, 10.0)
"""Crossings and checks that the rate in any state begins with."""


@dataclass(slots=True, eq=False)
class ExceedanceState:
    """The learned state of k rows.

    Attributes:
        size: mean absolute residual of the path maximum, over recent checks and over many, shape (k, 2).
        quantiles: of scaled residuals, shape (k, levels).
        checks: number of known path maxima, shape (k,).
        states: decayed number of crossings and of checks per state, shape (k, states, 2).
        slots: the same per five minutes of the hour, shape (k, slots, 2).
        brier: mean squared error of every expert, shape (k, 2, experts); the axis of two: not beyond, beyond.
        judged: number of checks per side of the limit, shape (k, 2).
    """

    size: Floats
    quantiles: Floats
    checks: Floats
    states: Floats
    slots: Floats
    brier: Floats
    judged: Floats


@cache
def constant(figures: tuple[float, ...]) -> Floats:
    """Return figures of the configuration as an array, which must not be changed."""
    return np.array(figures)


def new_exceedance_state(rows: int, config: Config) -> ExceedanceState:
    """Return the initial state: scaled residuals are those of a normal distribution."""
    start = np.array([NormalDist().inv_cdf(level) for level in config.risk_levels]) / MEAN_OF_NORMAL
    return ExceedanceState(
        np.zeros((rows, 2)), np.tile(start, (rows, 1)), np.zeros(rows),
        np.zeros((rows, len(config.risk_states) + 1, 2)), np.zeros((rows, HOUR // config.risk_slot_seconds, 2)),
        np.zeros((rows, 2, EXPERTS)), np.zeros((rows, 2)),
    )  # fmt: skip


def state_of(since_seconds: Floats, config: Config) -> Indices:
    """Return the state for the seconds since the last value beyond the limit: 0 for beyond now."""
    states: Indices = np.searchsorted(constant(config.risk_states), since_seconds, side="right")
    return states


def slot_of(number: int | Indices, step: float, config: Config) -> Indices:
    """Return which part of the hour the step of this number begins in."""
    slots: Indices = (np.asarray(number * step) % HOUR // config.risk_slot_seconds).astype(np.intp)
    return slots


def scale_of(state: ExceedanceState, config: Config) -> Floats:
    """Return the scale of the path's residual, shape (k,)."""
    return np.maximum(state.size[:, 0], config.scale_floor * state.size[:, 1])


def path_probability(quantiles: Floats, scale: Floats, room: Floats, config: Config) -> Floats:
    """Return the probability that the path's residual exceeds ``room``: the limit less the highest forecast.

    Linear between the quantiles, exponential tails through the median.

    Args:
        quantiles: of scaled residuals, shape (..., levels).
        scale: shape (...).
        room: shape (...).
        config: the frozen configuration.
    """
    levels = constant(config.risk_levels)
    count, shape = len(levels), room.shape
    room = room.ravel()
    values = scale.reshape(-1, 1) * np.sort(quantiles.reshape(-1, count), axis=-1)
    number = (values <= room[:, None]).sum(axis=1)
    lower, rows = np.minimum(np.maximum(number - 1, 0), count - 2), np.arange(len(values))
    left = values[rows, lower]
    span = values[rows, lower + 1] - left
    share = (room - left) / np.where(span > 0, span, 1.0)
    found = 1 - (levels[lower] + np.where(span > 0, share, 1.0) * (levels[lower + 1] - levels[lower]))
    middle = values[:, count // 2]
    if len(over := np.flatnonzero(number == count)):
        last = values[over, -1]
        found[over] = _tail(room[over] - last, last - middle[over], 1 - levels[-1])
    if len(under := np.flatnonzero(number == 0)):
        first = values[under, 0]
        found[under] = 1 - _tail(first - room[under], middle[under] - first, levels[0])
    shaped: Floats = found.reshape(shape)
    return shaped


def _tail(distance: Floats, spread: Floats, outer: float) -> Floats:
    """Return the probability beyond ``distance`` in an exponential tail that holds ``outer``; 0 without spread."""
    ratio = np.minimum(distance, 100.0 * spread) / np.where(spread > 0, spread, 1.0)
    share: Floats = np.where(spread > 0, outer * np.exp(ratio * np.log(outer / 0.5)), 0.0)
    return share


def rates(states: Floats, slots: Floats, total: Floats, config: Config) -> Floats:
    """Return the rates in the current state and in the current slot, shape (..., 2).

    Args:
        states: decayed crossings and checks in the current state, shape (..., 2).
        slots: in the current slot.
        total: in any state.
        config: the frozen configuration.
    """
    base = (total[..., 0] + _BASE_PRIOR[0]) / (total[..., 1] + _BASE_PRIOR[1])
    found = np.empty(total.shape)
    for k, (tally, prior) in enumerate(((states, config.state_prior), (slots, config.slot_prior))):
        found[..., k] = (tally[..., 0] + prior * base) / (tally[..., 1] + prior)
    return found


def combine(brier: Floats, exceedance: Floats, total: Floats, config: Config) -> Floats:
    """Return the weighted probability, which does not fall with the horizon.

    The weight of the rates grows with the number of past crossings: without any, a rate of 0 is no evidence.

    Args:
        brier: of the experts, on the side of the limit of the origin, shape (..., series, horizons, experts).
        exceedance: probabilities of the experts, likewise.
        total: decayed crossings and checks in any state, shape (..., series, horizons, 2).
        config: the frozen configuration.
    """
    counted = brier + _LEAST_BRIER
    weight = (counted.min(axis=-1, keepdims=True) / counted) ** config.brier_power
    weight[..., 1:] *= total[..., :1] / (total[..., :1] + config.evidence)
    mixed = (weight * exceedance).sum(axis=-1) / weight.sum(axis=-1)
    # Rounding could make it exceed 1.
    within: Floats = np.minimum(np.maximum.accumulate(mixed, axis=-1), 1.0)
    return within
