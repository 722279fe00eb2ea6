"""What is learned step by step: each member's weight, the calibration of the intervals, and the skill.

One state holds several series and several horizons. ``learn`` takes in what has come true, ``issue`` makes the
forecast of now; the backtest and the live step call the same two functions, so they agree.

* A member's weight is its mean absolute error, over checks of the same horizon with a half-life, to a negative
  power (after Bates & Granger 1969).
* Residuals are divided by the running mean absolute error as it was known when the forecast was made, and each
  quantile of what results is tracked online: a step up when the value lies above it, down when below, so that the
  share below it tends to its level whatever the series does (Robbins & Monro 1951; Gibbs & Candes 2021).
* Skill is the weighted interval score (Bracher et al. 2021) relative to naive's under the same calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from twinops.core.forecast import MIN_CHECKS, QUANTILES
from twinops.core.foresight.config import Config
from twinops.core.foresight.members import COUNT
from twinops.core.foresight.views import Indices
from twinops.core.observation import Floats

Flags = npt.NDArray[np.bool_]

LEVELS = np.array(QUANTILES)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
_MEAN_OF_NORMAL = 0.797884560802865
"""Mean absolute value of a standard normal variable, sqrt(2 / pi)."""
_TINY = 1e-300
_RELATIVE_TINY = 1e-9

GATE_OPENS, GATE_SHUTS = 0.95, 1.02


@dataclass(slots=True, eq=False)
class State:
    """What is known of s series at h horizons. The axis of two holds the ensemble and naive.

    Attributes:
        loss: mean absolute error of every member, shape (s, h, members).
        checks: matured checks, shape (s, h).
        steps: one-step changes seen, shape (s,).
        change: mean square of one-step changes, shape (s,).
        size: running mean absolute error, shape (s, h, 2).
        long: the long-run one.
        quantiles: of scaled residuals, shape (s, h, 2, levels).
        score: mean weighted interval score, shape (s, h, 2).
        width: mean width of the 90 % interval, shape (s, h, 2).
        covered: mean share inside the ensemble's interval, shape (s, h).
        open: whether the ensemble is published, else naive, shape (s, h).
        held: steps for which naive still stands after a level shift, shape (s,).
    """

    loss: Floats
    checks: Floats
    steps: Floats
    change: Floats
    size: Floats
    long: Floats
    quantiles: Floats
    score: Floats
    width: Floats
    covered: Floats
    open: Flags
    held: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """Forecasts as made: centre and error scale of ensemble and naive, both of shape (s, h, 2)."""

    centre: Floats
    scale: Floats


def new_state(series: int, horizons: int, members: int = COUNT) -> State:
    """Return a state that knows nothing."""
    shape = (series, horizons)
    start = np.broadcast_to(NORMAL / _MEAN_OF_NORMAL, (*shape, 2, len(LEVELS))).copy()
    return State(
        loss=np.zeros((*shape, members)),
        checks=np.zeros(shape),
        steps=np.zeros(series),
        change=np.zeros(series),
        size=np.zeros((*shape, 2)),
        long=np.zeros((*shape, 2)),
        quantiles=start,
        score=np.zeros((*shape, 2)),
        width=np.zeros((*shape, 2)),
        covered=np.zeros(shape),
        open=np.ones(shape, dtype=bool),
        held=np.zeros(series),
    )


def _rate(half_life: float) -> float:
    return float(1 - 0.5 ** (1 / half_life))


def learn_step(state: State, change: Floats, config: Config) -> None:
    """Take in the change from the last step to this one, shape (s,), NaN where unknown."""
    known = np.isfinite(change)
    state.steps += known
    pace = np.where(known, np.maximum(_rate(config.loss_half_life), 1 / np.maximum(state.steps, 1)), 0.0)
    state.change += pace * (np.where(known, change, 0.0) ** 2 - state.change)


def learn(state: State, came: Floats, members: Floats, issued: Issued, step: Floats, config: Config) -> None:
    """Take in what came of forecasts made earlier; nothing else may change the weights and the calibration.

    Args:
        state: what was learned so far; it is changed.
        came: shape (s, h), NaN where unknown, censored or not due.
        members: what the members had forecast, shape (s, h, members).
        issued: what had been issued.
        step: seconds between two checks, shape (h,).
        config: the frozen one.
    """
    due = np.isfinite(came)
    if not due.any():
        return
    state.checks += due
    young = 1 / np.maximum(state.checks, 1)
    value = np.where(due, came, 0.0)
    weight = np.where(due, np.maximum(_rate(config.loss_half_life), young), 0.0)[..., None]
    state.loss += weight * (np.where(due[..., None], np.abs(value[..., None] - members), 0.0) - state.loss)

    residual = np.where(due[..., None], value[..., None] - issued.centre, 0.0)
    _score(state, residual, issued.scale, due, np.maximum(step / config.skill_seconds, young))
    usable = due[..., None] & (issued.scale > 0)
    scaled = (residual / np.where(usable, issued.scale, 1.0))[..., None]
    below = np.where(scaled == state.quantiles, LEVELS, scaled < state.quantiles)
    pace = np.where(usable, config.quantile_step, 0.0)[..., None]
    state.quantiles += pace * np.maximum(1.0, np.abs(state.quantiles)) * (LEVELS - below)

    missed = np.abs(residual)
    weight = np.where(due, np.maximum(_rate(config.scale_half_life), young), 0.0)[..., None]
    state.size += weight * (missed - state.size)
    weight = np.where(due, np.maximum(_rate(config.long_half_life), young), 0.0)[..., None]
    state.long += weight * (missed - state.long)


def _score(state: State, residual: Floats, scale: Floats, due: Flags, pace: Floats) -> None:
    """Take in the score of what was issued, with the quantiles as they stand."""
    pace = np.where(due, pace, 0.0)
    offsets = scale[..., None] * state.quantiles
    over = residual[..., None] - offsets
    score = 2 * np.where(over >= 0, LEVELS * over, (LEVELS - 1) * over).mean(axis=-1)
    state.score += pace[..., None] * (score - state.score)
    width = offsets[..., -1] - offsets[..., 0]
    state.width += pace[..., None] * (width - state.width)
    inside = (residual[..., 0] >= offsets[..., 0, 0]) & (residual[..., 0] <= offsets[..., 0, -1])
    state.covered += pace * (inside - state.covered)
    ratio = relative_error(state)
    judged = state.checks >= MIN_CHECKS
    state.open = ((ratio < GATE_OPENS) | state.open) & ~(judged & (ratio > GATE_SHUTS))


def relative_error(state: State) -> Floats:
    """Return the ensemble's score relative to naive's, shape (s, h); 1 where naive was never wrong either."""
    ours, naive = state.score[..., 0], state.score[..., 1]
    return np.where(naive > 0, ours / np.maximum(naive, _TINY), np.where(ours > 0, np.inf, 1.0))


def weights(state: State, config: Config) -> Floats:
    """Return every member's weight, shape (s, h, members), with sum 1."""
    counted = state.loss + _RELATIVE_TINY * state.loss.mean(axis=-1, keepdims=True) + _TINY
    share = (counted.min(axis=-1, keepdims=True) / counted) ** config.loss_power
    normed: Floats = share / share.sum(axis=-1, keepdims=True)
    return normed


