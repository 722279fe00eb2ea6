"""How forecasts are scored; every figure as BENCHMARKS.md defines it."""

from __future__ import annotations

import numpy as np

from benchmarks.series import Floats
from twinops.core.forecast.horizon import QUANTILES

LEVELS = np.array(QUANTILES)
HORIZONS = (3, 6, 12)
STEPS = 12
_STATIC = 2016
_RATIOS = (1e-3, 1e3)


def targets(values: Floats, steps: int = STEPS) -> Floats:
    """Return the values 1..steps after every step, shape (n, steps), NaN past the end."""
    padded = np.concatenate([values, np.full(steps, np.nan)])
    return np.lib.stride_tricks.sliding_window_view(padded[1:], steps)[: len(values)]


def losses(quantiles: Floats, observed: Floats) -> Floats:
    """Return the weighted interval score: the mean over the quantiles of twice the pinball loss, shape (n, h).

    Args:
        quantiles: shape (n, h, 9).
        observed: shape (n, h), NaN where unknown; then the score is NaN.
    """
    over = observed[..., None] - quantiles
    score: Floats = 2 * np.where(over >= 0, LEVELS * over, (LEVELS - 1) * over).mean(axis=-1)
    return np.where(np.isfinite(observed), score, np.nan)


def path_sum(loss: Floats, horizon: int, start: int) -> float:
    """Return the sum over origins from ``start`` on of the mean loss of steps 1..horizon, of what is known."""
    part = loss[start:, :horizon]
    known = np.isfinite(part)
    count = known.sum(axis=1)
    means = np.where(known, part, 0.0).sum(axis=1)[count > 0] / count[count > 0]
    return float(means.sum())


def step_sum(loss: Floats, horizon: int, start: int) -> float:
    """Return the sum over origins of the loss of step ``horizon`` exactly."""
    return float(np.nansum(loss[start:, horizon - 1]))


def static_naive(values: Floats, last: Floats, start: int) -> Floats:
    """Return naive with the empirical quantiles of its last 2,016 known h-step residuals, shape (n, 12, 9).

    Args:
        values: shape (n,), NaN where unknown.
        last: the last known ones.
        start: first origin that is wanted.
    """
    quantiles = np.full((len(values), STEPS, len(LEVELS)), np.nan)
    for h in range(1, STEPS + 1):
        residual = values[h:] - last[:-h]
        places = np.flatnonzero(np.isfinite(residual))
        known, before = residual[places], -1
        for t in range(start, len(values)):
            end = int(np.searchsorted(places, t - h, side="right"))
            if end != before:
                ordered = np.sort(known[max(0, end - _STATIC) : end])
                at = LEVELS * (len(ordered) - 1)
                offsets = np.interp(at, np.arange(len(ordered)), ordered)
            before = end
            quantiles[t, h - 1] = last[t] + offsets
    return quantiles


def inside(quantiles: Floats, observed: Floats) -> Floats:
    """Return 1 where the value lies within the 90 % interval, 0 where not, NaN where unknown."""
    within = (observed >= quantiles[..., 0]) & (observed <= quantiles[..., -1])
    return np.where(np.isfinite(observed), within, np.nan)


def rolling_low(within: Floats, day: int) -> float:
    """Return the 5 %-quantile of the coverage of rolling days, of so many known values each."""
    known = within[np.isfinite(within)]
    days = np.convolve(known, np.ones(day) / day, mode="valid")
    return float(np.percentile(days, 5))


def ratio(ours: float, theirs: float) -> float:
    """Return ours / theirs within .001..1000; 1 where neither was ever wrong, as on a constant series."""
    if ours <= 0 and theirs <= 0:
        return 1.0
    return float(np.clip(ours / theirs, *_RATIOS)) if theirs > 0 else _RATIOS[1]


def geometric(ratios: Floats) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def bootstrap(ratios: Floats, *, draws: int = 2000, seed: int = 1) -> tuple[float, float]:
    """Return the 90 % interval of the geometric mean when series are drawn anew."""
    rng = np.random.default_rng(seed)
    logs = np.log(ratios)
    means = logs[rng.integers(0, len(logs), (draws, len(logs)))].mean(axis=1)
    low, high = np.exp(np.percentile(means, [5, 95]))
    return float(low), float(high)


def gap_interval(
    ours: Floats, theirs: Floats, even: np.ndarray, *, draws: int = 2000, seed: int = 2
) -> tuple[float, float, float]:
    """Return (our ratio even - odd) - (theirs even - odd) and its 90 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    halves = (np.flatnonzero(even), np.flatnonzero(~even))

    def gap(first: np.ndarray, second: np.ndarray) -> float:
        return (geometric(ours[first]) - geometric(ours[second])) - (
            geometric(theirs[first]) - geometric(theirs[second])
        )

    drawn = [gap(*(rng.choice(half, len(half)) for half in halves)) for _ in range(draws)]
    low, high = np.percentile(drawn, [5, 95])
    return gap(*halves), float(low), float(high)
