"""Reference forecasters: naive, seasonal naive and Theta, each with the operator's calibrated intervals.

Once a day Theta's parameters are chosen from a grid by the least squared one-step error so far; the state of every
grid point is updated at every step. No forecast uses a value after its origin.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from twinops.core.forecast.backtest import backtest_members
from twinops.core.forecast.config import Config
from twinops.core.series import Floats, Indices

LEVELS = (0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.7, 0.9, 0.999)
"""Grid of smoothing parameters."""


def naive(values: Floats, horizons: Indices) -> Floats:
    """Return the last value as forecast, shape (series, horizons, n).

    Args:
        values: shape (series, n), without gaps.
        horizons: shape (h,), steps ahead.
    """
    return np.repeat(values[:, None], len(horizons), axis=1)


def seasonal_naive(values: Floats, horizons: Indices, per_day: int) -> Floats:
    """Return the value one day before each target, shape (series, horizons, n); naive on the first day.

    Args:
        values: shape (series, n), without gaps.
        horizons: shape (h,), steps ahead, at most a day.
        per_day: steps of a day.
    """
    ahead = naive(values, horizons)
    for row, h in enumerate(horizons):
        # A target more than a day ahead would need a value after the origin: the origin's own is taken.
        back = max(per_day - h, 0)
        ahead[:, row, back:] = values[:, : max(0, values.shape[1] - back)]
    return ahead


def theta(values: Floats, horizons: Indices, per_day: int, *, dynamic: bool = False) -> Floats:
    """Return the Theta method (Assimakopoulos & Nikolopoulos 2000) or the dynamic optimised one (Fiorucci et al. 2016).

    Theta is simple exponential smoothing with half the slope of the least-squares line through all values up to the
    last refit as drift; the dynamic one updates the line at every step and chooses theta from the grid, too.

    Args:
        values: shape (series, n), without gaps.
        horizons: shape (h,), steps ahead.
        per_day: steps of a day; parameters are chosen anew once a day.
        dynamic: whether the dynamic optimised one.

    Returns:
        Shape (series, horizons, n).
    """
    series, count = values.shape
    alphas, thetas = (
        np.array(x) for x in zip(*product(LEVELS, (1.0, 1.5, 2.0, 3.0, 5.0) if dynamic else (2.0,)), strict=True)
    )
    slopes = _line_slopes(values)
    level = np.repeat(values[:, :1], len(alphas), axis=1)
    squares = np.zeros_like(level)
    drift_share = 1 - 1 / thetas
    steps, rows = np.asarray(horizons) - 1, np.arange(series)
    best, found, slope = np.zeros(series, dtype=np.intp), np.empty((series, len(steps), count)), np.zeros(series)
    for t in range(count):
        weight = (1 - (1 - alphas) ** (t + 1)) / alphas
        error = values[:, t, None] - (level + drift_share * weight * slope[:, None])
        squares += error**2
        level = level + alphas * (values[:, t, None] - level)
        if t and t % per_day == 0:
            best = squares.argmin(axis=1)
        if dynamic or (t and t % per_day == 0):
            slope = slopes[:, t]
        pace = (drift_share[best] * slope)[:, None]
        found[:, :, t] = level[rows, best, None] + pace * (steps + weight[best][:, None])
    return found


def _line_slopes(values: Floats) -> Floats:
    """Return the slope of the least-squares line through all values up to each step, shape (series, n)."""
    number = np.arange(1, values.shape[1] + 1, dtype=float)
    total, moment = np.cumsum(values, axis=1), np.cumsum(values * number, axis=1)
    slopes: Floats = (moment - (number + 1) / 2 * total) / np.maximum((number**3 - number) / 12, 1)
    return slopes


def calibrated(centre: Floats, values: Floats, first: int, step: float, horizons: Indices, config: Config) -> Floats:
    """Return the calibrated quantiles around given point forecasts.

    Args:
        centre: point forecasts, shape (series, horizons, n).
        values: observed, shape (series, n), NaN where unknown.
        first: number of the first step.
        step: seconds.
        horizons: shape (h,), steps.
        config: of the calibration.

    Returns:
        Quantiles, shape (n, series, horizons, levels).

    Raises:
        ValueError: the backtest did not keep the quantiles, which would be a defect.
    """
    members = np.ascontiguousarray(centre.transpose(2, 0, 1))[..., None]
    never = np.zeros(values.shape, dtype=bool)
    places = np.arange(values.shape[1])
    run = backtest_members(members, values, never, places, first, step, horizons, config, keep=True)
    if run.naive is None:
        raise ValueError("asked for with keep=True")
    return run.naive
