"""Made series for the learned baseline: a quiet one, and one for each kind of anomaly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STEP = 300.0
DAY = 288
START = 4_800 * DAY
"""A midnight."""


def noise(days: float, level: float = 50.0, spread: float = 2.0, seed: int = 0) -> Floats:
    """Return a level with noise."""
    return level + spread * np.random.default_rng(seed).normal(size=round(days * DAY))


def daily(days: float, seed: int = 0) -> Floats:
    """Return a workday from nine to five, with noise."""
    hour = np.arange(round(days * DAY)) % DAY / 12
    return noise(days, 20.0, 1.0, seed) + 40.0 * ((hour >= 9) & (hour < 17))


def bursts(days: float, every: int = 36, seed: int = 0) -> Floats:
    """Return a still line with a burst every few hours, a little early or late."""
    rng = np.random.default_rng(seed)
    values = np.full(round(days * DAY), 1.0)
    place = every
    while place < len(values):
        values[place] = 20.0 + rng.normal()
        place += every + int(rng.integers(-6, 7))
    return values
