"""Well-known forecasters to stand beside: naive, seasonal naive and Theta, and our intervals around any of them.

A refit chooses, among a grid of parameters, those with the least squared one-step error so far, once a day; every
state of the grid is rolled forward at every step. None of them reads a value that comes after its origin.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from twinops.core.forecast.backtest import run
from twinops.core.forecast.config import Config
from twinops.core.series import Floats, Indices

LEVELS = (0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.7, 0.9, 0.999)
"""Gains that smoothing chooses from."""


def naive(values: Floats, horizons: Indices) -> Floats:
    """Return "nothing changes", shape (series, horizons, n).

    Args:
        values: shape (series, n), without holes.
        horizons: shape (h,), steps ahead.
    """
    return np.repeat(values[:, None], len(horizons), axis=1)


def seasonal_naive(values: Floats, horizons: Indices, per_day: int) -> Floats:
    """Return the value of a day before each target, shape (series, horizons, n); naive on the first day.

    Args:
        values: shape (series, n), without holes.
        horizons: shape (h,), steps ahead, at most a day.
        per_day: steps of a day.
    """
    ahead = naive(values, horizons)
    for row, h in enumerate(horizons):
        # At the origin nothing is known yet of a day before what is further away.
        back = max(per_day - h, 0)
        ahead[:, row, back:] = values[:, : max(0, values.shape[1] - back)]
    return ahead


def theta(values: Floats, horizons: Indices, per_day: int, *, dynamic: bool = False) -> Floats:
    """Return Theta (Assimakopoulos & Nikolopoulos 2000) or the dynamic optimised one (Fiorucci et al. 2016).

    Theta is simple smoothing with half the slope of the line through all values up to the refit as drift; the
    dynamic one renews the line at every step and fits theta, too.

    Args:
        values: shape (series, n), without holes.
        horizons: shape (h,), steps ahead.
        per_day: steps of a day, between two refits.
        dynamic: which of the two.

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
        memory = (1 - (1 - alphas) ** (t + 1)) / alphas
        error = values[:, t, None] - (level + drift_share * memory * slope[:, None])
        squares += error**2
        level = level + alphas * (values[:, t, None] - level)
        if t and t % per_day == 0:
            best = squares.argmin(axis=1)
        if dynamic or (t and t % per_day == 0):
            slope = slopes[:, t]
        pace = (drift_share[best] * slope)[:, None]
        found[:, :, t] = level[rows, best, None] + pace * (steps + memory[best][:, None])
    return found


def _line_slopes(values: Floats) -> Floats:
    """Return the slope of the line through all values up to each step, shape (series, n)."""
    number = np.arange(1, values.shape[1] + 1, dtype=float)
    total, moment = np.cumsum(values, axis=1), np.cumsum(values * number, axis=1)
    slopes: Floats = (moment - (number + 1) / 2 * total) / np.maximum((number**3 - number) / 12, 1)
    return slopes


def calibrated(centre: Floats, values: Floats, first: int, step: float, horizons: Indices, config: Config) -> Floats:
    """Put our intervals around forecasts that are given.

    Args:
        centre: shape (series, horizons, n).
        values: what came, shape (series, n), NaN where unknown.
        first: number of the first step.
        step: seconds.
        horizons: shape (h,), steps.
        config: the frozen one.

    Returns:
        Quantiles, shape (n, series, horizons, levels).

    Raises:
        ValueError: never; ``run`` keeps what it is asked to keep.
    """
    members = np.ascontiguousarray(centre.transpose(2, 0, 1))[..., None]
    never = np.zeros(values.shape, dtype=bool)
    places = np.arange(values.shape[1])
    done = run(members, values, never, places, first, step, horizons, config, keep=True)
    if done.naive is None:
        raise ValueError("asked for with keep=True")
    return done.naive
