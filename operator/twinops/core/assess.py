"""One pure call from what was observed to everything the twin has to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.api.status import DigitalTwinStatus, Drift, Health, Prediction, Risk
from twinops.api.twin import DigitalTwinSpec
from twinops.core.drift import assess_drift
from twinops.core.forecast import Forecaster, HorizonForecast
from twinops.core.health import assess_health
from twinops.core.metrics import facts
from twinops.core.observation import Observation, Workload
from twinops.core.risk import assess_risks, predictions_for_status

Forecasts = Mapping[str, Sequence[HorizonForecast]]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What the twin makes of one observation.

    Attributes:
        forecasts: by metric; metrics with fewer than ``MIN_SAMPLES`` values are left out.
        samples_collected: the least number of known values over the metrics that have any,
            None when no metric has.
    """

    health_score: int | None
    health: Health
    forecasts: Forecasts
    predictions: list[Prediction]
    risks: tuple[Risk, ...]
    drift: Drift
    samples_collected: int | None


def assess(
    spec: DigitalTwinSpec, observation: Observation, previous: DigitalTwinStatus, forecaster: Forecaster
) -> Assessment:
    """Judge one observation. No I/O, no clock: the same arguments give the same answer."""
    health_score, health = assess_health(spec, observation.samples)
    forecasts = foresee(spec, observation, forecaster)
    limits = limits_in_force(spec, observation.workload)
    risks = assess_risks(
        limits,
        forecasts,
        observation.samples,
        previous.risks,
        observation.now,
        interval=spec.sync_frequency_seconds,
    )
    return Assessment(
        health_score=health_score,
        health=health,
        forecasts=forecasts,
        predictions=predictions_for_status(forecasts, risks, observation.now),
        risks=risks,
        drift=assess_drift(spec, observation.samples, observation.workload, previous.drift, observation.now),
        samples_collected=min((n for series in observation.series.values() if (n := series.known)), default=None),
    )


def limits_in_force(spec: DigitalTwinSpec, workload: Workload | None) -> dict[str, float]:
    """Return the limit of each metric; one that is given per replica counts times the ready replicas.

    Where both are given, the lower one holds.
    """
    limits = dict(spec.limits)
    if workload is not None:
        for metric, each in spec.limits_per_replica.items():
            total = each * max(workload.ready, 1)
            limits[metric] = min(limits.get(metric, total), total)
    return limits


def foresee(spec: DigitalTwinSpec, observation: Observation, forecaster: Forecaster) -> Forecasts:
    """Return a forecast for every metric with enough history."""
    forecasts = {}
    for metric, series in observation.series.items():
        known = facts(metric)
        found = forecaster.forecast(
            series, spec.predictions.horizons_seconds, minimum=known.minimum, maximum=known.maximum
        )
        if found:
            forecasts[metric] = found
    return forecasts
