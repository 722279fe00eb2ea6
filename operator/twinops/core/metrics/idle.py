"""Metrics that nobody can measure because nobody asks for anything: known to be well, not unknown."""

from __future__ import annotations

from collections.abc import Mapping

from twinops.api.twin.status import Quality
from twinops.core.metrics.definitions import ERRORS, LATENCY, THROUGHPUT
from twinops.core.observation import Sample

BY_REQUESTS = frozenset({LATENCY, ERRORS})
"""Metrics of requests: without any of these there is neither a latency nor a share of errors."""

_TELLING = frozenset({Quality.GOOD, Quality.BOUNDED, Quality.ERROR})
"""Of a value something is known, and a failure is no lack of requests."""

_NO_TRAFFIC = 1e-9
"""Requests per second up to which there are none: a rate of counters that stand still is 0 but for rounding."""


def idle_metrics(samples: Mapping[str, Sample]) -> frozenset[str]:
    """Return the metrics that have no value of their own because throughput is known to be zero.

    Known means a real, fresh value: where the throughput is unknown, too, so is what requests would tell. A query that
    fails has not shown that there is nothing to measure, and stays a failure.

    Args:
        samples: the answers of one sync, by metric.
    """
    traffic = samples.get(THROUGHPUT)
    if traffic is None or not traffic.actionable or traffic.value is None or abs(traffic.value) > _NO_TRAFFIC:
        return frozenset()
    return frozenset(
        metric
        for metric in BY_REQUESTS
        if (sample := samples.get(metric)) is not None and sample.quality not in _TELLING
    )
