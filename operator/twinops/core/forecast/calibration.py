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

from twinops.core.forecast.config import LAYOUT, Config
from twinops.core.forecast.horizon import MIN_CHECKS, QUANTILES
from twinops.core.forecast.members import CLIMB, COUNT
from twinops.core.forecast.views import Indices
from twinops.core.series import Floats

Flags = npt.NDArray[np.bool_]

LEVELS = np.array(QUANTILES)
_MIDDLE = QUANTILES.index(0.5)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
_MEAN_OF_NORMAL = 0.797884560802865
"""Mean absolute value of a standard normal variable, sqrt(2 / pi)."""
_TINY = 1e-30
_RELATIVE_TINY = 1e-9


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


def rate(half_life: float) -> float:
    """Return the share that one check has in a mean with this half-life."""
    return float(1 - 0.5 ** (1 / half_life))


def learn_step(state: State, change: Floats, config: Config) -> None:
    """Take in the change from the last step to this one, shape (s,), NaN where unknown."""
    known = np.isfinite(change)
    state.steps += known
    pace = np.where(known, np.maximum(rate(config.loss_half_life), 1 / np.maximum(state.steps, 1)), 0.0)
    state.change += pace * (np.where(known, change, 0.0) ** 2 - state.change)


def learn(state: State, came: Floats, members: Floats, issued: Issued, step: Floats, config: Config) -> None:
    """Take in what came of forecasts made earlier; nothing else may change the weights and the calibration.

    Args:
        state: what was learned so far; it is changed.
        came: shape (s, h), NaN where unknown, not scored or not due.
        members: what the members had forecast, shape (s, h, members).
        issued: what had been issued; NaN where nothing was known yet.
        step: seconds between two checks, shape (h,).
        config: the frozen one.
    """
    due = np.isfinite(came) & np.isfinite(issued.centre[..., 1])
    if not due.any():
        return
    state.checks += due
    young = 1 / np.maximum(state.checks, 1)
    value = np.where(due, came, 0.0)
    rates = np.array([rate(config.loss_half_life), rate(config.scale_half_life), rate(config.long_half_life)])
    paces = np.where(due, np.maximum(rates[:, None, None], young), 0.0)[..., None]
    state.loss += paces[0] * (np.where(due[..., None], np.abs(value[..., None] - members), 0.0) - state.loss)

    residual = np.where(due[..., None], value[..., None] - issued.centre, 0.0)
    pace = np.where(due, np.maximum(step / config.skill_seconds, young), 0.0)
    score, width, covered = scores(state.quantiles, residual, issued.scale)
    state.score += pace[..., None] * (score - state.score)
    state.width += pace[..., None] * (width - state.width)
    state.covered += pace * (covered - state.covered)
    opens, shuts = gate(state)
    state.open = (opens | state.open) & ~shuts

    usable = due[..., None] & (issued.scale > 0)
    scaled = (residual / np.where(usable, issued.scale, 1.0))[..., None]
    moved = np.where(usable, config.quantile_step, 0.0)[..., None] * np.maximum(1.0, np.abs(state.quantiles))
    state.quantiles += moved * (LEVELS - np.heaviside(state.quantiles - scaled, LEVELS))

    missed = np.abs(residual)
    state.size += paces[1] * (missed - state.size)
    state.long += paces[2] * (missed - state.long)


