"""One pure call from what was observed to everything the twin has to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, ObservedMetric, Quality
from twinops.api.twin.predictions import ForecastSkill, Prediction, Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.availability import GRACE_SECONDS, Availability, judged, observed, sight
from twinops.core.assess.drift import assess_drift
from twinops.core.assess.health import assess_health
from twinops.core.assess.risk import assess_risks, predictions_for_status
from twinops.core.assess.tolerance import tolerance
from twinops.core.forecast.horizon import HorizonForecast
from twinops.core.forecast.skill import skill_for_status
from twinops.core.observation import Observation, Workload
from twinops.core.state import TwinState

HorizonForecasts = Mapping[str, Sequence[HorizonForecast]]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What the twin makes of one observation.

    Attributes:
        forecasts: by metric; metrics with fewer than ``MIN_SAMPLES`` values are left out, and those that are lost.
        skill: how good forecasts have been, None before ``MIN_CHECKS``.
        samples_collected: the least number of known values over the metrics that have any and are not idle,
            None when no metric has.
        observed: the answer for every metric, sorted by metric.
        sight: which metrics are not seen.
        withdrawn: metrics that could be forecast, were there a value that is not of long ago.
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
    sight: Availability = field(default_factory=Availability)
    withdrawn: frozenset[str] = frozenset()

    @property
    def silent(self) -> bool:
        """Tell whether no metric at all has a fresh value, or one is about to be lost."""
        fresh = (Quality.GOOD, Quality.BOUNDED)
        return bool(self.sight.fading) or not any(metric.quality in fresh for metric in self.observed)


def assess(
    spec: DigitalTwinSpec,
    observation: Observation,
    previous: TwinState,
    *,
    grace_seconds: float = GRACE_SECONDS,
) -> Assessment:
    """Judge one observation. No I/O, no clock: the same arguments give the same answer.

    Args:
        spec: the twin's.
        observation: what was read.
        previous: the state that the sync before left.
        grace_seconds: how long a last verdict stands without anything new behind it.
    """
    forecast_result = observation.forecast_result
    told = _told_by_bounds(spec, observation)
    seen = sight(
        observation.samples,
        previous.observed,
        observation.now,
        grace_seconds=grace_seconds,
        told=told,
        judged=judged(previous.health, previous.drift),
    )
    health_score, health = assess_health(
        # What bounds do not tell of health is not to be had from before: they are fresh.
        spec, observation.samples, forecast_result.baselines, previous=previous.health, lost=seen.lost | told
    )  # fmt: skip
    forecasts = {metric: ahead for metric, ahead in forecast_result.forecasts.items() if metric not in seen.outdated}
    # Without traffic there is nothing to be at risk, whatever is foreseen from the last request there was.
    limits = {m: limit for m, limit in observation.limits.items() if m not in seen.idle}
    found = assess_risks(
        {metric: limit for metric, limit in limits.items() if metric not in seen.lost},
        forecasts,
        forecast_result.exceedance,
        observation.samples,
        previous.risks,
        observation.now,
        interval=spec.sync_frequency_seconds,
    )
    risks = _with_standing(found, [risk for risk in previous.risks if risk.metric in limits], seen)
    return Assessment(
        health_score=health_score,
        health=health,
        forecasts=forecasts,
        predictions=predictions_for_status(forecasts, risks, observation.now),
        risks=risks,
        drift=assess_drift(
            spec,
            observation.samples,
            forecast_result.baselines,
            observation.workload,
            previous.drift,
            observation.now,
            lost=seen.lost,
        ),
        skill=skill_for_status(forecast_result.skills, seen.outdated),
        samples_collected=min(
            (known for m, known in forecast_result.samples.items() if known and m not in seen.idle), default=None
        ),
        observed=observed(observation.samples, seen.since),
        sight=seen,
        withdrawn=frozenset(forecast_result.forecasts.keys() & seen.outdated),
    )


def _told_by_bounds(spec: DigitalTwinSpec, observation: Observation) -> frozenset[str]:
    """Return the metrics without a value whose bounds tell on which side of all that is asked of them they lie."""
    limits, baselines = observation.limits, observation.forecast_result.baselines
    found: set[str] = set()
    for metric, sample in observation.samples.items():
        if not sample.bounded:
            continue
        allowed = tolerance(spec, metric, baselines.get(metric))
        edge = None if allowed is None else allowed.edge(above=True)
        levels = [level for level in (edge, limits.get(metric)) if level is not None]
        if levels and all(sample.told(level) is not None for level in levels):
            found.add(metric)
    return frozenset(found)


def _with_standing(found: Sequence[Risk], previous: Sequence[Risk], seen: Availability) -> tuple[Risk, ...]:
    """Return the risks; of a metric that is not seen for a moment that which was told last, if any was."""
    standing = [risk for risk in previous if risk.metric in seen.fading]
    return tuple(
        sorted([*(risk for risk in found if risk.metric not in seen.fading), *standing], key=lambda risk: risk.metric)
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
