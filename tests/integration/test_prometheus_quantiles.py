"""Quantiles of histograms on a real Prometheus: what is measured, and what lies between bounds."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.batches import Gathered
from twinops.core.observation import Workload
from twinops.ports.metrics import RangeQuery, SourceAccess

SCRAPE, MINUTES = 15, 20
OTEL = "http_server_request_duration_seconds"
WORKLOAD = Workload(TargetRef(name="edge"), "uid-1", 2, 2, 0.5, 256e6, "limits", "requests")
PODS = ("edge-7d9f8c6b5d-x2k9z", "edge-7d9f8c6b5d-b4cdf")


@dataclass(frozen=True)
class Case:
    """Requests per second up to each bound in seconds, cumulative, and what is known of the 95th percentile in ms."""

    name: str
    counts: dict[str, float]
    quality: Quality
    value: float | None = None
    least: float | None = None
    most: float | None = None


CASES = [
    # Seconds in buckets of milliseconds: nearly everything takes 20 ms.
    Case("otel", {"0": 0, "5": 10, "10": 10, "+Inf": 10}, Quality.BOUNDED, least=0, most=5000),
    Case("otel-tail", {"0": 0, "5": 9.8, "10": 10, "+Inf": 10}, Quality.BOUNDED, least=0, most=5000),
    Case("fast", {"0.005": 10, "0.01": 10, "+Inf": 10}, Quality.BOUNDED, least=0, most=5),
    Case("coarse", {"0.1": 0, "0.5": 0, "1": 10, "+Inf": 10}, Quality.BOUNDED, least=500, most=1000),
    Case("zero", {"0": 10, "5": 10, "+Inf": 10}, Quality.BOUNDED, least=0, most=0),
    Case("open", {"0.1": 0.1, "0.2": 0.2, "+Inf": 10}, Quality.BOUNDED, least=200),
    Case("all-open", {"0.1": 0, "0.2": 0, "+Inf": 10}, Quality.BOUNDED, least=200),
    Case("measured", {"0.1": 9, "0.2": 10, "+Inf": 10}, Quality.GOOD, value=150),
    Case("just-measured", {"0.1": 9.49, "0.2": 10, "+Inf": 10}, Quality.GOOD, value=100 + 100 * 0.01 / 0.51),
    Case("idle", {"0.1": 0, "0.2": 0, "+Inf": 0}, Quality.EMPTY),
]


@dataclass(frozen=True)
class Site:
    prometheus: Prometheus
    end: float

    @property
    def source(self) -> SourceAccess:
        return SourceAccess("default", MetricsSourceSpec(url=self.prometheus.url, scrape_interval_seconds=SCRAPE))


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    end = float(int(time.time()) // 60 * 60 - 60)
    begin = end - MINUTES * 60
    file: Path = tmp_path_factory.mktemp("quantiles") / "histograms.txt"
    lines = [
        f'{OTEL}_bucket{{namespace="{case.name}",pod="{pod}",le="{bound}"}} {rate / 2 * age:.4f} {begin + age:.0f}'
        for case in CASES
        for pod in PODS
        for bound, rate in case.counts.items()
        for age in range(0, MINUTES * 60 + 1, SCRAPE)
    ]
    file.write_text("\n".join([*lines, "# EOF", ""]))
    prometheus = cluster.start_prometheus("quantiles", PrometheusOptions(scrape_kwok=False, backfill=file))
    yield Site(prometheus, end)
    prometheus.process.stop()


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


async def gather(
    site: Site, backend: PrometheusBackend, case: Case, query: str = "", last: ObservedMetric | None = None
) -> Gathered:
    metrics = [{"name": "latencyMs", "query": query}] if query else []
    source = {"systemType": "WebService", "targetRef": {"name": "edge"}, "metrics": metrics}
    spec = DigitalTwinSpec.from_wire({"source": source})
    return await Gatherer(backend, PrometheusTexts()).gather(
        spec,
        site.source,
        namespace=case.name,
        workload=WORKLOAD,
        previous=[last] if last else [],
        now=site.end,
    )


OWN = f'1000 * histogram_quantile(.95, (sum(rate({OTEL}_bucket{{namespace="$(namespace)"}}[1m])) by (le))) # p95, (ms'


@pytest.mark.parametrize("query", [pytest.param("", id="built-in"), pytest.param(OWN, id="own")])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_quantile_is_a_value_only_where_observations_support_it(
    case: Case, query: str, site: Site, backend: PrometheusBackend
) -> None:
    gathered = await gather(site, backend, case, query)

    sample = gathered.samples["latencyMs"]
    # Without traffic a query of a person's own gives NaN, as it always did.
    quality = Quality.NAN if query and case.quality is Quality.EMPTY else case.quality
    assert sample.quality is quality
    assert sample.value == (None if case.value is None else pytest.approx(case.value, rel=1e-3))
    for bound, expected in ((sample.least, case.least), (sample.most, case.most)):
        assert bound == (None if expected is None else pytest.approx(expected, rel=1e-6, abs=1e-3))
    assert sample.actionable == (case.quality is Quality.GOOD)

    # What it was the last time is asked for with the rest, and the answer is the same.
    last = ObservedMetric(name="latencyMs", quality=sample.quality, query=sample.query, reason=sample.reason)
    again = (await gather(site, backend, case, query, last)).samples["latencyMs"]
    assert (again.quality, again.least, again.most) == (sample.quality, sample.least, sample.most)


@pytest.mark.parametrize("case", [one for one in CASES if one.quality is not Quality.EMPTY], ids=lambda case: case.name)
async def test_past_holds_what_was_measured_alone(case: Case, site: Site, backend: PrometheusBackend) -> None:
    promql = (await gather(site, backend, case)).queries["latencyMs"]

    [answer] = await backend.ranges(site.source, [RangeQuery(promql, site.end - 600, site.end, 60)])

    assert not answer.error
    known = np.concatenate([values for _times, values in answer.series]) if answer.series else np.empty(0)
    if case.value is None:
        assert not np.isfinite(known).any()
    else:
        assert known == pytest.approx([case.value] * 11, rel=1e-3)
        assert not math.isnan(known.sum())
