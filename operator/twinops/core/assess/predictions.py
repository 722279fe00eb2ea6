"""Forecasts and risks, rendered as the predictions in status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twinops.api.base import utc
from twinops.api.twin.predictions import Prediction, Risk
from twinops.api.twin.spec import MAX_METRICS
from twinops.core.forecast.horizon import HorizonForecast

_MAX_PREDICTIONS = 6
"""Horizons in status; the spec allows no more."""


def predictions_for_status(
    forecasts: Mapping[str, Sequence[HorizonForecast]], risks: Sequence[Risk], now: float
) -> list[Prediction]:
    """Render forecasts and risks for status: one prediction per horizon, the nearest first.

    Values have three significant digits, so that noise in the last digits does not change the status. A forecast that
    is not finite is left out. The confidence of a horizon is the least of those of its metrics that have one.

    Args:
        forecasts: by metric name.
        risks: of ``assess_risks``; the message of each is shown at its horizon.
        now: Unix seconds from which the horizons count.
    """
    by_horizon: dict[int, dict[str, HorizonForecast]] = {}
    for metric, ahead in sorted(forecasts.items()):
        for one in (one for one in ahead if one.finite):
            by_horizon.setdefault(one.horizon_seconds, {})[metric] = one
    return [_prediction(horizon, by_horizon[horizon], risks, now) for horizon in sorted(by_horizon)[:_MAX_PREDICTIONS]]


def _prediction(
    horizon: int, forecasts: Mapping[str, HorizonForecast], risks: Sequence[Risk], now: float
) -> Prediction:
    shown = dict(list(forecasts.items())[:MAX_METRICS])
    confidence = min((one.confidence for one in shown.values() if one.confidence is not None), default=None)
    return Prediction(
        horizon_seconds=horizon,
        time=utc(now + horizon),
        quantiles={name: (rounded(one.lower), rounded(one.median), rounded(one.upper)) for name, one in shown.items()},
        confidence=None if confidence is None else round(confidence, 2),
        risk_factors=[risk.message for risk in risks if risk.horizon_seconds == horizon][:MAX_METRICS],
    )


def rounded(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")
