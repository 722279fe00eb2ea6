"""The calibration state of an ensemble, and the forecasts computed from it.

One state holds several series at several horizons; ``updates`` changes it.

* A member's weight is its mean absolute error, over checks of the same horizon with a half-life, to a negative power
  (after Bates & Granger 1969; exponentially weighted averaging of experts).
* Residuals are divided by the exponentially weighted mean absolute error as it stood when the forecast was issued. Each
  quantile of these scaled residuals is tracked online, so that the share of values below it tends to its level whatever
  the series does (Robbins & Monro 1951; adaptive conformal inference, Gibbs & Candes 2021).
* Skill is the weighted interval score (Bracher et al. 2021) relative to that of naive under the same calibration. The
  ensemble is published while that ratio is low enough (hysteresis between two thresholds), else naive is.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from twinops.core.forecast.config import LAYOUT, Config
from twinops.core.forecast.horizon import MIN_CHECKS, QUANTILES
from twinops.core.forecast.members import CLIMB, COUNT
from twinops.core.series import Flags, Floats, Indices

LEVELS = np.array(QUANTILES)
_MIDDLE = QUANTILES.index(0.5)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
MEAN_OF_NORMAL = 0.797884560802865
"""Mean absolute value of a standard normal variable, sqrt(2 / pi)."""
_TINY = 1e-30
_RELATIVE_TINY = 1e-9


@dataclass(slots=True, eq=False)
class CalibrationState:
    """Weights, error scales and skill of s series at h horizons. The axis of two holds the ensemble and naive.

    Attributes:
        loss: mean absolute error of every member, shape (s, h, members).
        checks: number of forecasts whose outcome is known, shape (s, h).
        steps: number of known one-step changes, shape (s,).
        change: mean square of one-step changes, shape (s,).
        sizes: mean absolute residual over recent checks (``size``) and over many (``long``), shape (s, h, 4).
        quantiles: of scaled residuals, shape (s, h, 2, levels).
        figures: mean weighted interval score (``score``), mean width of the 90 % interval (``width``), and mean share
            of values inside the ensemble's (``covered``), shape (s, h, 5).
        trusted: whether the ensemble is published, else naive, shape (s, h).
        hold: steps for which naive is still published after a level shift, shape (s,).
    """

    loss: Floats
    checks: Floats
    steps: Floats
    change: Floats
    sizes: Floats
    quantiles: Floats
    figures: Floats
    trusted: Flags
    hold: Floats

    @property
    def size(self) -> Floats:
        """Mean absolute residual over recent checks, shape (s, h, 2)."""
        return self.sizes[..., :2]

    @property
    def long(self) -> Floats:
        """Mean absolute residual over many checks, shape (s, h, 2)."""
        return self.sizes[..., 2:]

    @property
    def score(self) -> Floats:
        """Mean weighted interval score, shape (s, h, 2)."""
        return self.figures[..., :2]

    @property
    def width(self) -> Floats:
        """Mean width of the 90 % interval, shape (s, h, 2)."""
        return self.figures[..., 2:4]

    @property
    def covered(self) -> Floats:
        """Mean share of values inside the ensemble's 90 % interval, shape (s, h)."""
        return self.figures[..., 4]


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """Forecasts as issued: centre and error scale of ensemble and naive, both of shape (s, h, 2)."""

    centre: Floats
    scale: Floats


def new_state(series: int, horizons: int, members: int = COUNT) -> CalibrationState:
    """Return the initial state: scaled residuals are those of a normal distribution."""
    shape = (series, horizons)
    start = np.broadcast_to(NORMAL / MEAN_OF_NORMAL, (*shape, 2, len(LEVELS))).copy()
    return CalibrationState(
        loss=np.zeros((*shape, members)),
        checks=np.zeros(shape),
        steps=np.zeros(series),
        change=np.zeros(series),
        sizes=np.zeros((*shape, 4)),
        quantiles=start,
        figures=np.zeros((*shape, 5)),
        trusted=np.ones(shape, dtype=bool),
        hold=np.zeros(series),
    )


def scores(quantiles: Floats, residual: Floats, scale: Floats) -> tuple[Floats, Floats, Floats]:
    """Return weighted interval score and width of issued forecasts, and whether the ensemble's interval held the value.

    The score is the mean over the levels of twice the pinball loss (Bracher et al. 2021).

    Args:
        quantiles: of scaled residuals as they stood before this outcome, shape (..., 2, levels).
        residual: outcome less centre, shape (..., 2).
        scale: as issued, shape (..., 2).

    Returns:
        Shapes (..., 2), (..., 2) and (...).
    """
    offsets = scale[..., None] * quantiles
    over = residual[..., None] - offsets
    # Twice the pinball loss, mean over the levels: a value below a quantile adds its distance.
    score = (over @ LEVELS + np.maximum(-over, 0.0).sum(axis=-1)) * (2 / len(LEVELS))
    width = offsets[..., -1] - offsets[..., 0]
    inside = (residual[..., 0] >= offsets[..., 0, 0]) & (residual[..., 0] <= offsets[..., 0, -1])
    return score, width, inside.astype(float)


