"""How the calibration state changes over t steps: one implementation for a backtest and for a single sync.

Every function takes the state before the first of t steps and returns figures after each of them; the first axis of
its arrays is time. A backtest (``backtest``) hands over some hundred steps at once, a sync (``learn_sync``) one. Only
what depends on the step before is a loop, so that a backtest costs a sixth of as many single steps
(docs/decisions/0015-online-and-batch.md).

The four recursions are standard: exponentially weighted means that begin as plain means, stochastic approximation of
quantiles (Robbins & Monro 1951), which for scaled residuals is adaptive conformal inference (Gibbs & Candes 2021), a
switch with hysteresis, and a countdown.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from twinops.core.forecast.calibration import (
    LEVELS,
    CalibrationState,
    Issued,
    mixed,
    scale_of,
    scores,
    trust_change,
)
from twinops.core.forecast.config import Config
from twinops.core.series import Flags, Floats


def smoothing_factor(half_life: float) -> float:
    """Return the weight of the newest entry in an exponentially weighted mean whose entries halve in this many."""
    return float(1 - 0.5 ** (1 / half_life))


def weighted_means(start: Floats, values: Floats, factors: Floats) -> Floats:
    """Return exponentially weighted means after each step: ``mean += factor * (value - mean)``.

    Args:
        start: the means before the first step, shape (...).
        values: shape (t, ...); overwritten by the answer.
        factors: weight of each value, shape (t, ...) or to be broadcast against ``values``; 0 leaves a mean as it is.
    """
    mean = start
    for value, factor in zip(values, factors, strict=True):
        np.subtract(value, mean, out=value)
        np.multiply(value, factor, out=value)
        mean = np.add(value, mean, out=value)
    return values


def tracked_quantiles(start: Floats, scaled: Floats, factors: Floats) -> tuple[Floats, Floats]:
    """Track quantiles: each moves up when a value lies above it and down when below, by its level's share of a step.

    Args:
        start: before the first step, shape (..., levels).
        scaled: scaled residuals, shape (t, ...).
        factors: length of a step relative to max(1, abs(quantile)), shape (t, ...); 0 leaves the quantiles as they are.

    Returns:
        The quantiles before each step, shape (t, ..., levels), and after the last.
    """
    before = np.empty((len(scaled), *start.shape))
    quantiles, moved, size = start.astype(float), np.empty(start.shape), np.empty(start.shape)
    for k, (value, factor) in enumerate(zip(scaled[..., None], factors[..., None], strict=True)):
        before[k] = quantiles
        np.subtract(quantiles, value, out=moved)
        np.heaviside(moved, LEVELS, out=moved)
        np.subtract(LEVELS, moved, out=moved)
        np.abs(quantiles, out=size)
        np.maximum(size, 1.0, out=size)
        size *= factor
        size *= moved
        quantiles += size
    return before, quantiles


def hysteresis(start: Flags, on: Flags, off: Flags) -> Flags:
    """Return a switch after each step: ``on`` sets it, ``off`` resets it and wins, else it stays; shape (t, ...)."""
    found = np.empty_like(on)
    switch = start
    for turns_on, turns_off, after in zip(on, off, found, strict=True):
        np.logical_or(turns_on, switch, out=after)
        switch = np.greater(after, turns_off, out=after)
    return found


def hold_left(start: Floats, shifted: Flags, hold: float) -> Floats:
    """Return, at each step, the steps for which naive is still published after a level shift, shape (t, series).

    Args:
        start: before the first step, shape (series,).
        shifted: whether a level shift is seen at the step, shape (t, series).
        hold: steps that follow on a level shift.
    """
    number = np.arange(len(shifted))[:, None]
    last = np.maximum.accumulate(np.where(shifted, number, -np.inf), axis=0)
    found: Floats = np.maximum(np.maximum(hold - (number - last), start - number - 1), 0.0)
    return found


def learn_changes(state: CalibrationState, changes: Floats, config: Config) -> CalibrationState:
    """Return the states after each of these one-step changes; all but the mean square change is as before.

    Args:
        state: before the first step.
        changes: from the step before, shape (t, series), NaN where unknown.
        config: the frozen one.
    """
    known = np.isfinite(changes)
    steps = (state.steps + np.cumsum(known, axis=0)).astype(state.steps.dtype, copy=False)
    factors = np.where(known, np.maximum(smoothing_factor(config.loss_half_life), 1 / np.maximum(steps, 1)), 0.0)
    squares = weighted_means(state.change, np.where(known, changes, 0.0) ** 2, factors)
    return dataclasses.replace(state, steps=steps, change=squares)


def learn_losses(
    state: CalibrationState, after: CalibrationState, outcomes: Floats, members: Floats, known: Flags, config: Config
) -> None:
    """Fill in the number of checks and every member's mean absolute error after each step.

    Args:
        state: before the first step.
        after: after each step.
        outcomes: what came, shape (t, series, horizons), finite.
        members: what the members had forecast of it, shape (t, series, horizons, members); overwritten.
        known: which outcomes count, shape (t, series, horizons).
        config: the frozen one.
    """
    after.checks = (state.checks + np.cumsum(known, axis=0)).astype(state.checks.dtype, copy=False)
    errors = np.subtract(outcomes[..., None], members, out=members)
    np.abs(errors, out=errors)
    if not known.all():
        errors = np.where(known[..., None], errors, 0.0)
    after.loss = weighted_means(state.loss, errors, _factors(after, known, smoothing_factor(config.loss_half_life)))


def learn_sizes(
    state: CalibrationState, after: CalibrationState, residual: Floats, known: Flags, config: Config
) -> None:
    """Fill in the short and the long exponentially weighted mean of absolute residuals after each step.

    Args:
        state: before the first step.
        after: after each step; ``checks`` are filled in already.
        residual: outcome less centre of ensemble and naive, shape (t, series, horizons, 2), 0 where unknown.
        known: which outcomes count, shape (t, series, horizons).
        config: the frozen one.
    """
    short = _factors(after, known, smoothing_factor(config.scale_half_life))
    long = _factors(after, known, smoothing_factor(config.long_half_life))
    factors = np.concatenate([short, short, long, long], axis=-1)
    start = np.concatenate([state.size, state.long], axis=-1)
    sizes = weighted_means(start, np.concatenate([np.abs(residual)] * 2, axis=-1), factors)
    after.size, after.long = sizes[..., :2], sizes[..., 2:]


def learn_quantiles(
    state: CalibrationState,
    after: CalibrationState,
    residual: Floats,
    scale: Floats,
    known: Flags,
    seconds: Floats,
    config: Config,
) -> tuple[Floats, Floats]:
    """Fill in score, width, coverage and trust after each step, and track the quantiles of scaled residuals.

    Args:
        state: before the first step.
        after: after each step; ``checks`` are filled in already.
        residual: outcome less centre of ensemble and naive, shape (t, series, horizons, 2), 0 where unknown.
        scale: error scale as issued with the forecast, of the same shape.
        known: which outcomes count, shape (t, series, horizons).
        seconds: between two checks, shape (horizons,).
        config: the frozen one.

    Returns:
        The quantiles before each step, shape (t, series, horizons, 2, levels), and after the last.
    """
    usable = known[..., None] & (scale > 0)
    scaled = residual / np.where(usable, scale, 1.0)
    before, last = tracked_quantiles(state.quantiles, scaled, np.where(usable, config.quantile_step, 0.0))
    score, width, covered = scores(before, residual, scale)
    figures = np.concatenate([score, width, covered[..., None]], axis=-1)
    start = np.concatenate([state.score, state.width, state.covered[..., None]], axis=-1)
    figures = weighted_means(start, figures, _factors(after, known, seconds / config.skill_seconds))
    figures = figures.astype(state.score.dtype, copy=False)
    after.score, after.width, after.covered = figures[..., :2], figures[..., 2:4], figures[..., 4]
    after.trusted = hysteresis(state.trusted, *trust_change(after))
    return before, last


def _factors(after: CalibrationState, known: Flags, factor: float | Floats) -> Floats:
    """Return the weight of each check in an exponentially weighted mean, shape (t, series, horizons, 1).

    While there are few checks it is that of a plain mean. The state's precision must not round the factor.
    """
    young = 1 / np.maximum(after.checks, 1)
    return np.where(known, np.maximum(np.asarray(factor, dtype=np.float64), young), 0.0)[..., None]


def learn_sync(
    state: CalibrationState, outcomes: Floats, members: Floats, issued: Issued, seconds: Floats, config: Config
) -> None:
    """Take in what came, at one sync, of forecasts issued earlier; ``state`` is changed.

    Args:
        state: what was learned so far.
        outcomes: shape (series, horizons), NaN where unknown, excluded from calibration or not due.
        members: what the members had forecast, shape (series, horizons, members); overwritten.
        issued: what had been issued; NaN where nothing was known yet.
        seconds: between two checks, shape (horizons,).
        config: the frozen one.
    """
    known = (np.isfinite(outcomes) & np.isfinite(issued.centre[..., 1]))[None]
    if not known.any():
        return
    outcomes = np.where(known, outcomes, 0.0)
    residual = np.where(known[..., None], outcomes[..., None] - issued.centre, 0.0)
    after = dataclasses.replace(state)
    learn_losses(state, after, outcomes, members[None], known, config)
    learn_sizes(state, after, residual, known, config)
    _, last = learn_quantiles(state, after, residual, issued.scale[None], known, seconds, config)
    state.quantiles[...] = last
    for name in ("checks", "loss", "size", "long", "score", "width", "covered", "trusted"):
        getattr(state, name)[...] = getattr(after, name)[-1]


def learn_change(state: CalibrationState, change: Floats, config: Config) -> None:
    """Take in the change from the last step to this one, shape (series,), NaN where unknown; ``state`` is changed."""
    after = learn_changes(state, change[None], config)
    state.steps[...], state.change[...] = after.steps[-1], after.change[-1]


def issue(
    state: CalibrationState,
    members: Floats,
    shifted: Flags,
    hold: float,
    near: Flags,
    config: Config,
    climbing: Flags | None = None,
) -> Issued:
    """Issue the forecast of one sync; the state's hold is counted down.

    Args:
        state: what was learned so far.
        members: what the members forecast, shape (series, horizons, members).
        shifted: whether a level shift is seen now, shape (series,).
        hold: steps for which naive is published after a level shift.
        near: horizons, shape (horizons,), for which it is: those that end within that time.
        config: the frozen one.
        climbing: whether values climb steadily, and the horizon is near enough for that to count, shape
            (series, horizons).
    """
    state.hold[...] = hold_left(state.hold, shifted[None], hold)[-1]
    return Issued(mixed(state, members, near, config, climbing), scale_of(state, config))
