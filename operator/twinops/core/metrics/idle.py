"""Metrics that have no value because there is no traffic; without requests there is nothing wrong with them."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.twin.observed import Quality
from twinops.core.observation import Sample
from twinops.metric_definitions import THROUGHPUT, standard_names

_MEASURED_ON_REQUESTS = standard_names(lambda row: row.measured_on_requests)

_NOT_IDLE = frozenset({Quality.GOOD, Quality.BOUNDED, Quality.ERROR})
"""Qualities that are not explained by a lack of requests: something is known of the value, or the query failed."""

_NO_TRAFFIC = 1e-9
"""Requests per second up to which there are none: a rate of counters that stand still is 0 but for rounding."""


def idle_metrics(samples: Mapping[str, Sample]) -> frozenset[str]:
    """Return the metrics measured on requests that have no value because throughput is known to be zero.

    Throughput is known when its value is real and fresh. A metric whose query failed (quality Error) is not among
    them: the failure has another cause than a lack of requests.

    Args:
        samples: the answers of one sync, by metric.
    """
    traffic = samples.get(THROUGHPUT)
    if traffic is None or not traffic.actionable or traffic.value is None or abs(traffic.value) > _NO_TRAFFIC:
        return frozenset()
    return frozenset(
        metric
        for metric in _MEASURED_ON_REQUESTS
        if (sample := samples.get(metric)) is not None and sample.quality not in _NOT_IDLE
    )
