"""The two batches of queries of one sync, and what is made of their answers."""

from __future__ import annotations

import math

import pytest

from fakes.metrics_backend import FakeBackend
from support.gathering import (
    FRESHNESS,
    LATENCY,
    NOW,
    TARGET,
    WORKLOAD,
    custom,
    gather,
    gives,
    seen,
    twin,
)
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.durations import longest_range, sync_step
from twinops.core.metrics.queries import InstantAnswer
from twinops.core.observation import Workload
from twinops.ports.metrics import SourceAccess


async def test_refused_query_says_where_and_how_to_mend_it() -> None:
    backend = FakeBackend([("sum(", InstantAnswer(error="bad_data", error_position="1:5"))])

    gathered = await gather(custom("sum(up"), backend)

    refusal = gathered.refused["queueLength"]
    assert refusal.reason == "QueryRefused"
    assert "queueLength" in str(refusal)
    assert "1:5" in str(refusal)
    assert "spec.source.metrics" in str(refusal)
    assert "queueLength" not in gathered.queries


async def test_steady_sync_asks_two_queries_per_metric_and_one_for_the_pods() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("pod_cpu", gives(1)), ("pod_memory", gives(2))])
    first = await gather(twin("Worker"), backend)

    await gather(twin("Worker"), backend, seen(first.samples))

    steady = backend.batches[1:]
    assert [len(batch) for batch in steady] == [5]
    assert not [text for text in steady[0] if "container_" in text]


async def test_other_candidates_get_their_turn_when_the_last_one_is_empty() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("container_cpu", gives(1))])
    before = [ObservedMetric(name="cpuUsage", quality=Quality.GOOD, query="pod-cpu")]

    sample = (await gather(twin("Worker"), backend, before)).samples["cpuUsage"]

    assert (sample.query, sample.value) == ("container-cpu", 1)
    assert len(backend.batches) == 2


@pytest.mark.parametrize(
    ("answer", "ready", "replicas"),
    [
        pytest.param(gives(4), 2, 4, id="as its series show, ready or not"),
        pytest.param(gives(), 2, None, id="not told"),
        pytest.param(InstantAnswer(error="execution"), 2, None, id="failed"),
        pytest.param(gives(math.nan), 2, None, id="no number"),
        pytest.param(gives(0), 2, None, id="none"),
        pytest.param(gives(math.inf), 2, None, id="endless"),
        pytest.param(gives(1e300), 2, None, id="more than there can be"),
        pytest.param(gives(-1), 2, None, id="fewer than none"),
    ],
)
async def test_pods_behind_the_cpu_are_counted(answer: InstantAnswer, ready: int, replicas: int | None) -> None:
    backend = FakeBackend([("count(", answer), (FRESHNESS, gives(NOW)), ("container_cpu", gives(50))])

    gathered = await gather(
        twin("Worker"), backend, workload=Workload(TARGET, "uid-1", ready, 2, 0.5, 256e6, pods_read=True)
    )

    assert gathered.replicas == replicas
    assert gathered.queries["cpuUsage"] == gathered.replicas_query.replace("count(", "avg(") + " / 0.5 * 100"


async def test_pods_are_not_counted_for_an_own_cpu_query() -> None:
    spec = twin("Worker", [{"name": "cpuUsage", "query": "my_cpu"}])

    gathered = await gather(spec, FakeBackend([(FRESHNESS, gives(NOW)), ("my_cpu", gives(12))]))

    assert (gathered.replicas, gathered.replicas_query) == (None, "")


async def test_steady_quantile_costs_nothing_more_and_a_bounded_one_no_second_batch() -> None:
    measured = FakeBackend([(FRESHNESS, gives(NOW)), ("unless", gives(150.123456789))])
    sample = (await gather(custom(LATENCY), measured)).samples["queueLength"]
    assert (sample.value, [len(batch) for batch in measured.batches]) == (150.123456789, [2])

    last = ObservedMetric(name="queueLength", quality=Quality.BOUNDED, query="Custom")
    bounded = FakeBackend([("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW)), ("unless", gives())])
    sample = (await gather(custom(LATENCY), bounded, [last])).samples["queueLength"]
    assert (sample.most, [len(batch) for batch in bounded.batches]) == (5, [3])


async def test_throughput_of_full_pods_is_a_lower_bound_and_says_so() -> None:
    own = [{"name": "cpuUsage", "query": "a_cpu"}, {"name": "throughputRps", "query": "a_rate"}]
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("a_cpu", gives(97)), ("a_rate", gives(400))])

    gathered = await gather(twin(metrics=own), backend)

    assert gathered.censored == {"throughputRps"}
    assert "97%" in gathered.samples["throughputRps"].message
    assert gathered.samples["throughputRps"].actionable


@pytest.mark.parametrize(
    ("scrape", "sync", "window"),
    [
        pytest.param(15, 5, 60, id="syncs faster than scrapes"),
        pytest.param(15, 60, 60, id="a minute"),
        pytest.param(15, 300, 300, id="at least one step"),
        pytest.param(15, 3600, 900, id="longer than the longest step"),
        pytest.param(60, 60, 240, id="slow scrapes"),
    ],
)
async def test_history_is_read_by_the_very_query_that_is_asked_live(scrape: int, sync: int, window: int) -> None:
    source = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090", scrape_interval_seconds=scrape))
    backend = FakeBackend([("count(", gives(3)), (FRESHNESS, gives(NOW)), ("", gives(7.5))])

    gathered = await Gatherer(backend, PrometheusTexts()).gather(
        twin("WebService", syncFrequencySeconds=sync),
        source,
        namespace="shop",
        workload=WORKLOAD,
        previous=(),
        now=NOW,
    )

    past = {gathered.replicas_query, *gathered.queries.values()}
    assert len(past) == 6
    # That of a quantile leaves out what was in the open bucket, beside what is never measured.
    [quantile] = past - set(backend.batches[0])
    assert any(quantile.startswith(f"({asked}) < (") for asked in backend.batches[0])
    assert all(f"[{window}s]" in text for text in past - {gathered.queries["memoryUsage"]})
    assert window >= sync_step(sync)


async def test_windows_of_what_starting_pods_bend_are_told() -> None:
    spec = twin("Worker", [{"name": "cpuUsage", "query": "avg(rate(my_cpu[$(window)]))"}])

    gathered = await gather(spec, FakeBackend([(FRESHNESS, gives(NOW)), ("my_cpu", gives(12))]))

    assert gathered.windows == {"cpuUsage": longest_range(gathered.queries["cpuUsage"])}
    assert gathered.windows["cpuUsage"] > 0