def scores(quantiles: Floats, residual: Floats, scale: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the weighted interval score and the width of what was issued, and whether the ensemble's held.

    Args:
        quantiles: of scaled residuals as they stand before they learn of this, shape (..., 2, levels).
        residual: from the centre, shape (..., 2).
        scale: as issued, shape (..., 2).
    """
    offsets = scale[..., None] * quantiles
    over = residual[..., None] - offsets
    # Twice the pinball loss, mean over the levels: what lies below a quantile adds its distance.
    score = (over @ LEVELS + np.maximum(-over, 0.0).sum(axis=-1)) * (2 / len(LEVELS))
    width = offsets[..., -1] - offsets[..., 0]
    inside = (residual[..., 0] >= offsets[..., 0, 0]) & (residual[..., 0] <= offsets[..., 0, -1])
    return score, width, inside.astype(float)


def gate(state: State) -> tuple[Flags, Flags]:
    """Tell where the ensemble's score opens the gate and where it shuts it."""
    ratio = relative_error(state)
    return ratio < LAYOUT.gate_opens, (state.checks >= MIN_CHECKS) & (ratio > LAYOUT.gate_shuts)


def relative_error(state: State) -> Floats:
    """Return the ensemble's score relative to naive's, shape (s, h); 1 where naive was never wrong either."""
    ours, naive = state.score[..., 0], state.score[..., 1]
    return np.where(naive > 0, ours / np.maximum(naive, _TINY), np.where(ours > 0, np.inf, 1.0))


def weights(state: State, config: Config) -> Floats:
    """Return every member's weight, shape (s, h, members), with sum 1."""
    counted = state.loss + (_RELATIVE_TINY / state.loss.shape[-1]) * state.loss.sum(axis=-1, keepdims=True) + _TINY
    share = _power(counted.min(axis=-1, keepdims=True) / counted, config.loss_power)
    normed: Floats = share / share.sum(axis=-1, keepdims=True)
    return normed


def _power(base: Floats, exponent: int) -> Floats:
    """Return a whole power by squaring; ten times as fast as numpy's own."""
    found: Floats | float = 1.0
    while exponent:
        if exponent % 2:
            found = found * base
        base = base * base
        exponent //= 2
    return np.asarray(found)


def issue(
    state: State,
    members: Floats,
    shifted: Flags,
    hold: float,
    near: Flags,
    config: Config,
    climbing: Flags | None = None,
) -> Issued:
    """Make the forecast of now.

    Args:
        state: what was learned so far; its hold is counted down.
        members: what the members forecast, shape (s, h, members).
        shifted: whether a level shift is seen now, shape (s,).
        hold: steps for which naive stands after a level shift.
        near: horizons, shape (h,), for which it does: those that end within that time.
        config: the frozen one.
        climbing: whether values climb steadily, and the horizon is near enough for that to count, shape (s, h).
    """
    state.held = np.where(shifted, hold, np.maximum(state.held - 1, 0))
    return Issued(mix(state, members, near, config, climbing), scale_of(state, config))


def mix(state: State, members: Floats, near: Flags, config: Config, climbing: Flags | None = None) -> Floats:
    """Return the centre of ensemble and naive, shape (..., h, 2)."""
    naive = members[..., 0]
    # Counted from naive, so that members that all say the same as naive add nothing, not even rounding.
    mixed = naive + np.einsum("...m,...m->...", weights(state, config), members - naive[..., None])
    alone = (state.checks < config.young_checks) | ((state.held > 0)[..., None] & near)
    centre = np.empty((*naive.shape, 2))
    centre[..., 0], centre[..., 1] = np.where(alone, naive, mixed), naive
    if climbing is not None and climbing.any():
        centre[..., 0] = np.where(climbing, members[..., CLIMB], centre[..., 0])
    return centre


def scale_of(state: State, config: Config) -> Floats:
    """Return the error scale of ensemble and naive, shape (..., h, 2)."""
    return np.maximum(state.size, config.scale_floor * state.long)


def published(state: State, issued: Issued, horizons: Indices, near: Flags) -> Floats:
    """Return the quantiles to publish, shape (s, h, levels), not decreasing.

    Before ``MIN_CHECKS`` they are those of a random walk from the last value; with the gate shut, naive's. While naive
    stands after a level shift, the median is naive itself: what quantiles have drifted to was learned at the old level.

    Args:
        state: what was learned so far.
        issued: the forecast of now.
        horizons: shape (h,), steps ahead.
        near: horizons for which naive stands after a level shift, shape (h,).
    """
    offsets = issued.scale[..., None] * np.sort(state.quantiles, axis=-1)
    quantiles = issued.centre[..., None] + offsets
    chosen = np.where(state.open[..., None], quantiles[..., 0, :], quantiles[..., 1, :])
    naive = issued.centre[..., 1, None]
    # A steady climb takes over from naive: see ``mix``.
    alone = ((state.held > 0)[..., None] & near & (issued.centre[..., 0] == issued.centre[..., 1]))[..., None]
    if alone.any():
        chosen = np.where(alone, naive + (chosen - chosen[..., _MIDDLE, None]), chosen)
    calibrated = state.checks >= MIN_CHECKS
    if calibrated.all():
        return chosen
    walk = np.sqrt(state.change[..., None] * horizons)[..., None] * NORMAL
    return np.where(calibrated[..., None], chosen, naive + walk)
