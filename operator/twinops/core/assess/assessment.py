"""The assessment of one observation: health, risks, drift and predictions of a twin, by one pure call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, ObservedMetric, Quality
from twinops.api.twin.predictions import ForecastSkill, Prediction, Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.availability import (
    GRACE_SECONDS,
    Availability,
    assess_availability,
    metrics_with_verdict,
    observed_for_status,
)
from twinops.core.assess.drift import assess_drift
from twinops.core.assess.health import assess_health
from twinops.core.assess.predictions import predictions_for_status
from twinops.core.assess.risk import assess_risks
from twinops.core.assess.tolerance import tolerance
from twinops.core.forecast.horizon import HorizonForecast
from twinops.core.forecast.skill import skill_for_status
from twinops.core.observation import Observation, Workload
from twinops.core.state import TwinState

HorizonForecasts = Mapping[str, Sequence[HorizonForecast]]
"""Forecasts by metric name, one per horizon."""


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """The verdicts about one observation.

    Attributes:
        health_score: 0..100, None where it is not known.
        health: what the score consists of.
        forecasts: those that are published, by metric; metrics with fewer than ``MIN_SAMPLES`` values have none.
        predictions: the forecasts as status shows them, one entry per horizon.
        risks: limits that are crossed now, or foreseen to be, sorted by metric.
        drift: deviations from what is expected.
        skill: how good forecasts have been, None before ``MIN_CHECKS``.
        samples_collected: the least number of known values over the metrics that have any and are not idle,
            None when no metric has.
        observed: the answer for every metric, sorted by metric.
        availability: which metrics have no fresh value.
        withheld_forecasts: metrics with a forecast that is not published, since its last value is too old.
        restart_state: what a restarted forecaster resumes from; the one before while there is no newer one.
    """

    health_score: int | None
    health: Health
    forecasts: HorizonForecasts
    predictions: list[Prediction]
    risks: tuple[Risk, ...]
    drift: Drift
    skill: ForecastSkill | None
    samples_collected: int | None
    observed: tuple[ObservedMetric, ...]
    availability: Availability = field(default_factory=Availability)
    withheld_forecasts: frozenset[str] = frozenset()
    restart_state: str = ""

    @property
    def data_incomplete(self) -> bool:
        """Tell whether a metric is within its grace period, or none at all has a fresh value."""
        fresh = (Quality.GOOD, Quality.BOUNDED)
        return bool(self.availability.within_grace) or not any(metric.quality in fresh for metric in self.observed)


def assess(
    spec: DigitalTwinSpec,
    observation: Observation,
    previous: TwinState,
    *,
    grace_seconds: float = GRACE_SECONDS,
) -> Assessment:
    """Assess one observation. No I/O, no clock: the same arguments give the same answer.

    Args:
        spec: the twin's.
        observation: what was read.
        previous: the state that the sync before left.
        grace_seconds: how long the last known verdict about a metric holds without a fresh value.
    """
    samples, result, now = observation.samples, observation.forecast_result, observation.now
    decided_by_bounds = _decided_by_bounds(spec, observation)
    availability = assess_availability(
        samples,
        previous.observed,
        now,
        grace_seconds=grace_seconds,
        decided_by_bounds=decided_by_bounds,
        with_verdict=metrics_with_verdict(previous.health, previous.drift),
    )
    idle, excluded = availability.idle, availability.forecast_excluded
    health_score, health = assess_health(
        # Bounds are fresh: where they do not decide about health, the last known penalty must not stand in for them.
        spec, samples, result.baselines, previous=previous.health, lost=availability.lost | decided_by_bounds
    )  # fmt: skip
    forecasts = {metric: ahead for metric, ahead in result.forecasts.items() if metric not in excluded}
    risks = _risks(spec, observation, forecasts, previous.risks, availability)
    drift = assess_drift(
        spec, samples, result.baselines, observation.workload, previous.drift, now, lost=availability.lost
    )  # fmt: skip
    return Assessment(
        health_score=health_score,
        health=health,
        forecasts=forecasts,
        predictions=predictions_for_status(forecasts, risks, now),
        risks=risks,
        drift=drift,
        skill=skill_for_status(result.skills, excluded),
        samples_collected=min((count for m, count in result.samples.items() if count and m not in idle), default=None),
        observed=observed_for_status(samples, availability.unavailable_since),
        availability=availability,
        withheld_forecasts=frozenset(result.forecasts.keys() & excluded),
        restart_state=result.restart_state or previous.restart_state,
    )


def _decided_by_bounds(spec: DigitalTwinSpec, observation: Observation) -> frozenset[str]:
    """Return the Bounded metrics whose bounds decide on which side of the tolerance and the limit they lie."""
    limits, baselines = observation.limits, observation.forecast_result.baselines
    found: set[str] = set()
    for metric, sample in observation.samples.items():
        if not sample.bounded:
            continue
        allowed = tolerance(spec, metric, baselines.get(metric))
        edge = None if allowed is None else allowed.edge(above=True)
        levels = [level for level in (edge, limits.get(metric)) if level is not None]
        if levels and all(sample.deciding_value(level) is not None for level in levels):
            found.add(metric)
    return frozenset(found)


def _risks(
    spec: DigitalTwinSpec,
    observation: Observation,
    forecasts: HorizonForecasts,
    previous: Sequence[Risk],
    availability: Availability,
) -> tuple[Risk, ...]:
    """Return the risks of this sync; of a metric within its grace period the last known one, if there was any.

    While the history is being read again after a restart, what was foreseen for a time still ahead stays as well.
    """
    # Without traffic nothing is at risk, whatever was forecast from the last requests.
    limits = {metric: limit for metric, limit in observation.limits.items() if metric not in availability.idle}
    found = assess_risks(
        {metric: limit for metric, limit in limits.items() if metric not in availability.lost},
        forecasts,
        observation.forecast_result.exceedance,
        observation.samples,
        previous,
        observation.now,
        interval=spec.sync_frequency_seconds,
    )
    held = availability.within_grace
    if observation.forecast_result.nothing_yet:
        ahead = {risk.metric for risk in previous if not risk.current and _is_ahead(risk, observation.now)}
        held |= ahead - availability.lost - {risk.metric for risk in found}
    last_known = [risk for risk in previous if risk.metric in limits and risk.metric in held]
    return tuple(sorted([*(risk for risk in found if risk.metric not in held), *last_known], key=lambda r: r.metric))


def _is_ahead(risk: Risk, now: float) -> bool:
    since = risk.last_data_time
    return since is not None and now < since.timestamp() + risk.horizon_seconds


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
