"""The health score: 100 less what each metric costs.

``score = 100 · (1 - Σ w·p)``, where ``p`` is a metric's penalty (0 at its expected value, 1 at its limit,
linear between) and ``w`` its weight (:mod:`twinops.core.weights`), scaled so that the weights of the
metrics that are known add up to 1. What is not known lowers confidence, never the score. Latency and errors without
any traffic (:mod:`twinops.core.idle`) are known, and cost nothing.

What was learned to be normal counts only where there is neither an expected value nor a limit, and there is no
penalty within its band. A limit is not softened by it: CPU that is at 94 % at every noon is near its limit all the
same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType

from twinops.api.status import Health, HealthComponent, Quality
from twinops.api.twin import MAX_METRICS, DigitalTwinSpec, SystemType
from twinops.core.baseline.live import Reading
from twinops.core.idle import idle_metrics
from twinops.core.metrics import CPU, ERRORS, MEMORY, facts
from twinops.core.observation import Sample
from twinops.core.tolerance import Tolerance, tolerance
from twinops.core.weights import weight

DEFAULT_LIMITS: MappingProxyType[str, float] = MappingProxyType({CPU: 95.0, MEMORY: 95.0, ERRORS: 0.05})
"""Where a metric without a limit gets its full penalty.

A container near its CPU limit is throttled and one near its memory limit is killed, whatever it serves; a
service that fails one request in twenty is out of any usual objective. Latency, throughput and connections
have no such figure that would be right for two systems.
"""

FULL_AT_THRESHOLDS = 4.0
"""Without any limit the penalty is full at this many allowed deviations, where drift becomes critical."""

FREE_SHARE = 0.8
"""Without an expected value there is no penalty below this share of the limit (errors: below 0)."""

_NOT_TO_BE_HAD = frozenset({"NoRequestsOrLimits", "NoScope"})
"""Reasons for which a standard metric has no value by the nature of the system; nobody misses it then."""

_HUNDRED = 100
_NOTHING_LEARNED: MappingProxyType[str, Reading] = MappingProxyType({})


def assess_health(
    spec: DigitalTwinSpec, samples: Mapping[str, Sample], readings: Mapping[str, Reading] = _NOTHING_LEARNED
) -> tuple[int | None, Health]:
    """Return the health score, 0..100, and how it came about.

    Every metric counts that has an expected value, a learned one included, or a limit, be it a default one. Held
    values and stand-ins enter the score, since that is what the user asked for, but not the confidence.

    Args:
        spec: the twin's spec.
        samples: the answers of this sync, by metric.
        readings: what was learned to be normal, by metric.

    Returns:
        None for a score when there is no real value at all, fresh or held; and a ``Health`` whose
        components come worst first, with confidence = share of the total weight whose values are real
        and fresh.
    """
    idle = idle_metrics(samples)
    penalties, unknown = _judge(spec, samples, readings, idle)
    if not any(metric in idle or samples[metric].quality in (Quality.GOOD, Quality.HELD) for metric in penalties):
        return None, Health(confidence=0.0, unknown=sorted({*penalties, *unknown})[:MAX_METRICS])
    kind = spec.source.system_type
    known = _total(kind, penalties)
    components = [
        HealthComponent(
            metric=metric,
            penalty=round(penalty, 4),
            weight=round(weight(kind, metric) / known, 4),
            points=round(_HUNDRED * penalty * weight(kind, metric) / known, 2),
        )
        for metric, penalty in penalties.items()
    ]
    components.sort(key=lambda component: (-component.points, -component.weight, component.metric))
    # fsum: the same sum in whatever order the metrics come.
    lost = math.fsum(penalty * weight(kind, metric) for metric, penalty in penalties.items()) / known
    fresh = _total(kind, {metric for metric in penalties if metric in idle or samples[metric].actionable})
    return round(_HUNDRED * (1 - min(lost, 1.0))), Health(
        confidence=round(min(fresh / (known + _total(kind, unknown)), 1.0), 4),
        components=components[:MAX_METRICS],
        unknown=sorted(unknown)[:MAX_METRICS],
    )


def _judge(
    spec: DigitalTwinSpec, samples: Mapping[str, Sample], readings: Mapping[str, Reading], idle: Collection[str]
) -> tuple[dict[str, float], set[str]]:
    """Return the penalty of every metric that is known, none without traffic, and the names of those that are not."""
    penalties, unknown = {}, set()
    for metric in {*samples, *spec.expected_state.metrics, *spec.limits}:
        sample = samples.get(metric)
        value = None if sample is None else sample.value
        if value is None or metric in idle or not math.isfinite(value):
            reason = "" if sample is None else sample.reason
            if metric in idle and _judged(spec, metric, readings):
                penalties[metric] = 0.0
            elif _expected_to_be_known(spec, metric, reason) or _normal(spec, metric, readings) is not None:
                unknown.add(metric)
            continue
        found = penalty_of(spec, metric, value, unit=sample.unit if sample else "")
        if found is None and (normal := _normal(spec, metric, readings)) is not None:
            found = _against_learned(normal, value)
        if found is not None:
            penalties[metric] = found
    return penalties, unknown


def _judged(spec: DigitalTwinSpec, metric: str, readings: Mapping[str, Reading]) -> bool:
    """Tell whether anything says what would be bad of a metric of requests."""
    return penalty_of(spec, metric, 0.0) is not None or _normal(spec, metric, readings) is not None


def _normal(spec: DigitalTwinSpec, metric: str, readings: Mapping[str, Reading]) -> Tolerance | None:
    """Return what was learned to be normal, None where an expected value is given or nothing is known."""
    allowed = tolerance(spec, metric, readings.get(metric))
    return allowed if allowed is not None and allowed.learned else None


def _expected_to_be_known(spec: DigitalTwinSpec, metric: str, reason: str) -> bool:
    if metric in spec.expected_state.metrics or metric in spec.limits:
        return True
    return metric in DEFAULT_LIMITS and reason not in _NOT_TO_BE_HAD


def _total(kind: SystemType, metrics: Mapping[str, float] | set[str]) -> float:
    return math.fsum(weight(kind, metric) for metric in metrics)


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
    by_default = None if unit.endswith("requests") else DEFAULT_LIMITS.get(metric)
    allowed = tolerance(spec, metric)
    if allowed is not None:
        return _against_expected(allowed, by_default, value)
    limit = spec.limits.get(metric, by_default)
    return None if limit is None else _against_limit(metric, limit, value)


def _against_limit(metric: str, limit: float, value: float) -> float:
    start = min(0.0, limit) if metric == ERRORS else limit - (1 - FREE_SHARE) * abs(limit)
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
    known, away = facts(allowed.metric), FULL_AT_THRESHOLDS * scale
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
