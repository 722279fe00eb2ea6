"""The health score: 100 less what each metric costs.

``score = 100 · (1 - Σ w·p)``, where ``p`` is a metric's penalty (0 at its expected value, 1 at its limit,
linear between) and ``w`` its weight (:mod:`twinops.metric_definitions`), scaled so that the weights of the
metrics that are known add up to 1. What is not known lowers confidence, never the score. Latency and errors without
any traffic (:mod:`twinops.core.metrics.idle`) are known, and cost nothing.

Nor does it raise the score. Within the grace period (:mod:`.availability`) a metric that is not seen any more
counts as it did last. After it there is a score only where leaving the metric out does not flatter: where it cost
something when it was last seen, nobody knows whether it still does.

What was learned to be normal counts only where there is neither an expected value nor a limit, and there is no
penalty within its band. A limit is not softened by it: CPU that is at 94 % at every noon is near its limit all the
same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from twinops.api.twin.observed import Health, HealthComponent, LastKnown, Quality
from twinops.api.twin.spec import MAX_METRICS, DigitalTwinSpec, OnMissing, SystemType
from twinops.core.assess.tolerance import Tolerance, tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.metrics.idle import idle_metrics
from twinops.core.metrics.reasons import NOT_APPLICABLE
from twinops.core.observation import Sample
from twinops.metric_definitions import definition

FULL_AT_THRESHOLDS = 4.0
"""Without any limit the penalty is full at this many allowed deviations, where drift becomes critical."""

FREE_SHARE = 0.8
"""Without an expected value there is no penalty below this share of the limit (errors: below 0)."""

FLATTERING_POINTS = 2.0
"""By so much a score may rise because a metric is left out that is lost; by more it is not told."""

_REAL = frozenset({Quality.GOOD, Quality.HELD, Quality.BOUNDED})
_HUNDRED = 100
_NOTHING_LEARNED: MappingProxyType[str, BaselineEstimate] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Scores that lost metrics would make, 0..100.

    Attributes:
        metrics: their names, sorted.
        known: the score without them.
        last: the score with each of them as it was last seen.
        best: the score if each of them were at its best; it cannot be higher.
    """

    metrics: tuple[str, ...]
    known: float
    last: float
    best: float

    @property
    def flatters(self) -> bool:
        """Tell whether the score without them is better than the one that was last seen."""
        return self.known - self.last >= FLATTERING_POINTS


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
        baselines: what was learned to be normal, by metric.
        previous: the health of the last status, for what is not seen any more; None where there is none.
        lost: metrics that are unknown for longer than the grace period.

    Returns:
        None for a score when there is no real value at all, fresh, held or within its grace period, or when the score
        of what is left would flatter; and a ``Health`` whose components come worst first, with confidence = share of
        the total weight whose values are real and fresh.
    """
    remembered, idle = _remembered(previous), idle_metrics(samples)
    penalties, unknown = _judge(spec, samples, baselines, remembered)
    last_known = {metric: remembered[metric] for metric in sorted(unknown) if metric in remembered}
    real = {m for m in penalties if m in idle or samples[m].quality in _REAL}
    counted = penalties | {metric: penalty for metric, penalty in last_known.items() if metric not in lost}
    memory = [LastKnown(metric=metric, penalty=round(penalty, 4)) for metric, penalty in last_known.items()]
    memory = memory[:MAX_METRICS]
    if not real and counted.keys() == penalties.keys():
        names = sorted({*penalties, *unknown})[:MAX_METRICS]
        return None, Health(confidence=0.0, unknown=names, last_known=memory)
    kind = spec.source.system_type
    components = _components(kind, counted)
    fresh = _total(kind, {m for m in penalties if m in idle or samples[m].actionable or samples[m].bounded})
    all_together = _total(kind, {*counted, *unknown})
    health = Health(
        confidence=round(min(fresh / all_together, 1.0), 4),
        components=components[:MAX_METRICS],
        unknown=sorted(unknown)[:MAX_METRICS],
        last_known=memory,
    )
    without = hindsight(spec, health)
    if without is not None and without.flatters:
        return None, health
    return round(_score(kind, counted)), health


def hindsight(spec: DigitalTwinSpec, health: Health) -> Hindsight | None:
    """Return what the metrics would do to the score that are lost and were known before, None where there are none."""
    kind = spec.source.system_type
    known = {component.metric: component.penalty for component in health.components}
    lost = {one.metric: one.penalty for one in health.last_known if one.metric not in known}
    if not lost or not known:
        return None
    return Hindsight(
        metrics=tuple(sorted(lost)),
        known=_score(kind, known),
        last=_score(kind, known | lost),
        best=_score(kind, known | dict.fromkeys(lost, 0.0)),
    )


def remember(health: Health | None) -> list[LastKnown]:
    """Return every metric as it was last seen, for a time in which nothing is."""
    kept = [LastKnown(metric=metric, penalty=penalty) for metric, penalty in sorted(_remembered(health).items())]
    return kept[:MAX_METRICS]


def _remembered(health: Health | None) -> dict[str, float]:
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


def _judge(
    spec: DigitalTwinSpec,
    samples: Mapping[str, Sample],
    baselines: Mapping[str, BaselineEstimate],
    remembered: Collection[str],
) -> tuple[dict[str, float], set[str]]:
    """Return the penalty of every metric that is known, none without traffic, and the names of those that are not."""
    penalties, unknown = {}, set()
    idle = idle_metrics(samples)
    stand_ins = {rule.name for rule in spec.source.metrics if rule.on_missing is OnMissing.VALUE}
    for metric in {*samples, *spec.expected_state.metrics, *spec.limits}:
        sample = samples.get(metric)
        value = None if sample is None else _value(spec, sample)
        if metric in idle and _judged(spec, metric, baselines):
            penalties[metric] = 0.0
            continue
        if sample is not None and sample.quality not in _REAL and metric not in stand_ins:
            # A value that cannot be trusted, of whatever kind, is none.
            value = None
        if value is None or not math.isfinite(value):
            reason = "" if sample is None else sample.reason
            # A learned baseline that is being read again has no normal to tell yet.
            relearning = spec.expected_state.learned and metric in remembered and reason not in NOT_APPLICABLE
            missed = _expected_to_be_known(spec, metric, reason) or _normal(spec, metric, baselines) is not None
            if missed or relearning:
                unknown.add(metric)
            continue
        found = penalty_of(spec, metric, value, unit=sample.unit if sample else "")
        if found is None and (normal := _normal(spec, metric, baselines)) is not None:
            found = _against_learned(normal, value)
        if found is not None:
            penalties[metric] = found
    return penalties, unknown


def _value(spec: DigitalTwinSpec, sample: Sample) -> float | None:
    """Return the value; between bounds the upper one where that is no loss, else the lower one where that is one."""
    if not sample.bounded:
        return sample.value
    most, least = (
        None if bound is None else penalty_of(spec, sample.metric, bound, unit=sample.unit)
        for bound in (sample.most, sample.least)
    )
    if most == 0:
        return sample.most
    return sample.least if least else None


def _judged(spec: DigitalTwinSpec, metric: str, baselines: Mapping[str, BaselineEstimate]) -> bool:
    """Tell whether anything says what would be bad of a metric of requests."""
    return penalty_of(spec, metric, 0.0) is not None or _normal(spec, metric, baselines) is not None


def _normal(spec: DigitalTwinSpec, metric: str, baselines: Mapping[str, BaselineEstimate]) -> Tolerance | None:
    """Return what was learned to be normal, None where an expected value is given or nothing is known."""
    allowed = tolerance(spec, metric, baselines.get(metric))
    return allowed if allowed is not None and allowed.learned else None


def _expected_to_be_known(spec: DigitalTwinSpec, metric: str, reason: str) -> bool:
    if metric in spec.expected_state.metrics or metric in spec.limits:
        return True
    return definition(metric).default_limit is not None and reason not in NOT_APPLICABLE


def _total(kind: SystemType, metrics: Mapping[str, float] | set[str]) -> float:
    return math.fsum(definition(metric).weight(kind) for metric in metrics)


def penalty_of(spec: DigitalTwinSpec, metric: str, value: float, *, unit: str = "") -> float | None:
    """Return what a value costs: 0 at the expected value, 1 at the limit, linear between, clipped.

    Args:
        spec: the twin's spec.
        metric: name of the metric.
        value: finite, in the metric's own unit.
        unit: the sample's unit with its basis. Use above a *request* is allowed, so percentages of
            requests have no default limit.

    Returns:
        0..1, or None where nothing says what would be bad: no expected value and no limit, or an expected
        value of 0 without a limit or an absolute threshold.
    """
    by_default = None if unit.endswith("requests") else definition(metric).default_limit
    allowed = tolerance(spec, metric)
    if allowed is not None:
        return _against_expected(allowed, by_default, value)
    limit = spec.limits.get(metric, by_default)
    return None if limit is None else _against_limit(metric, limit, value)


def _against_limit(metric: str, limit: float, value: float) -> float:
    start = min(0.0, limit) if definition(metric).harmful_from_zero else limit - (1 - FREE_SHARE) * abs(limit)
    return _between(start, limit, value)


def _against_expected(allowed: Tolerance, by_default: float | None, value: float) -> float | None:
    if allowed.width is None and allowed.limit is None and by_default is None:
        return None
    if any(allowed.past_limit(value, above=side) for side in (True, False)):
        return 1.0
    full = _full_at(allowed, by_default, above=value >= allowed.expected)
    return 0.0 if full is None else _between(allowed.expected, full, value)


def _against_learned(allowed: Tolerance, value: float) -> float | None:
    """Return what a value costs: 0 at the edge of what is normal, 1 at ``FULL_AT_THRESHOLDS`` times as far."""
    above = value >= allowed.expected
    edge, full = allowed.edge(above=above), _full_at(allowed, None, above=above)
    if not allowed.outside(value, above=above) or not allowed.harmful(above=above):
        return 0.0
    return None if edge is None or full is None else _between(edge, full, value)


def _full_at(allowed: Tolerance, by_default: float | None, *, above: bool) -> float | None:
    """Return the value with the full penalty on this side, None where there is no penalty on it."""
    if not allowed.harmful(above=above):
        return None
    limit = allowed.limit_on(above=above)
    if limit is not None:
        return limit
    if by_default is not None and above and by_default > allowed.expected:
        return by_default
    scale = allowed.scale(above=above)
    if scale is None:
        return None
    known, away = definition(allowed.metric), FULL_AT_THRESHOLDS * scale
    if above:
        return min(allowed.expected + away, math.inf if known.maximum is None else known.maximum)
    return max(allowed.expected - away, -math.inf if known.minimum is None else known.minimum)


def _between(start: float, end: float, value: float) -> float:
    """Return how far the value is on its way from ``start`` to ``end``, clipped to 0..1."""
    if end == start:
        return 1.0 if value > end else 0.0
    share = (value - start) / (end - start)
    # Neither is known of two values that are both beyond all measure: then it is bad.
    return 1.0 if math.isnan(share) else min(max(share, 0.0), 1.0)
