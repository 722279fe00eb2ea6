"""Builders for tests about gathering metrics: specs, answers of Prometheus, and one whole gathering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakes.metrics_backend import FakeBackend
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.api.base import utc
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.batches import Gathered
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.core.observation import Sample, Workload
from twinops.ports.metrics import SourceAccess

NOW = 1_800_000_000.0
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
TARGET = TargetRef(name="checkout")
WORKLOAD = Workload(TARGET, "uid-1", 2, 2, 0.5, 256e6, "limits", "requests", pods_read=True)

# What only the look-ups for freshness and for series contain.
FRESHNESS = "max(timestamp("
PRESENCE = "present_over_time("


def twin(kind: str = "Custom", metrics: Sequence[Mapping[str, Any]] = (), **rest: Any) -> DigitalTwinSpec:
    source = {"systemType": kind, "targetRef": {"name": "checkout"}, "metrics": list(metrics)}
    return DigitalTwinSpec.from_wire({"source": source, **rest})


def custom(query: str = "up", **rules: Any) -> DigitalTwinSpec:
    return twin(metrics=[{"name": "queueLength", "query": query, **rules}])


def gives(*values: float) -> InstantAnswer:
    return InstantAnswer(values=values)


async def gather(
    spec: DigitalTwinSpec,
    backend: FakeBackend,
    previous: Sequence[ObservedMetric] = (),
    workload: Workload | None = WORKLOAD,
) -> Gathered:
    gatherer = Gatherer(backend, PrometheusTexts())
    return await gatherer.gather(spec, SOURCE, namespace="shop", workload=workload, previous=previous, now=NOW)


PART = InstantAnswer(error=PARTIAL)
LATENCY = "histogram_quantile(0.95, sum by (le) (rate(wait_seconds_bucket[5m]))) * 1000"


def seen(samples: Mapping[str, Sample]) -> list[ObservedMetric]:
    return [
        ObservedMetric(
            name=sample.metric,
            value=sample.value,
            unit=sample.unit,
            time=None if sample.time is None else utc(sample.time),
            quality=sample.quality,
            reason=sample.reason,
            query=sample.query,
        )
        for sample in samples.values()
    ]


def every(*samples: Sample) -> list[ObservedMetric]:
    return seen({sample.metric: sample for sample in samples})


def held(value: float | None, age: float, quality: Quality = Quality.GOOD) -> ObservedMetric:
    return ObservedMetric(name="queueLength", value=value, time=utc(NOW - age), quality=quality, unit="items")


NO_CPU = Sample("cpuUsage", Quality.MISSING, reason="NoSuchSeries")
NO_MEMORY = Sample("memoryUsage", Quality.MISSING, reason="NoSuchSeries")
IDLE_CPU = Sample("cpuUsage", Quality.EMPTY, reason="EmptyResult", query="pod-cpu")
