"""The peers: well-known forecasters, refitted every day on all that came before, their states rolled forward.

A refit chooses, among a grid of parameters, those with the least squared one-step error so far; every state of the
grid is rolled forward at every step. So nothing is cheaper for being fitted rarely, and the whole run stays short.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from benchmarks.series import Floats

PER_DAY = 288
HORIZONS = 12
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


_LEVELS = (0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.7, 0.9, 0.999)
SIMPLE = _grid(_LEVELS, (0.0,), (1.0,))
HOLT = _grid(_LEVELS, (0.003, 0.01, 0.03, 0.1, 0.3), (1.0,))
DAMPED = _grid(_LEVELS, (0.01, 0.03, 0.1, 0.3), (0.8, 0.9, 0.98))


def forecasts(values: Floats) -> dict[str, Floats]:
    """Return every peer's forecasts, shape (series, 12, n), from every step for the next twelve.

    Args:
        values: shape (series, n), without holes.
    """
    found = {
        "naive": np.repeat(values[:, None], HORIZONS, axis=1),
        "seasonal naive": _seasonal(values),
        "24-h median": np.repeat(_day_median(values)[:, None], HORIZONS, axis=1),
        "EWMA .3": np.repeat(_ewma(values, 0.3)[:, None], HORIZONS, axis=1),
        "Holt": _fitted(values, HOLT)[0],
        "Theta": _theta(values, dynamic=False),
        "DOT": _theta(values, dynamic=True),
    }
    profile = _profile(values)
    rest = values - profile[:, : values.shape[1]]
    ahead = np.stack([profile[:, h : h + values.shape[1]] for h in range(1, HORIZONS + 1)], axis=1)
    found["AutoETS on profile-less"] = _auto_ets(rest) + ahead
    return found


def _seasonal(values: Floats) -> Floats:
    ahead = np.repeat(values[:, None], HORIZONS, axis=1)
    for h in range(1, HORIZONS + 1):
        ahead[:, h - 1, PER_DAY - h :] = values[:, : values.shape[1] - PER_DAY + h]
    return ahead


def _day_median(values: Floats) -> Floats:
    padded = np.concatenate([np.repeat(values[:, :1], PER_DAY - 1, axis=1), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, PER_DAY, axis=1)
    return np.concatenate([np.median(part, axis=-1) for part in np.array_split(windows, 32, axis=1)], axis=1)


def _ewma(values: Floats, factor: float) -> Floats:
    level, levels = values[:, 0].copy(), np.empty_like(values)
    for t in range(values.shape[1]):
        level += factor * (values[:, t] - level)
        levels[:, t] = level
    return levels


def _profile(values: Floats) -> Floats:
    """Return the mean of all days before at the same time of day, up to a day ahead; the running mean on day one."""
    count = values.shape[1]
    running = np.cumsum(values, axis=1) / np.arange(1, count + 1)
    means = np.concatenate(
        [np.concatenate([values[:, :1], running[:, :-1]], axis=1), np.zeros((len(values), PER_DAY))], axis=1
    )
    total = np.zeros((len(values), PER_DAY))
    for begin in range(0, count, PER_DAY):
        day = values[:, begin : begin + PER_DAY]
        total[:, : day.shape[1]] += day
        after = means[:, begin + PER_DAY : begin + PER_DAY + day.shape[1]]
        after[:] = total[:, : after.shape[1]] / (begin // PER_DAY + 1)
    return means


def _fitted(values: Floats, grid: Grid) -> tuple[Floats, Floats]:
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
        if t and t % PER_DAY == 0:
            best = squares.argmin(axis=1)
            chosen = squares[rows, best] / (t + 1)
        found[:, :, t] = level[rows, best, None] + reach[best] * slope[rows, best, None]
        errors[:, t] = chosen
    return found, errors


def _auto_ets(values: Floats) -> Floats:
    """Return the forecasts of the additive model without season that has the least AICc at each refit."""
    kinds = {"level": SIMPLE, "trend": HOLT, "damped": DAMPED}
    fits = {kind: _fitted(values, grid) for kind, grid in kinds.items()}
    seen = np.maximum(np.arange(values.shape[1]) // PER_DAY * PER_DAY, PER_DAY)
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


def _theta(values: Floats, *, dynamic: bool) -> Floats:
    """Return Theta (Assimakopoulos & Nikolopoulos 2000) or the dynamic optimised one (Fiorucci et al. 2016).

    Theta is simple smoothing with half the slope of the line through all values up to the refit as drift; the
    dynamic one renews the line at every step and fits theta, too.
    """
    series, count = values.shape
    alphas, thetas = (
        np.array(x) for x in zip(*product(_LEVELS, (1.0, 1.5, 2.0, 3.0, 5.0) if dynamic else (2.0,)), strict=True)
    )
    number = np.arange(1, count + 1, dtype=float)
    total, moment = np.cumsum(values, axis=1), np.cumsum(values * number, axis=1)
    slopes = (moment - (number + 1) / 2 * total) / np.maximum((number**3 - number) / 12, 1)
    level = np.repeat(values[:, :1], len(alphas), axis=1)
    squares = np.zeros_like(level)
    drift_share = 1 - 1 / thetas
    steps, rows = np.arange(HORIZONS), np.arange(series)
    best, found, slope = np.zeros(series, dtype=np.intp), np.empty((series, HORIZONS, count)), np.zeros(series)
    for t in range(count):
        memory = (1 - (1 - alphas) ** (t + 1)) / alphas
        error = values[:, t, None] - (level + drift_share * memory * slope[:, None])
        squares += error**2
        level = level + alphas * (values[:, t, None] - level)
        if t and t % PER_DAY == 0:
            best = squares.argmin(axis=1)
        if dynamic or (t and t % PER_DAY == 0):
            slope = slopes[:, t]
        pace = (drift_share[best] * slope)[:, None]
        found[:, :, t] = level[rows, best, None] + pace * (steps + memory[best][:, None])
    return found


Index = npt.NDArray[np.intp]