def issue(state: State, members: Floats, shifted: Flags, hold: float, near: Flags, config: Config) -> Issued:
    """Make the forecast of now.

    Args:
        state: what was learned so far; its hold is counted down.
        members: what the members forecast, shape (s, h, members).
        shifted: whether a level shift is seen now, shape (s,).
        hold: steps for which naive stands after a level shift.
        near: horizons, shape (h,), for which it does: those that end within that time.
        config: the frozen one.
    """
    state.held = np.where(shifted, hold, np.maximum(state.held - 1, 0))
    naive = members[..., 0]
    mixed = (weights(state, config) * members).sum(axis=-1)
    mixed = np.where((state.checks < config.young_checks) | ((state.held > 0)[:, None] & near), naive, mixed)
    scale = np.maximum(state.size, config.scale_floor * state.long)
    return Issued(np.stack([mixed, naive], axis=-1), scale)


def published(state: State, issued: Issued, horizons: Indices) -> Floats:
    """Return the quantiles to publish, shape (s, h, levels), not decreasing.

    Before ``MIN_CHECKS`` they are those of a random walk from the last value; with the gate shut, naive's.
    """
    offsets = issued.scale[..., None] * np.sort(state.quantiles, axis=-1)
    quantiles = issued.centre[..., None] + offsets
    chosen = np.where(state.open[..., None], quantiles[:, :, 0], quantiles[:, :, 1])
    walk = np.sqrt(state.change[:, None] * horizons)[..., None] * NORMAL
    calibrated = state.checks >= MIN_CHECKS
    return np.where(calibrated[..., None], chosen, issued.centre[..., 1, None] + walk)
