"""What is seen of a twin's metrics at a sync, what was seen and is not any more, and since when.

A metric without a fresh value keeps its last verdict for a grace period, the one that ``Ready`` has, too: a scrape
that fails or a pod that restarts is no news. After it the metric is *lost*: what is not seen is neither well nor
ill, so that nothing is said of it, and nothing foreseen from its last value. What cannot be measured because there is
no traffic (:mod:`twinops.core.metrics.idle`) is known to be well, and not among these.
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
"""How long a last verdict stands without anything new behind it, unless a setting says otherwise."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Which metrics have no fresh value.

    Attributes:
        since: Unix seconds of the first sync without one, by metric; only of metrics that had one before.
        lost: those without one for the grace period or longer, and those that never had one.
        idle: those that have none because there is no traffic, of which as much is known as there is to know.
        outdated: those of which nothing is to be foreseen: lost, and idle ones without a value for as long.
    """

    since: Mapping[str, float] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    outdated: frozenset[str] = frozenset()

    @property
    def fading(self) -> frozenset[str]:
        """Metrics whose last verdict still stands."""
        return frozenset(self.since) - self.lost - self.idle


def sight(
    samples: Mapping[str, Sample],
    previous: Sequence[ObservedMetric],
    now: float,
    *,
    grace_seconds: float = GRACE_SECONDS,
    told: Collection[str] = (),
    judged: Collection[str] = (),
) -> Availability:
    """Tell which metrics are not seen.

    Args:
        samples: the answers of this sync, by metric.
        previous: ``status.observed`` before it.
        now: Unix seconds.
        grace_seconds: how long a last verdict stands.
        told: metrics without a value whose bounds tell all the same how they are; nothing is to be foreseen of them.
        judged: metrics that the last status says something of. Bounds may have told nothing, and then none stands.
    """
    before = {metric.name: metric for metric in previous}
    since: dict[str, float] = {}
    outdated: set[str] = set()
    idle = idle_metrics(samples)
    for metric, sample in samples.items():
        if sample.actionable:
            continue
        if metric in told:
            outdated.add(metric)
            continue
        start = _unseen_since(before.get(metric), now, judged)
        if start is not None:
            since[metric] = start
        if start is None or now - start >= grace_seconds:
            outdated.add(metric)
    return Availability(since, frozenset(outdated) - idle - frozenset(told), idle, frozenset(outdated))


def judged(health: Health | None, drift: Drift) -> frozenset[str]:
    """Return the metrics that the last sync says something of: what they cost health, or that they are off."""
    components = health.components if health else ()
    return frozenset((*(component.metric for component in components), *(alert.component for alert in drift.alerts)))


def observed(samples: Mapping[str, Sample], since: Mapping[str, float]) -> tuple[ObservedMetric, ...]:
    """Return every answer as it stands in status, sorted by metric.

    Args:
        samples: the answers, by metric.
        since: Unix seconds from when on a metric was not seen, of those that are not.
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
            unseen_since=utc(since[sample.metric]) if sample.metric in since else None,
        )
        for sample in sorted(samples.values(), key=lambda sample: sample.metric)
    )


def _unseen_since(before: ObservedMetric | None, now: float, judged: Collection[str]) -> float | None:
    if before is None:
        return None
    if before.unseen_since is not None:
        return before.unseen_since.timestamp()
    seen = before.quality is Quality.GOOD or (before.quality is Quality.BOUNDED and before.name in judged)
    return now if seen else None
