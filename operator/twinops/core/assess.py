"""One pure call from what was observed to everything the twin has to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.api.status import DigitalTwinStatus, Drift, ForecastSkill, Health, Prediction, Risk
from twinops.api.twin import DigitalTwinSpec
from twinops.core.drift import assess_drift
from twinops.core.forecast import HorizonForecast
from twinops.core.health import assess_health
from twinops.core.idle import idle_metrics
from twinops.core.observation import Observation, Workload
from twinops.core.risk import assess_risks, predictions_for_status
from twinops.core.skill import skill_for_status

Forecasts = Mapping[str, Sequence[HorizonForecast]]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What the twin makes of one observation.

    Attributes:
        forecasts: by metric; metrics with fewer than ``MIN_SAMPLES`` values are left out.
        skill: how good forecasts have been, None before ``MIN_CHECKS``.
        samples_collected: the least number of known values over the metrics that have any and are not idle,
            None when no metric has.
    """

    health_score: int | None
    health: Health
    forecasts: Forecasts
    predictions: list[Prediction]
    risks: tuple[Risk, ...]
    drift: Drift
    skill: ForecastSkill | None
    samples_collected: int | None


def assess(spec: DigitalTwinSpec, observation: Observation, previous: DigitalTwinStatus) -> Assessment:
    """Judge one observation. No I/O, no clock: the same arguments give the same answer."""
    outlook = observation.outlook
    health_score, health = assess_health(spec, observation.samples, outlook.readings)
    # Without traffic there is nothing to be at risk, whatever is foreseen from the last request there was.
    idle = idle_metrics(observation.samples)
    limits = {m: limit for m, limit in limits_in_force(spec, observation.workload).items() if m not in idle}
    risks = assess_risks(
        limits,
        outlook.forecasts,
        outlook.chances,
        observation.samples,
        previous.risks,
        observation.now,
        interval=spec.sync_frequency_seconds,
    )
    return Assessment(
        health_score=health_score,
        health=health,
        forecasts=outlook.forecasts,
        predictions=predictions_for_status(outlook.forecasts, risks, observation.now),
        risks=risks,
        drift=assess_drift(
            spec, observation.samples, outlook.readings, observation.workload, previous.drift, observation.now
        ),
        skill=skill_for_status(outlook.skills),
        samples_collected=min((known for m, known in outlook.samples.items() if known and m not in idle), default=None),
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
