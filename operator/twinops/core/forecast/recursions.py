"""The recursions of ``track`` over many steps at once: only what depends on the step before is a loop.

Every function works on arrays whose first axis is time, and gives the same figures as ``track`` step by step.
"""

from __future__ import annotations

import numpy as np

from twinops.core.forecast.calibration import LEVELS, Flags
from twinops.core.forecast.views import Indices
from twinops.core.series import Floats


def averaged(start: Floats, values: Floats, pace: Floats) -> Floats:
    """Return running means after each step: ``mean += pace * (value - mean)``.

    Args:
        start: before the first step, shape (...).
        values: shape (t, ...); it is overwritten by the answer.
        pace: shape (t, ...), 0 where nothing is learned; it may broadcast against ``values``.
    """
    mean = start
    for value, share in zip(values, pace, strict=True):
        np.subtract(value, mean, out=value)
        np.multiply(value, share, out=value)
        mean = np.add(value, mean, out=value)
    return values


def tracked(start: Floats, scaled: Floats, pace: Floats) -> tuple[Floats, Floats]:
    """Return tracked quantiles before each step, shape (t, ..., levels), and after the last.

    Args:
        start: before the first step, shape (..., levels).
        scaled: scaled residuals, shape (t, ...).
        pace: shape (t, ...), 0 where nothing is learned.
    """
    before = np.empty((len(scaled), *start.shape))
    quantiles, moved, size = start.astype(float), np.empty(start.shape), np.empty(start.shape)
    for k, (value, share) in enumerate(zip(scaled[..., None], pace[..., None], strict=True)):
        before[k] = quantiles
        np.subtract(quantiles, value, out=moved)
        np.heaviside(moved, LEVELS, out=moved)
        np.subtract(LEVELS, moved, out=moved)
        np.abs(quantiles, out=size)
        np.maximum(size, 1.0, out=size)
        size *= share
        size *= moved
        quantiles += size
    return before, quantiles


def lasting(start: Flags, opens: Flags, shuts: Flags) -> Flags:
    """Return a gate after each step: what opened or shut it last stands; to shut comes before to open."""
    moves = opens | shuts
    last = np.maximum.accumulate(
        np.where(moves, np.arange(1, len(moves) + 1).reshape(-1, *[1] * start.ndim), 0), axis=0
    )
    found: Flags = np.take_along_axis(opens & ~shuts, np.maximum(last - 1, 0), axis=0)
    return np.where(last > 0, found, start)


def held(start: Floats, shifted: Flags, hold: float) -> Floats:
    """Return the steps for which naive still stands, at each step, shape (t, series).

    Args:
        start: before the first step, shape (series,).
        shifted: shape (t, series).
        hold: steps that a level shift lasts for.
    """
    number = np.arange(len(shifted))[:, None]
    last = np.maximum.accumulate(np.where(shifted, number, -np.inf), axis=0)
    found: Floats = np.maximum(np.maximum(hold - (number - last), start - number - 1), 0.0)
    return found


def at_origin(array: Floats, rows: Indices) -> Floats:
    """Return, for every step and horizon, the entry of the origin it was forecast from.

    Args:
        array: shape (o, series, horizons, ...).
        rows: shape (t, horizons).
    """
    which = np.arange(rows.shape[1])
    taken: Floats = array[rows[:, None, :], np.arange(array.shape[1])[None, :, None], which[None, None, :]]
    return taken
