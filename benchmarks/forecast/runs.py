"""Runs of the product's core over the series, and the peers under the same calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecast.scoring import STEPS
from benchmarks.series import BenchSeries, Floats
from twinops.core.forecast.backtest import backtest
from twinops.core.forecast.cells import filled
from twinops.core.forecast.config import Config
from twinops.replay import peers as replay

ALL_STEPS = np.arange(1, STEPS + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Quantiles as published and naive's under the same calibration, both of shape (n, h, 9)."""

    ours: Floats
    naive: Floats


def ours(series: BenchSeries, horizons: np.ndarray, config: Config, values: Floats | None = None) -> Forecasts:
    """Run the product's core over a series, from its first entry on."""
    past = series.values if values is None else values
    run = backtest(past[None], series.first, series.step, horizons, config, keep=True)
    if run.quantiles is None or run.naive is None:
        raise AssertionError("asked for with keep=True")
    return Forecasts(run.quantiles[:, 0], run.naive[:, 0])


def calibrated(centre: Floats, values: Floats, config: Config, step: float = 300) -> Floats:
    """Put our intervals around forecasts that are given.

    Args:
        centre: shape (series, 12, n).
        values: observed, shape (series, n), NaN where unknown.
        config: the frozen configuration.
        step: seconds.

    Returns:
        Shape (series, n, 12, 9).
    """
    return replay.calibrated(centre, values, 0, step, ALL_STEPS, config).transpose(1, 0, 2, 3)


def padded(series: Sequence[BenchSeries]) -> Floats:
    """Return the series one below the other, shape (series, longest), NaN past their ends."""
    longest = max(len(one.values) for one in series)
    rows = np.full((len(series), longest), np.nan)
    for row, one in zip(rows, series, strict=True):
        row[: len(one.values)] = one.values
    return rows


__all__ = ["ALL_STEPS", "Forecasts", "calibrated", "filled", "ours", "padded"]
