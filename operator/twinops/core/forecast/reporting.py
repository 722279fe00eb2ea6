"""Conversion of arrays into the types that the rest of the core reads: forecasts per horizon, and skill per metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twinops.core.forecast.calibration import CalibrationState
from twinops.core.forecast.horizon import MIN_CHECKS, HorizonForecast
from twinops.core.forecast.result import Skill
from twinops.core.series import Floats, Indices

_TINY = 1e-30


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


def skills(metrics: Sequence[str], state: CalibrationState, error: Floats, packed: Sequence[str]) -> list[Skill]:
    """Return the skill of every metric, over all its horizons; without figures before ``MIN_CHECKS``.

    Args:
        metrics: names of the s series.
        state: their calibration.
        error: score relative to naive's, shape (s, h).
        packed: states that a restart resumes from, one text per series.
    """
    horizons = error.shape[1]  # A sum over the count costs less than half of what numpy's mean does, at every sync.
    mean_error = (error.sum(axis=1) / horizons).tolist()
    covered = (state.covered.sum(axis=1) / horizons).tolist()
    with np.errstate(over="ignore"):  # Naive may never have been wrong; status shows a finite figure.
        width = ((state.width[..., 0] / np.maximum(state.width[..., 1], _TINY)).sum(axis=1) / horizons).tolist()
    checks = state.checks.min(axis=1).astype(int).tolist()
    trusted = np.all(state.trusted, axis=1).tolist()
    return [
        Skill(name, mean, share, wide, count, trust, text)
        if count >= MIN_CHECKS
        else Skill(name, None, None, None, count, trust, text)
        for name, mean, share, wide, count, trust, text in zip(
            metrics, mean_error, covered, width, checks, trusted, packed, strict=True
        )
    ]
