"""From what was learned to what the rest of the core reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinops.core.forecast import MIN_CHECKS, HorizonForecast
from twinops.core.foresight.config import DAY
from twinops.core.foresight.views import Indices
from twinops.core.series import Floats

ORIGINS = 1200
"""Newest steps that a full backtest forecasts from: three days of skill, a day before for the weights to settle."""


def steps_of(horizons_seconds: Sequence[int], step: float) -> Indices:
    """Return horizons in steps, rounded up, at least one and at most a day."""
    steps = np.ceil(np.array(horizons_seconds) / step - 1e-9)
    whole: Indices = np.minimum(np.maximum(steps, 1), max(1, DAY // step)).astype(np.intp)
    return whole


def horizon_forecasts(
    quantiles: Floats, error: Floats, checks: Indices, horizons_seconds: Sequence[int], ranges: Floats
) -> list[tuple[HorizonForecast, ...]]:
    """Return every series' forecasts, within the metrics' ranges.

    Args:
        quantiles: shape (series, h, levels).
        error: relative to naive's, shape (series, h).
        checks: shape (series, h).
        horizons_seconds: h of them.
        ranges: least and largest possible value, shape (2, series), infinite where there is none.
    """
    within = np.minimum(np.maximum(quantiles, ranges[0][:, None, None]), ranges[1][:, None, None]).tolist()
    confidence = np.minimum(np.maximum(1 - error, 0.0), 1.0).tolist()
    return [
        tuple(
            HorizonForecast(horizon, tuple(levels), share if count >= MIN_CHECKS else None, count, count >= MIN_CHECKS)
            for horizon, levels, share, count in zip(horizons_seconds, *row, strict=True)
        )
        for row in zip(within, confidence, checks.tolist(), strict=True)
    ]
