"""Availability of a twin's metrics: which have a fresh value, which had one before, and since when they have none.

A metric without a fresh value keeps its last known verdict for a grace period, the same one that ``Ready`` has,
because one failed scrape or a pod that restarts changes nothing. After the grace period the metric is *lost*: health
and drift say nothing about it any more, and no forecast from its last value is published. A metric that has nothing to
measure because there is no traffic (:mod:`twinops.core.metrics.idle`) is known to be well and never lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from twinops.api.base import utc
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, ObservedMetric, Quality
from twinops.core.metrics.idle import idle_metrics
from twinops.core.observation import Sample
from twinops.core.text import shorten

GRACE_SECONDS = 120.0
"""How long the last known verdict about a metric without a fresh value holds, unless a setting says otherwise."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Which metrics have no fresh value.

    Attributes:
        unavailable_since: Unix seconds of the first sync without a fresh value, by metric; only of metrics that had
            one before.
        lost: those without a fresh value for the grace period or longer, and those that never had one.
        idle: those without a value because there is no traffic.
        forecast_excluded: those of which no forecast is published: lost ones, idle ones without a value for as long,
            and those of which only bounds are known.
    """

    unavailable_since: Mapping[str, float] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    forecast_excluded: frozenset[str] = frozenset()

    @property
    def within_grace(self) -> frozenset[str]:
        """Metrics without a fresh value whose last known verdict still holds."""
        return frozenset(self.unavailable_since) - self.lost - self.idle


def assess_availability(
    samples: Mapping[str, Sample],
    previous: Sequence[ObservedMetric],
    now: float,
    *,
    grace_seconds: float = GRACE_SECONDS,
    decided_by_bounds: Collection[str] = (),
    with_verdict: Collection[str] = (),
) -> Availability:
    """Return which metrics have no fresh value, and since when.

    Args:
        samples: the answers of this sync, by metric.
        previous: ``status.observed`` before it.
        now: Unix seconds.
        grace_seconds: how long a last known verdict holds.
        decided_by_bounds: metrics without a value whose bounds are enough for a verdict. They count as available, but
            no forecast is published of them.
        with_verdict: metrics that the last status has a verdict about. Bounds of any other metric were not enough for
            one, so that there is none to hold.
    """
    before = {metric.name: metric for metric in previous}
    since: dict[str, float] = {}
    excluded: set[str] = set()
    idle = idle_metrics(samples)
    for metric, sample in samples.items():
        if sample.actionable:
            continue
        if metric in decided_by_bounds:
            excluded.add(metric)
            continue
        start = _unavailable_since(before.get(metric), now, with_verdict)
        if start is not None:
            since[metric] = start
        if start is None or now - start >= grace_seconds:
            excluded.add(metric)
    lost = frozenset(excluded) - idle - frozenset(decided_by_bounds)
    return Availability(since, lost, idle, frozenset(excluded))


def metrics_with_verdict(health: Health | None, drift: Drift) -> frozenset[str]:
    """Return the metrics that the last status has a verdict about: a component of health, or an alert of drift."""
    components = health.components if health else ()
    return frozenset((*(component.metric for component in components), *(alert.component for alert in drift.alerts)))


def observed_for_status(
    samples: Mapping[str, Sample], unavailable_since: Mapping[str, float]
) -> tuple[ObservedMetric, ...]:
    """Return every answer as ``status.observed`` shows it, sorted by metric; values with six significant digits.

    Args:
        samples: the answers, by metric.
        unavailable_since: Unix seconds of the first sync without a fresh value, by metric.
    """
    return tuple(
        ObservedMetric(
            name=sample.metric,
            value=None if sample.value is None else float(f"{sample.value:.6g}"),
            unit=sample.unit,
            time=None if sample.time is None else utc(sample.time),
            quality=sample.quality,
            reason=sample.reason,
            message=shorten(sample.message),
            query=sample.query,
            basis=shorten(sample.basis),
            unseen_since=utc(unavailable_since[sample.metric]) if sample.metric in unavailable_since else None,
        )
        for sample in sorted(samples.values(), key=lambda sample: sample.metric)
    )


def _unavailable_since(before: ObservedMetric | None, now: float, with_verdict: Collection[str]) -> float | None:
    """Return since when a metric has no fresh value, None where it had none before either."""
    if before is None:
        return None
    if before.unseen_since is not None:
        return before.unseen_since.timestamp()
    bounded = before.quality is Quality.BOUNDED and before.name in with_verdict
    return now if bounded or before.quality is Quality.GOOD else None
