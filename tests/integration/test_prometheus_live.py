"""Client, gathering and history on a real Prometheus that scrapes a real endpoint."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from support.histories import Histories
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.batches import Gathered
from twinops.core.observation import Sample
from twinops.engine.forecast_input import ForecastInput
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import RangeQuery, SourceAccess

DEADLINE = 30.0
STALE_AFTER = 5

LIVE = """
gauge_value 4
gauge_zero 0
gauge_nan NaN
gauge_inf +Inf
gauge_many{x="1"} 1
gauge_many{x="2"} 2
"""


@dataclass
class Exporter:
    """A scraped endpoint whose text a test can change."""

    text: str = LIVE
    healthy: bool = True
    begun: float = field(default_factory=time.monotonic)

    def page(self) -> str:
        return f"{self.text}requests_total {(time.monotonic() - self.begun) * 5:.3f}\n"


@dataclass(frozen=True)
class Site:
    prometheus: Prometheus
    exporter: Exporter

    @property
    def source(self) -> SourceAccess:
        return SourceAccess("live", MetricsSourceSpec(url=self.prometheus.url, scrape_interval_seconds=1))


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    exporter = Exporter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if exporter.healthy else 500)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(exporter.page().encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = PrometheusOptions(scrape_interval="1s", scrape_kwok=False, backfill=week(tmp_path_factory.mktemp("week")))
    prometheus = cluster.start_prometheus("live", options)
    prometheus.add_target("exporter", f"127.0.0.1:{server.server_port}", {"job": "exporter"})
    yield Site(prometheus, exporter)
    prometheus.process.stop()
    server.shutdown()
    server.server_close()


# Two hours, one sample a minute, that end ten minutes before the run; the value is the age in minutes.
PAST_MINUTES = range(130, 9, -1)


def week(folder: Path) -> Path:
    now = int(time.time()) // 60 * 60
    lines = [f"past_minutes {minute} {now - 60 * minute}" for minute in PAST_MINUTES]
    file = folder / "past.txt"
    file.write_text("\n".join([*lines, "# EOF", ""]))
    return file


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


def twin(queries: Mapping[str, str]) -> DigitalTwinSpec:
    metrics = [{"name": name, "query": query, "staleAfterSeconds": STALE_AFTER} for name, query in queries.items()]
    return DigitalTwinSpec.from_wire({"source": {"systemType": "Custom", "metrics": metrics}})


async def gather(site: Site, backend: PrometheusBackend, queries: Mapping[str, str]) -> Gathered:
    return await Gatherer(backend, PrometheusTexts()).gather(
        twin(queries), site.source, namespace="shop", workload=None, previous=[], now=time.time()
    )


async def sample(site: Site, backend: PrometheusBackend, query: str) -> Sample:
    return (await gather(site, backend, {"m": query})).samples["m"]


async def eventually(site: Site, backend: PrometheusBackend, query: str, quality: Quality) -> Sample:
    end = time.monotonic() + DEADLINE
    while (seen := await sample(site, backend, query)).quality is not quality:
        assert time.monotonic() < end, seen
        await asyncio.sleep(0.25)
    return seen


@pytest.fixture
async def scraped(site: Site, backend: PrometheusBackend) -> Site:
    await eventually(site, backend, "sum(rate(requests_total[$(window)]))", Quality.GOOD)
    return site


@pytest.mark.parametrize(
    ("query", "quality", "reason", "value"),
    [
        pytest.param("gauge_value", Quality.GOOD, "", 4.0, id="good"),
        pytest.param("gauge_zero", Quality.GOOD, "", 0.0, id="zero"),
        pytest.param("scalar(gauge_value)", Quality.GOOD, "", 4.0, id="scalar"),
        pytest.param("42", Quality.GOOD, "", 42.0, id="number"),
        pytest.param("sum(no_such) or vector(0)", Quality.GOOD, "", 0.0, id="a person's own zero"),
        pytest.param("gauge_nan", Quality.NAN, "NotANumber", None, id="NaN"),
        pytest.param("gauge_inf", Quality.NAN, "Infinite", None, id="Inf"),
        pytest.param("gauge_zero / gauge_zero", Quality.NAN, "NotANumber", None, id="0/0"),
        pytest.param("no_such", Quality.MISSING, "NoSuchSeries", None, id="missing"),
        pytest.param("gauge_value > 5", Quality.EMPTY, "EmptyResult", None, id="empty"),
        pytest.param("gauge_value / no_such", Quality.EMPTY, "EmptyResult", None, id="half missing"),
        pytest.param("gauge_many", Quality.ERROR, "ManySeries", None, id="two series"),
        pytest.param(
            "gauge_many * on() gauge_many", Quality.ERROR, "QueryFailed", None, id="many-to-many fails in execution"
        ),
        pytest.param("sum(gauge_value", Quality.ERROR, "QueryRefused", None, id="refused"),
        pytest.param("gauge_value[5m]", Quality.ERROR, "QueryFailed", None, id="a range"),
        pytest.param('"text"', Quality.ERROR, "QueryRefused", None, id="a text"),
    ],
)
async def test_five_answers(
    scraped: Site, backend: PrometheusBackend, query: str, quality: Quality, reason: str, value: float | None
) -> None:
    seen = await sample(scraped, backend, query)

    assert (seen.quality, seen.reason, seen.value) == (quality, reason, value), seen


async def test_refused_query_tells_where(scraped: Site, backend: PrometheusBackend) -> None:
    refused = (await gather(scraped, backend, {"bad": "sum(gauge_value", "good": "gauge_value"})).refused

    assert list(refused) == ["bad"]
    assert refused["bad"].reason == "QueryRefused"
    assert "1:" in str(refused["bad"])


async def test_newest_sample_is_that_of_the_last_scrape(scraped: Site, backend: PrometheusBackend) -> None:
    seen = await sample(scraped, backend, "sum(rate(requests_total[4s]))")

    assert seen.value is not None
    assert 0 < seen.value < 8
    assert seen.time is not None
    assert time.time() - seen.time < 3


async def test_value_of_a_target_that_fell_silent_is_stale(scraped: Site, backend: PrometheusBackend) -> None:
    query = "sum(rate(requests_total[5m]))"
    scraped.exporter.healthy = False
    try:
        stale = await eventually(scraped, backend, query, Quality.STALE)
    finally:
        scraped.exporter.healthy = True

    assert stale.value is None
    assert (await eventually(scraped, backend, query, Quality.GOOD)).value is not None


async def test_gauge_of_a_target_that_fell_silent_is_stale(scraped: Site, backend: PrometheusBackend) -> None:
    scraped.exporter.healthy = False
    try:
        stale = await eventually(scraped, backend, "gauge_value", Quality.STALE)
        idle = await sample(scraped, backend, "gauge_value > 5")
    finally:
        scraped.exporter.healthy = True

    assert (stale.value, stale.reason) == (None, "StaleSamples")
    assert idle.quality is Quality.STALE
    assert (await eventually(scraped, backend, "gauge_value", Quality.GOOD)).value == 4
    assert (await sample(scraped, backend, "gauge_value > 5")).quality is Quality.EMPTY


async def test_one_failed_scrape_is_not_stale(scraped: Site, backend: PrometheusBackend) -> None:
    scraped.exporter.healthy = False
    try:
        await eventually(scraped, backend, "gauge_value", Quality.EMPTY)
        seen = await sample(scraped, backend, "sum(rate(requests_total[5m]))")
    finally:
        scraped.exporter.healthy = True

    assert seen.quality is Quality.GOOD
    assert seen.time is not None
    assert 0 < time.time() - seen.time <= STALE_AFTER
    await eventually(scraped, backend, "gauge_value", Quality.GOOD)


async def test_range_query_reads_the_past(site: Site, backend: PrometheusBackend) -> None:
    now = float(int(time.time()) // 60 * 60)
    query = RangeQuery("past_minutes", now - 3600, now - 1800, 60)

    refused, answer = await backend.ranges(site.source, [RangeQuery("sum(", now - 60, now, 60), query])

    assert refused.error == "bad_data"
    [(times, values)] = answer.series
    assert times.tolist() == [now - 3600 + 60 * n for n in range(31)]
    assert np.ptp(times + 60 * values) == 0


async def test_new_twin_knows_its_past_at_the_first_sync(site: Site, backend: PrometheusBackend) -> None:
    histories = Histories(backend)
    spec = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom"}, "predictions": {"historySeconds": 86_400}})
    good = {"m": Sample("m", Quality.GOOD, 0.0)}
    forecast_input = ForecastInput(now=time.time(), queries={"m": "past_minutes"}, samples=good)
    result = await histories.sync("uid", site.source, spec, forecast_input)
    await histories.aclose()

    assert result.history_complete
    assert result.samples["m"] >= len(PAST_MINUTES)
    assert result.samples["m"] <= len(PAST_MINUTES) + 6, "a sample stands for five minutes, no longer"
    nearest = result.forecasts["m"][0]
    assert nearest.lower < PAST_MINUTES[-1] < nearest.upper, "a first answer starts from the newest value"


async def test_stopped_and_started_again(site: Site, backend: PrometheusBackend) -> None:
    site.prometheus.process.stop()
    try:
        begun = time.monotonic()
        with pytest.raises(MetricsUnavailable):
            await backend.instant(site.source, ["up"] * 50, time.time())
        assert time.monotonic() - begun < 2
    finally:
        site.prometheus.process.start()

    [answer] = await backend.instant(site.source, ["vector(1)"], time.time())
    assert answer.values == (1.0,)


async def test_frozen_prometheus_costs_one_timeout(site: Site) -> None:
    backend = PrometheusBackend()
    spec = MetricsSourceSpec(url=site.prometheus.url, timeout_seconds=1)
    frozen = SourceAccess("frozen", spec)
    site.prometheus.process.pause()
    try:
        begun = time.monotonic()
        with pytest.raises(MetricsUnavailable):
            await backend.instant(frozen, ["up"] * 50, time.time())
        assert time.monotonic() - begun < 4
    finally:
        site.prometheus.process.resume()
        await backend.aclose()
