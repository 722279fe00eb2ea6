"""The health score: 100 less what each metric costs.

``score = 100 · (1 - Σ w·p)``, where ``p`` is a metric's penalty (0 at its expected value, 1 at its limit,
linear between) and ``w`` its weight (:mod:`twinops.metric_definitions`), scaled so that the weights of the
metrics that are known add up to 1. What is not known lowers confidence, never the score. Latency and errors without
any traffic (:mod:`twinops.core.metrics.idle`) are known, and cost nothing.

What is not known does not raise the score either. Within the grace period (:mod:`.availability`) a metric without a
fresh value counts with its last known penalty. After it the metric is lost, and there is a score only where leaving
the metric out does not raise it: a metric that had a penalty when it was last known may still have it.

Penalties of single values are computed in :mod:`twinops.core.assess.penalty`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from twinops.api.twin.observed import Health, HealthComponent, LastKnown, Quality
from twinops.api.twin.spec import MAX_METRICS, DigitalTwinSpec, OnMissing, SystemType
from twinops.core.assess.penalty import learned_penalty, penalty_of
from twinops.core.assess.tolerance import Tolerance, tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.metrics.idle import idle_metrics
from twinops.core.metrics.reasons import NOT_APPLICABLE
from twinops.core.observation import Sample
from twinops.metric_definitions import definition

OVERSTATED_POINTS = 2.0
"""Points of the score. By less than this leaving lost metrics out may raise it; by as much there is no score."""

_REAL = frozenset({Quality.GOOD, Quality.HELD, Quality.BOUNDED})
_HUNDRED = 100
_NOTHING_LEARNED: MappingProxyType[str, BaselineEstimate] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ScoresWithLost:
    """The score without and with the lost metrics that had a penalty once, 0..100 each.

    Attributes:
        metrics: their names, sorted.
        without: the score without them.
        last_known: the score with each of them at its last known penalty.
        best: the score with each of them at no penalty; the true one cannot be higher.
    """

    metrics: tuple[str, ...]
    without: float
    last_known: float
    best: float

    @property
    def overstates(self) -> bool:
        """Tell whether leaving them out raises the score too much for it to be published."""
        return self.without - self.last_known >= OVERSTATED_POINTS


def assess_health(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate] = _NOTHING_LEARNED,
    *,
    previous: Health | None = None,
    lost: Collection[str] = (),
) -> tuple[int | None, Health]:
    """Return the health score, 0..100, and how it came about.

    Every metric counts that has an expected value, a learned one included, or a limit, be it a default one. Held
    values and stand-ins enter the score, since that is what the user asked for, but not the confidence.

    Args:
        spec: the twin's spec.
        samples: the answers of this sync, by metric.
        baselines: the baseline estimates, by metric.
        previous: the health of the last status, for metrics without a value; None where there is none.
        lost: metrics without a fresh value for the grace period or longer.

    Returns:
        The score, None when there is no real value at all, fresh, held or within its grace period, or when the score
        without the lost metrics is overstated. And a ``Health``: its components are sorted worst first, its
        confidence is the share of the total weight whose values are real and fresh.
    """
    last, idle = _last_penalties(previous), idle_metrics(samples)
    penalties, unknown = _penalties(spec, samples, baselines, last)
    last_known = {metric: last[metric] for metric in sorted(unknown) if metric in last}
    real = {m for m in penalties if m in idle or samples[m].quality in _REAL}
    counted = penalties | {metric: penalty for metric, penalty in last_known.items() if metric not in lost}
    kept = [LastKnown(metric=metric, penalty=round(penalty, 4)) for metric, penalty in last_known.items()]
    kept = kept[:MAX_METRICS]
    if not real and counted.keys() == penalties.keys():
        names = sorted({*penalties, *unknown})[:MAX_METRICS]
        return None, Health(confidence=0.0, unknown=names, last_known=kept)
    kind = spec.source.system_type
    components = _components(kind, counted)
    fresh = _total(kind, {m for m in penalties if m in idle or samples[m].actionable or samples[m].bounded})
    all_together = _total(kind, {*counted, *unknown})
    health = Health(
        confidence=round(min(fresh / all_together, 1.0), 4),
        components=components[:MAX_METRICS],
        unknown=sorted(unknown)[:MAX_METRICS],
        last_known=kept,
    )
    without = scores_with_lost(spec, health)
    if without is not None and without.overstates:
        return None, health
    return round(_score(kind, counted)), health


def scores_with_lost(spec: DigitalTwinSpec, health: Health) -> ScoresWithLost | None:
    """Return the score without and with lost metrics that had a penalty once, None where there are none."""
    kind = spec.source.system_type
    known = {component.metric: component.penalty for component in health.components}
    lost = {one.metric: one.penalty for one in health.last_known if one.metric not in known}
    if not lost or not known:
        return None
    return ScoresWithLost(
        metrics=tuple(sorted(lost)),
        without=_score(kind, known),
        last_known=_score(kind, known | lost),
        best=_score(kind, known | dict.fromkeys(lost, 0.0)),
    )


def last_known_penalties(health: Health | None) -> list[LastKnown]:
    """Return the last known penalty of every metric, for a status without any new sample."""
    kept = [LastKnown(metric=metric, penalty=penalty) for metric, penalty in sorted(_last_penalties(health).items())]
    return kept[:MAX_METRICS]


def _last_penalties(health: Health | None) -> dict[str, float]:
    if health is None:
        return {}
    known = {one.metric: one.penalty for one in health.last_known}
    return known | {one.metric: one.penalty for one in health.components}


def _components(kind: SystemType, penalties: Mapping[str, float]) -> list[HealthComponent]:
    known = _total(kind, penalties)
    components = [
        HealthComponent(
            metric=metric,
            penalty=round(penalty, 4),
            weight=round(definition(metric).weight(kind) / known, 4),
            points=round(_HUNDRED * penalty * definition(metric).weight(kind) / known, 2),
        )
        for metric, penalty in penalties.items()
    ]
    return sorted(components, key=lambda component: (-component.points, -component.weight, component.metric))


def _score(kind: SystemType, penalties: Mapping[str, float]) -> float:
    # fsum: the same sum in whatever order the metrics come.
    lost = math.fsum(penalty * definition(metric).weight(kind) for metric, penalty in penalties.items()) / _total(
        kind, penalties
    )
    return _HUNDRED * (1 - min(lost, 1.0))


def _penalties(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate],
    last_known: Collection[str],
) -> tuple[dict[str, float], set[str]]:
    """Return the penalty of every metric that is known (0 without traffic), and the names of those that are not.

    Args:
        spec: the twin's.
        samples: the answers of this sync, by metric.
        baselines: the baseline estimates, by metric.
        last_known: metrics with a last known penalty.
    """
    penalties, unknown = {}, set()
    idle = idle_metrics(samples)
    stand_ins = {rule.name for rule in spec.source.metrics if rule.on_missing is OnMissing.VALUE}
    for metric in {*samples, *spec.expected_state.metrics, *spec.limits}:
        sample = samples.get(metric)
        value = None if sample is None else _value(spec, sample)
        if metric in idle and _has_penalty(spec, metric, baselines):
            penalties[metric] = 0.0
            continue
        if sample is not None and sample.quality not in _REAL and metric not in stand_ins:
            # A value of any other quality is not trusted.
            value = None
        if value is None or not math.isfinite(value):
            reason = "" if sample is None else sample.reason
            # After a restart the baseline is learned again; until then it has no estimate of a metric that had one.
            relearning = spec.expected_state.learned and metric in last_known and reason not in NOT_APPLICABLE
            missed = _expected_to_be_known(spec, metric, reason) or _normal(spec, metric, baselines) is not None
            if missed or relearning:
                unknown.add(metric)
            continue
        found = penalty_of(spec, metric, value, unit=sample.unit if sample else "")
        if found is None and (normal := _normal(spec, metric, baselines)) is not None:
            found = learned_penalty(normal, value)
        if found is not None:
            penalties[metric] = found
    return penalties, unknown


def _value(spec: DigitalTwinSpec, sample: Sample) -> float | None:
    """Return the value; of a Bounded sample the upper bound if it has no penalty, else the lower one if it has one."""
    if not sample.bounded:
        return sample.value
    most, least = (
        None if bound is None else penalty_of(spec, sample.metric, bound, unit=sample.unit)
        for bound in (sample.most, sample.least)
    )
    if most == 0:
        return sample.most
    return sample.least if least else None


def _has_penalty(spec: DigitalTwinSpec, metric: str, baselines: Mapping[str, BaselineEstimate]) -> bool:
    """Tell whether anything defines what would be a bad value of the metric."""
    return penalty_of(spec, metric, 0.0) is not None or _normal(spec, metric, baselines) is not None


def _normal(spec: DigitalTwinSpec, metric: str, baselines: Mapping[str, BaselineEstimate]) -> Tolerance | None:
    """Return the learned tolerance, None where an expected value is given or nothing was learned."""
    allowed = tolerance(spec, metric, baselines.get(metric))
    return allowed if allowed is not None and allowed.learned else None


def _expected_to_be_known(spec: DigitalTwinSpec, metric: str, reason: str) -> bool:
    if metric in spec.expected_state.metrics or metric in spec.limits:
        return True
    return definition(metric).default_limit is not None and reason not in NOT_APPLICABLE


def _total(kind: SystemType, metrics: Mapping[str, float] | set[str]) -> float:
    return math.fsum(definition(metric).weight(kind) for metric in metrics)
