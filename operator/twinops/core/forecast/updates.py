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
        start: before the first step, at most ``hold``, shape (series,).
        shifted: whether a level shift is detected at the step, shape (t, series).
        hold: steps that follow on a level shift.
    """
    if len(shifted) == 1:
        return np.where(shifted, hold, np.maximum(start - 1, 0.0))
    number = np.arange(len(shifted))[:, None]
    last = np.maximum.accumulate(np.where(shifted, number, -np.inf), axis=0)
    found: Floats = np.maximum(np.maximum(hold - (number - last), start - number - 1), 0.0)
    return found


def _counted(start: Floats, known: Flags) -> Floats:
    """Return a count after each step, shape (t, ...), in the precision of ``start``."""
    if len(known) == 1:
        return np.asarray(start + known)
    return (start + np.cumsum(known, axis=0)).astype(start.dtype, copy=False)


def learn_changes(state: CalibrationState, changes: Floats, config: Config) -> CalibrationState:
    """Return the states after each of these one-step changes; all but the mean square change is as before.

    Args:
        state: before the first step.
        changes: from the step before, shape (t, series), NaN where unknown.
        config: the frozen configuration.
    """
    known = np.isfinite(changes)
    steps = _counted(state.steps, known)
    factors = np.where(known, np.maximum(smoothing_factor(config.loss_half_life), 1 / np.maximum(steps, 1)), 0.0)
    squares = weighted_means(state.change, np.where(known, changes, 0.0) ** 2, factors)
    return dataclasses.replace(state, steps=steps, change=squares)


def learning_rates(seconds: Floats, config: Config) -> Floats:
    """Return the least weight of a check in each mean, shape (horizons, 6): losses, sizes, long-run sizes, skill.

    The sizes have two each, for ensemble and naive.

    Args:
        seconds: between two checks, shape (horizons,).
        config: the frozen configuration.
    """
    rates = np.empty((len(seconds), 6))
    rates[:, 0] = smoothing_factor(config.loss_half_life)
    rates[:, 1:3] = smoothing_factor(config.scale_half_life)
    rates[:, 3:5] = smoothing_factor(config.long_half_life)
    rates[:, 5] = seconds / config.skill_seconds
    return rates


def learn_losses(
    state: CalibrationState, after: CalibrationState, outcomes: Floats, members: Floats, known: Flags, rates: Floats
) -> Floats:
    """Fill in the number of checks and every member's mean absolute error after each step.

    Args:
        state: before the first step.
        after: after each step.
        outcomes: observed values, shape (t, series, horizons), finite.
        members: forecasts of them by the members, shape (t, series, horizons, members); overwritten.
        known: which outcomes count, shape (t, series, horizons).
        rates: of ``learning_rates``.

    Returns:
        The weight of each check in these means, shape (t, series, horizons, 6): 0 where it does not count, that of
        a plain mean while there are few checks, else its rate.
    """
    after.checks = _counted(state.checks, known)
    factors = np.maximum(rates, (1 / np.maximum(after.checks, 1))[..., None])
    errors = np.subtract(outcomes[..., None], members, out=members)
    np.abs(errors, out=errors)
    if not known.all():
        factors = np.where(known[..., None], factors, 0.0)
        errors = np.where(known[..., None], errors, 0.0)
    after.loss = weighted_means(state.loss, errors, factors[..., :1])
    return factors


def learn_sizes(state: CalibrationState, after: CalibrationState, residual: Floats, factors: Floats) -> None:
    """Fill in the mean absolute residuals, over recent checks and over many, after each step.

    Args:
        state: before the first step.
        after: after each step.
        residual: outcome less centre of ensemble and naive, shape (t, series, horizons, 2), 0 where unknown.
        factors: as ``learn_losses`` returns them.
    """
    missed = np.abs(residual)
    both = np.concatenate([missed, missed], axis=-1)
    after.sizes = weighted_means(state.sizes, both, factors[..., 1:5])


def learn_quantiles(
    state: CalibrationState,
    after: CalibrationState,
    residual: Floats,
    scale: Floats,
    known: Flags,
    factors: Floats,
    config: Config,
) -> tuple[Floats, Floats]:
    """Fill in score, width, coverage and trust after each step, and track the quantiles of scaled residuals.

    Args:
        state: before the first step.
        after: after each step; ``checks`` are filled in already.
        residual: outcome less centre of ensemble and naive, shape (t, series, horizons, 2), 0 where unknown.
        scale: error scale as issued with the forecast, of the same shape.
        known: which outcomes count, shape (t, series, horizons).
        factors: as ``learn_losses`` returns them.
        config: the frozen configuration.

    Returns:
        The quantiles before each step, shape (t, series, horizons, 2, levels), and after the last.
    """
    usable = known[..., None] & (scale > 0)
    scaled = residual / (scale if usable.all() else np.where(usable, scale, 1.0))
    before, last = tracked_quantiles(state.quantiles, scaled, np.where(usable, config.quantile_step, 0.0))
    score, width, covered = scores(before, residual, scale)
    figures = np.concatenate([score, width, covered[..., None]], axis=-1)
    figures = weighted_means(state.figures, figures, factors[..., 5:])
    after.figures = figures.astype(state.figures.dtype, copy=False)
    after.trusted = hysteresis(state.trusted, *trust_change(after))
    return before, last


def learn_sync(
    state: CalibrationState, outcomes: Floats, members: Floats, issued: Issued, seconds: Floats, config: Config
) -> None:
    """Learn, at one sync, from the outcomes of forecasts issued earlier; ``state`` is changed.

    Args:
        state: before this sync; changed in place.
        outcomes: shape (series, horizons), NaN where unknown, excluded from calibration or not due.
        members: forecasts of the members, shape (series, horizons, members); overwritten.
        issued: the forecasts as issued; NaN where no value was known yet.
        seconds: between two checks, shape (horizons,).
        config: the frozen configuration.
    """
    known = (np.isfinite(outcomes) & np.isfinite(issued.centre[..., 1]))[None]
    if not known.any():
        return
    value = np.where(known, outcomes, 0.0)
    residual = np.where(known[..., None], value[..., None] - issued.centre, 0.0)
    after = dataclasses.replace(state)
    factors = learn_losses(state, after, value, members[None], known, learning_rates(seconds, config))
    learn_sizes(state, after, residual, factors)
    _, last = learn_quantiles(state, after, residual, issued.scale[None], known, factors, config)
    state.quantiles[...] = last
    state.checks[...], state.loss[...], state.sizes[...] = after.checks[-1], after.loss[-1], after.sizes[-1]
    state.figures[...], state.trusted[...] = after.figures[-1], after.trusted[-1]


def learn_change(state: CalibrationState, change: Floats, config: Config) -> None:
    """Learn from the change since the last step, shape (series,), NaN where unknown; ``state`` is changed."""
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
        state: before this sync; changed in place.
        members: forecasts of the members, shape (series, horizons, members).
        shifted: whether a level shift is detected, shape (series,).
        hold: steps for which naive is published after a level shift.
        near: horizons that end within that time, shape (horizons,).
        config: the frozen configuration.
        climbing: whether values climb steadily, and the horizon is near enough for that to count, shape
            (series, horizons).
    """
    state.hold[...] = hold_left(state.hold, shifted[None], hold)[-1]
    return Issued(mixed(state, members, near, config, climbing), scale_of(state, config))
