"""Which metrics a twin has, and which queries are sent for each."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from fakes.metrics_backend import FakeBackend
from support.gathering import (
    FRESHNESS,
    NOW,
    TARGET,
    WORKLOAD,
    custom,
    gather,
    gives,
    twin,
)
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.observation import Workload


async def test_query_that_only_our_parser_refuses_is_a_warning() -> None:
    backend = FakeBackend([("smoothed", gives(3))])

    gathered = await gather(custom("rate(up[1m] smoothed)"), backend)

    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.value, sample.time) == (Quality.GOOD, 3, None)
    assert not gathered.refused
    assert "queueLength" in gathered.warnings[0]


@pytest.mark.parametrize(
    ("query", "reason", "words"),
    [
        pytest.param("up{a='$(nmae)'}", "UnknownPlaceholder", ["$(nmae)", "$(namespace)", "$(podRegex)"], id="typo"),
        pytest.param("up{a='$(label.zone)'}", "UnknownPlaceholder", ["$(label.zone)"], id="label not given"),
        pytest.param("up$()", "UnknownPlaceholder", ["$()"], id="empty"),
    ],
)
async def test_bad_placeholder_must_be_mended(query: str, reason: str, words: list[str]) -> None:
    gathered = await gather(custom(query), FakeBackend())

    assert gathered.refused["queueLength"].reason == reason
    assert all(word in str(gathered.refused["queueLength"]) for word in ["queueLength", *words])
    assert gathered.samples["queueLength"].quality is Quality.ERROR


async def test_one_bad_metric_leaves_the_others_alone() -> None:
    spec = twin(metrics=[{"name": "good", "query": "a"}, {"name": "bad", "query": "$(what)"}])

    gathered = await gather(spec, FakeBackend([(FRESHNESS, gives(NOW)), ("a", gives(1))]))

    assert gathered.samples["good"].actionable
    assert list(gathered.refused) == ["bad"]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"expectedState": {"metrics": {"latencyMs": 100}}}, id="expected"),
        pytest.param({"limits": {"latencyMs": 100}}, id="limit"),
        pytest.param({"thresholds": {"latencyMs": 100}}, id="threshold"),
        pytest.param({"absoluteThresholds": {"latencyMs": 100}}, id="absolute threshold"),
        pytest.param({"limitsPerReplica": {"latencyMs": 100}}, id="limit per replica"),
        pytest.param({"source": {"systemType": "Custom", "metrics": [{"name": "latencyMs"}]}}, id="named, no query"),
    ],
)
async def test_metric_without_any_query_is_missing_with_a_warning(rest: dict[str, Any]) -> None:
    spec = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom"}, **rest})

    gathered = await gather(spec, FakeBackend())

    sample = gathered.samples["latencyMs"]
    assert (sample.quality, sample.reason) == (Quality.MISSING, "NoQuery")
    assert "latencyMs" in gathered.warnings[0]
    assert not gathered.refused


async def test_unknown_requests_and_limits_are_missing_not_zero() -> None:
    bare = Workload(TARGET, "uid-1", 2, 2)

    gathered = await gather(twin("Worker"), FakeBackend([("container_", gives(50))]), workload=bare)

    for metric in ("cpuUsage", "memoryUsage"):
        assert gathered.samples[metric].quality is Quality.MISSING
        assert gathered.samples[metric].reason == "NoRequestsOrLimits"


async def test_unit_tells_the_basis() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("container_", gives(50))])

    samples = (await gather(twin("Worker"), backend)).samples

    assert samples["cpuUsage"].unit == "% of limits"
    assert samples["memoryUsage"].unit == "% of requests"


async def test_own_query_of_a_standard_metric_replaces_the_built_in_ones() -> None:
    spec = twin("Worker", [{"name": "cpuUsage", "query": "my_cpu", "unit": "%"}])

    gathered = await gather(spec, FakeBackend([(FRESHNESS, gives(NOW)), ("my_cpu", gives(12))]))

    sample = gathered.samples["cpuUsage"]
    assert (sample.value, sample.query, sample.unit) == (12, "Custom", "%")
    assert gathered.queries["cpuUsage"] == "my_cpu"


async def test_first_candidate_with_data_wins_and_is_named() -> None:
    backend = FakeBackend(
        [
            (FRESHNESS, gives(NOW)),
            ("http_server_requests_seconds_bucket", gives(30.123456789)),
            ("istio_request_duration_milliseconds_bucket", gives(40)),
        ]
    )

    gathered = await gather(twin("WebService"), backend)

    assert gathered.samples["latencyMs"].query == "micrometer"
    assert gathered.samples["latencyMs"].value == 30.123456789
    assert "http_server_requests_seconds_bucket" in gathered.queries["latencyMs"]


async def test_labels_of_the_source_narrow_the_built_in_queries() -> None:
    source = {"systemType": "Cache", "labels": {"app.kubernetes.io/name": 'a"b'}}
    spec = DigitalTwinSpec.from_wire({"source": source})
    backend = FakeBackend()

    gathered = await gather(spec, backend, workload=None)

    asked = [text for text in backend.batches[0] if text.startswith("sum((redis_connected_clients")]
    assert len(asked) == 1
    assert set(re.findall(r"redis_connected_clients({.*?})", asked[0])) == {'{app_kubernetes_io_name="a\\"b"}'}
    assert gathered.samples["cpuUsage"].reason == "NoTarget"


async def test_system_outside_the_cluster_without_labels_has_no_scope() -> None:
    spec = DigitalTwinSpec.from_wire({"source": {"systemType": "Cache"}})
    backend = FakeBackend()

    gathered = await gather(spec, backend, workload=None)

    assert gathered.samples["throughputRps"].reason == "NoScope"
    assert not backend.batches


async def test_both_sides_of_a_percentage_speak_of_the_same_containers() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("container_cpu", gives(40))])
    workload = dataclasses.replace(
        WORKLOAD, containers=("app", "proxy"), read_from="its pods", pod_regex="odd|even", cpu_basis="requests"
    )

    gathered = await gather(twin("Worker"), backend, workload=workload)

    sample = gathered.samples["cpuUsage"]
    assert (sample.unit, sample.basis) == ("% of requests", "requests of its pods (containers app, proxy)")
    assert 'namespace="shop",pod=~"odd|even",container=~"app|proxy"' in gathered.queries["cpuUsage"]


async def test_series_of_whole_pods_are_not_divided_by_what_a_template_says() -> None:
    backend = FakeBackend([("pod_cpu_usage", gives(40))])
    workload = dataclasses.replace(WORKLOAD, containers=("app",), pods_read=False)

    gathered = await gather(twin("Worker"), backend, workload=workload)

    assert gathered.samples["cpuUsage"].quality is Quality.MISSING
    assert not [query for batch in backend.batches for query in batch if "pod_cpu_usage" in query]


async def test_a_container_without_limit_and_request_is_named() -> None:
    workload = dataclasses.replace(WORKLOAD, pod_cpu_cores=None, cpu_problem="container log of pod checkout-1")

    gathered = await gather(twin("Worker"), FakeBackend(), workload=workload)

    sample = gathered.samples["cpuUsage"]
    assert (sample.quality, sample.reason) == (Quality.MISSING, "NoRequestsOrLimits")
    told = "container log of pod checkout-1 has neither a limit nor a request for CPU"
    assert sample.message == f"{told}: set one, or give a query in spec.source.metrics"
