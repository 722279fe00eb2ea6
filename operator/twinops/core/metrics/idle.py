"""Idle metrics: those that have no value because there is no traffic, and are well for that reason."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.twin.observed import Quality
from twinops.core.observation import Sample
from twinops.metric_definitions import definition, standard_names

_DEPEND_ON_TRAFFIC = standard_names(lambda row: row.idle_without)

_NOT_IDLE = frozenset({Quality.GOOD, Quality.BOUNDED, Quality.ERROR})
"""Qualities that are not explained by a lack of requests: something is known of the value, or the query failed."""

_NO_TRAFFIC = 1e-9
"""Requests per second up to which traffic counts as 0: a rate of constant counters may differ from 0 by rounding."""


def idle_metrics(samples: Mapping[str, Sample]) -> frozenset[str]:
    """Return the metrics that have no value because the traffic they are measured on is known to be zero.

    Which metrics depend on which traffic is the column ``idle_without`` of the metric definitions. Traffic is known
    when its value is real and fresh. A metric whose query failed (quality Error) is not among the idle ones: the
    failure has another cause than a lack of requests.

    Args:
        samples: the answers of one sync, by metric.
    """
    return frozenset(
        metric
        for metric in _DEPEND_ON_TRAFFIC
        if (sample := samples.get(metric)) is not None
        and sample.quality not in _NOT_IDLE
        and zero_traffic(metric, samples) is not None
    )


def zero_traffic(metric: str, samples: Mapping[str, Sample]) -> Sample | None:
    """Return the sample of a metric's traffic if that is known to be zero, else None."""
    name = definition(metric).idle_without
    traffic = None if name is None else samples.get(name)
    if traffic is None or not traffic.actionable or traffic.value is None:
        return None
    return traffic if abs(traffic.value) <= _NO_TRAFFIC else None
