"""The peers: well-known forecasters, refitted every day on all that came before, their states rolled forward.

A refit chooses, among a grid of parameters, those with the least squared one-step error so far; every state of the
grid is rolled forward at every step. So nothing is cheaper for being fitted rarely, and the whole run stays short.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks.series import Floats
from twinops.replay.peers import LEVELS, naive, seasonal_naive, theta

HORIZONS = 12
STEPS = np.arange(1, HORIZONS + 1)
_AICC_PARAMETERS = {"level": 2, "trend": 4, "damped": 5}


@dataclass(frozen=True, slots=True)
class Grid:
    """States of damped trends: gain of level and slope, damping; slope gain 0 is simple smoothing."""

    level: Floats
    slope: Floats
    damping: Floats


def _grid(levels: tuple[float, ...], slopes: tuple[float, ...], dampings: tuple[float, ...]) -> Grid:
    rows = np.array(list(product(levels, slopes, dampings)))
    return Grid(rows[:, 0], rows[:, 1], rows[:, 2])


SIMPLE = _grid(LEVELS, (0.0,), (1.0,))
HOLT = _grid(LEVELS, (0.003, 0.01, 0.03, 0.1, 0.3), (1.0,))
DAMPED = _grid(LEVELS, (0.01, 0.03, 0.1, 0.3), (0.8, 0.9, 0.98))


def forecasts(values: Floats, per_day: int) -> dict[str, Floats]:
    """Return every peer's forecasts, shape (series, 12, n), from every step for the next twelve.

    Args:
        values: shape (series, n), without holes.
        per_day: steps in a day.
    """
    found = {
        "naive": naive(values, STEPS),
        "seasonal naive": seasonal_naive(values, STEPS, per_day),
        "24-h median": np.repeat(_day_median(values, per_day)[:, None], HORIZONS, axis=1),
        "EWMA .3": np.repeat(_ewma(values, 0.3)[:, None], HORIZONS, axis=1),
        "Holt": _fitted(values, HOLT, per_day)[0],
        "Theta": theta(values, STEPS, per_day),
        "DOT": theta(values, STEPS, per_day, dynamic=True),
    }
    profile = _profile(values, per_day)
    rest = values - profile[:, : values.shape[1]]
    ahead = np.stack([profile[:, h : h + values.shape[1]] for h in range(1, HORIZONS + 1)], axis=1)
    found["AutoETS on profile-less"] = _auto_ets(rest, per_day) + ahead
    return found


def _day_median(values: Floats, per_day: int) -> Floats:
    padded = np.concatenate([np.repeat(values[:, :1], per_day - 1, axis=1), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, per_day, axis=1)
    return np.concatenate([np.median(part, axis=-1) for part in np.array_split(windows, 32, axis=1)], axis=1)


def _ewma(values: Floats, factor: float) -> Floats:
    level, levels = values[:, 0].copy(), np.empty_like(values)
    for t in range(values.shape[1]):
        level += factor * (values[:, t] - level)
        levels[:, t] = level
    return levels


def _profile(values: Floats, per_day: int) -> Floats:
    """Return the mean of all days before at the same time of day, up to a day ahead; the running mean on day one."""
    count = values.shape[1]
    running = np.cumsum(values, axis=1) / np.arange(1, count + 1)
    means = np.concatenate(
        [np.concatenate([values[:, :1], running[:, :-1]], axis=1), np.zeros((len(values), per_day))], axis=1
    )
    total = np.zeros((len(values), per_day))
    for begin in range(0, count, per_day):
        day = values[:, begin : begin + per_day]
        total[:, : day.shape[1]] += day
        after = means[:, begin + per_day : begin + per_day + day.shape[1]]
        after[:] = total[:, : after.shape[1]] / (begin // per_day + 1)
    return means


def _fitted(values: Floats, grid: Grid, per_day: int) -> tuple[Floats, Floats]:
    """Return forecasts of the grid's best, shape (series, 12, n), and its mean squared error then, (series, n)."""
    series, count = values.shape
    level = np.repeat(values[:, :1], len(grid.level), axis=1)
    slope, squares = np.zeros_like(level), np.zeros_like(level)
    steps = np.arange(1, HORIZONS + 1)
    reach = np.array([np.cumsum(damping**steps) for damping in grid.damping])
    found, errors = np.empty((series, HORIZONS, count)), np.empty((series, count))
    best, rows = np.zeros(series, dtype=np.intp), np.arange(series)
    chosen = np.full(series, np.inf)
    for t in range(count):
        ahead = level + grid.damping * slope
        error = values[:, t, None] - ahead
        squares += error**2
        level = ahead + grid.level * error
        slope = grid.damping * slope + grid.level * grid.slope * error
        if t and t % per_day == 0:
            best = squares.argmin(axis=1)
            chosen = squares[rows, best] / (t + 1)
        found[:, :, t] = level[rows, best, None] + reach[best] * slope[rows, best, None]
        errors[:, t] = chosen
    return found, errors


def _auto_ets(values: Floats, per_day: int) -> Floats:
    """Return the forecasts of the additive model without season that has the least AICc at each refit."""
    kinds = {"level": SIMPLE, "trend": HOLT, "damped": DAMPED}
    fits = {kind: _fitted(values, grid, per_day) for kind, grid in kinds.items()}
    seen = np.maximum(np.arange(values.shape[1]) // per_day * per_day, per_day)
    criteria = []
    for kind, (_, errors) in fits.items():
        free = _AICC_PARAMETERS[kind]
        with np.errstate(divide="ignore"):
            criteria.append(
                seen * np.log(np.maximum(errors, 1e-300)) + 2 * free + 2 * free * (free + 1) / (seen - free - 1)
            )
    best = np.argmin(np.array(criteria), axis=0)
    stacked = np.stack([found for found, _ in fits.values()])
    chosen: Floats = np.take_along_axis(stacked, best[None, :, None, :], axis=0)[0]
    return chosen