def trust_change(state: CalibrationState) -> tuple[Flags, Flags]:
    """Return where the ensemble's score is low enough to publish it, and where naive is to be published instead."""
    ratio = relative_error(state)
    return ratio < LAYOUT.gate_opens, (state.checks >= MIN_CHECKS) & (ratio > LAYOUT.gate_shuts)


def relative_error(state: CalibrationState) -> Floats:
    """Return the ensemble's score relative to naive's, shape (..., h); 1 where neither was ever wrong."""
    ours, naive = state.score[..., 0], state.score[..., 1]
    return np.where(naive > 0, ours / np.maximum(naive, _TINY), np.where(ours > 0, np.inf, 1.0))


def weights(state: CalibrationState, config: Config) -> Floats:
    """Return every member's weight, shape (..., h, members), with sum 1."""
    counted = state.loss + (_RELATIVE_TINY / state.loss.shape[-1]) * state.loss.sum(axis=-1, keepdims=True) + _TINY
    share = _power(counted.min(axis=-1, keepdims=True) / counted, config.loss_power)
    normed: Floats = share / share.sum(axis=-1, keepdims=True)
    return normed


def _power(base: Floats, exponent: int) -> Floats:
    """Return an integer power by squaring, which is ten times as fast as numpy's own power."""
    found: Floats | float = 1.0
    while exponent:
        if exponent % 2:
            found = found * base
        base = base * base
        exponent //= 2
    return np.asarray(found)


def mixed(
    state: CalibrationState, members: Floats, near: Flags, config: Config, climbing: Flags | None = None
) -> Floats:
    """Return the centre of ensemble and naive, shape (..., h, 2).

    The ensemble is naive itself while there are too few checks to weigh the members, and after a level shift; the
    climb member where values climb steadily; else the weighted mean of the members.

    Args:
        state: before this step.
        members: forecasts of the members, shape (..., h, members); the first one is naive.
        near: horizons that end while naive is published after a level shift, shape (h,).
        config: the frozen configuration.
        climbing: whether values climb steadily and the horizon is near enough for that to count, shape (..., h).
    """
    naive = members[..., 0]
    # As differences from naive, so that members equal to naive add nothing, not even a rounding error.
    mean = naive + np.einsum("...m,...m->...", weights(state, config), members - naive[..., None])
    naive_only = (state.checks < config.young_checks) | ((state.hold > 0)[..., None] & near)
    centre = np.empty((*naive.shape, 2))
    centre[..., 0], centre[..., 1] = np.where(naive_only, naive, mean), naive
    if climbing is not None and climbing.any():
        centre[..., 0] = np.where(climbing, members[..., CLIMB], centre[..., 0])
    return centre


def scale_of(state: CalibrationState, config: Config) -> Floats:
    """Return the error scale of ensemble and naive, shape (..., h, 2)."""
    return np.maximum(state.size, config.scale_floor * state.long)


def published(state: CalibrationState, issued: Issued, horizons: Indices, near: Flags) -> Floats:
    """Return the quantiles to publish, shape (..., h, levels), not decreasing.

    Before ``MIN_CHECKS`` they are those of a random walk from the last value; where the ensemble is not trusted,
    naive's. While naive is published after a level shift, the median is naive itself, since the quantiles were tracked
    at the old level.

    Args:
        state: before this step.
        issued: the forecasts of this step.
        horizons: shape (h,), steps ahead.
        near: horizons that end while naive is published after a level shift, shape (h,).
    """
    offsets = issued.scale[..., None] * np.sort(state.quantiles, axis=-1)
    quantiles = issued.centre[..., None] + offsets
    chosen = np.where(state.trusted[..., None], quantiles[..., 0, :], quantiles[..., 1, :])
    naive = issued.centre[..., 1, None]
    # Where a steady climb is detected, the ensemble's centre is not naive's: see ``mixed``.
    naive_only = ((state.hold > 0)[..., None] & near & (issued.centre[..., 0] == issued.centre[..., 1]))[..., None]
    if naive_only.any():
        chosen = np.where(naive_only, naive + (chosen - chosen[..., _MIDDLE, None]), chosen)
    calibrated = state.checks >= MIN_CHECKS
    if calibrated.all():
        return chosen
    walk = np.sqrt(state.change[..., None] * horizons)[..., None] * NORMAL
    return np.where(calibrated[..., None], chosen, naive + walk)
