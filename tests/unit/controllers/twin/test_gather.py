"""What one sync knows of its metrics, from chosen answers of Prometheus."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fakes.metrics_backend import FakeBackend
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.api.base import utc
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.batches import Gathered
from twinops.core.metrics.durations import longest_range, sync_step
from twinops.core.metrics.queries import PARTIAL, Inspection, InstantAnswer, Query, QueryScope
from twinops.core.observation import Sample, Workload
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import SourceAccess

NOW = 1_800_000_000.0
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
TARGET = TargetRef(name="checkout")
WORKLOAD = Workload(TARGET, "uid-1", 2, 2, 0.5, 256e6, "limits", "requests", pods_read=True)

# The look-ups that go with a query are told by what only they contain.
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


FIVE_ANSWERS = [
    pytest.param([gives(4), gives(NOW - 10), gives()], Quality.GOOD, "", id="good"),
    pytest.param([gives(), gives(), gives()], Quality.MISSING, "NoSuchSeries", id="no such series"),
    pytest.param([gives(), gives(NOW), gives(3)], Quality.EMPTY, "EmptyResult", id="series without a result"),
    pytest.param([gives(), gives(), gives(3)], Quality.STALE, "StaleSamples", id="gauge that ended"),
    pytest.param(
        [gives(), InstantAnswer(error="execution"), gives(3)], Quality.EMPTY, "EmptyResult", id="empty, age unknown"
    ),
    pytest.param([gives(math.nan), gives(NOW), gives()], Quality.NAN, "NotANumber", id="NaN"),
    pytest.param([gives(math.inf), gives(NOW), gives()], Quality.NAN, "Infinite", id="Inf"),
    pytest.param([gives(-math.inf), gives(NOW), gives()], Quality.NAN, "Infinite", id="minus Inf"),
    pytest.param([gives(4), gives(NOW - 121), gives()], Quality.STALE, "StaleSamples", id="old sample"),
    pytest.param([gives(4), gives(), gives()], Quality.STALE, "StaleSamples", id="series ended"),
    pytest.param([gives(4), gives(NOW - 120), gives()], Quality.GOOD, "", id="just fresh enough"),
    pytest.param([gives(0), gives(NOW), gives()], Quality.GOOD, "", id="zero is a value"),
    pytest.param([gives(4, 5), gives(NOW), gives()], Quality.ERROR, "ManySeries", id="two series"),
    pytest.param(
        [InstantAnswer(error="execution"), gives(NOW), gives()], Quality.ERROR, "QueryFailed", id="execution error"
    ),
    pytest.param(
        [InstantAnswer(error="too_large"), gives(NOW), gives()], Quality.ERROR, "ManySeries", id="too many to be read"
    ),
    pytest.param([InstantAnswer(error="bad_data"), gives(), gives()], Quality.ERROR, "QueryRefused", id="refused"),
    pytest.param(
        [gives(4), InstantAnswer(error="execution"), gives()],
        Quality.GOOD,
        "",
        id="age unknown is no fault of the value",
    ),
]


@pytest.mark.parametrize(("answers", "quality", "reason"), FIVE_ANSWERS)
async def test_answers_stay_different(answers: list[InstantAnswer], quality: Quality, reason: str) -> None:
    value, freshness, presence = answers
    backend = FakeBackend([(PRESENCE, presence), (FRESHNESS, freshness), ("up", value)])

    sample = (await gather(custom(), backend)).samples["queueLength"]

    assert (sample.quality, sample.reason) == (quality, reason)
    assert sample.actionable == (quality is Quality.GOOD)
    assert (sample.value is None) == (quality is not Quality.GOOD)
    assert bool(sample.message) == bool(reason)


async def test_time_is_that_of_the_newest_sample_not_of_asking() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW - 17)), ("up", gives(1))])

    assert (await gather(custom(), backend)).samples["queueLength"].time == NOW - 17


async def test_constant_is_as_of_now() -> None:
    sample = (await gather(custom("vector(7)"), FakeBackend([("vector(7)", gives(7))]))).samples["queueLength"]

    assert (sample.quality, sample.value, sample.time) == (Quality.GOOD, 7, NOW)


async def test_stale_after_can_be_set() -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW - 200)), ("up", gives(1))])

    assert (await gather(custom(staleAfterSeconds=300), backend)).samples["queueLength"].quality is Quality.GOOD


async def test_missing_series_are_looked_up_only_for_empty_results() -> None:
    full = FakeBackend([(FRESHNESS, gives(NOW)), ("up", gives(1))])
    await gather(custom(), full)
    assert len(full.batches) == 1
    assert not [text for text in full.batches[0] if PRESENCE in text]

    empty = FakeBackend()
    await gather(custom(), empty)
    assert [PRESENCE in text for text in empty.batches[1]] == [True]


async def test_message_names_the_selector_without_series() -> None:
    backend = FakeBackend([("present_over_time(a", gives(2))])

    sample = (await gather(custom('sum(a) / sum(b{x="1"})'), backend)).samples["queueLength"]

    assert sample.quality is Quality.EMPTY
    assert 'no series match b{x="1"}' in sample.message


async def test_query_that_only_our_parser_refuses_is_a_warning() -> None:
    backend = FakeBackend([("smoothed", gives(3))])

    gathered = await gather(custom("rate(up[1m] smoothed)"), backend)

    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.value, sample.time) == (Quality.GOOD, 3, None)
    assert not gathered.refused
    assert "queueLength" in gathered.warnings[0]


async def test_unread_query_without_result_says_that_it_cannot_tell() -> None:
    sample = (await gather(custom("rate(up[1m] smoothed)"), FakeBackend())).samples["queueLength"]

    assert sample.quality is Quality.EMPTY
    assert "unknown" in sample.message


async def test_refused_query_says_where_and_how_to_mend_it() -> None:
    backend = FakeBackend([("sum(", InstantAnswer(error="bad_data", error_position="1:5"))])

    gathered = await gather(custom("sum(up"), backend)

    refusal = gathered.refused["queueLength"]
    assert refusal.reason == "QueryRefused"
    assert "queueLength" in str(refusal)
    assert "1:5" in str(refusal)
    assert "spec.source.metrics" in str(refusal)
    assert "queueLength" not in gathered.queries


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


async def test_fresh_candidate_is_preferred_to_a_stale_one() -> None:
    backend = FakeBackend(
        [
            ("timestamp(pod_cpu", gives(NOW)),
            (FRESHNESS, gives(NOW - 1000)),
            ("container_cpu", gives(10)),
            ("pod_cpu", gives(20)),
        ]
    )

    assert (await gather(twin("Worker"), backend)).samples["cpuUsage"].query == "pod-cpu"


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


async def test_no_candidate_with_series_is_missing_and_names_what_was_tried() -> None:
    sample = (await gather(twin("Worker"), FakeBackend())).samples["cpuUsage"]

    assert (sample.quality, sample.query) == (Quality.MISSING, "")
    assert "container-cpu" in sample.message
    assert "pod-cpu" in sample.message


async def test_idle_series_are_empty_and_keep_their_candidate_and_history() -> None:
    # Of the candidates, the third has series, and no result.
    backend = FakeBackend(
        [(f"{PRESENCE}http_server_duration_milliseconds_bucket", gives(2)), (FRESHNESS, gives(NOW - 7))]
    )

    gathered = await gather(twin("WebService"), backend)

    assert gathered.samples["latencyMs"].quality is Quality.EMPTY
    assert gathered.samples["latencyMs"].query == "opentelemetry-old"
    assert gathered.samples["latencyMs"].time == NOW - 7
    assert "http_server_duration_milliseconds_bucket" in gathered.queries["latencyMs"]


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


PART = InstantAnswer(error=PARTIAL)
LATENCY = "histogram_quantile(0.95, sum by (le) (rate(wait_seconds_bucket[5m]))) * 1000"


@pytest.mark.parametrize(
    ("value", "top", "asked", "bound"),
    [
        pytest.param(10_000, gives(10_000), True, True, id="open bucket"),
        pytest.param(150, gives(200), True, False, id="round by chance"),
        pytest.param(1073.741823, gives(1073.741823), True, True, id="odd bound"),
        pytest.param(150.0000000123, gives(200), False, False, id="interpolated"),
        pytest.param(0, gives(0), False, False, id="zero"),
        pytest.param(10_000, gives(), True, False, id="nothing told"),
        pytest.param(10_000, InstantAnswer(error="execution"), True, False, id="look-up failed"),
    ],
)
async def test_quantile_in_the_open_bucket_is_a_lower_bound_and_no_value(
    value: float,
    top: InstantAnswer,
    asked: bool,  # noqa: FBT001 - a table's answers, both
    bound: bool,  # noqa: FBT001
) -> None:
    backend = FakeBackend([(FRESHNESS, gives(NOW)), ("quantile(1,", top), ("quantile(0.95,", gives(value))])

    gathered = await gather(custom(LATENCY), backend)

    sample = gathered.samples["queueLength"]
    assert [len(batch) for batch in backend.batches[1:]] == ([1] if asked else [])
    known = (Quality.BOUNDED, None, value) if bound else (Quality.GOOD, value, None)
    assert (sample.quality, sample.value, sample.least) == known
    assert ("at least" in sample.message) == bound


@pytest.mark.parametrize(
    ("bounds", "expected", "told"),
    [
        pytest.param(gives(0.0005, 5000), (Quality.BOUNDED, 0.0005, 5000), "at most 5000", id="from nothing on"),
        pytest.param(gives(1000, 500), (Quality.BOUNDED, 500, 1000), "between 500 and 1000", id="whatever their order"),
        pytest.param(gives(200, 200.0000001), (Quality.BOUNDED, 200.0000001, None), "at least 200", id="open, too"),
        pytest.param(gives(0, 0), (Quality.BOUNDED, 0, 0), "at most 0", id="nothing above zero"),
        pytest.param(gives(), (Quality.EMPTY, None, None), "no result", id="no traffic"),
        pytest.param(gives(math.nan), (Quality.EMPTY, None, None), "no result", id="NaN without traffic"),
        pytest.param(PART, (Quality.ERROR, None, None), "in part only", id="a part"),
    ],
)
async def test_quantile_that_nothing_supports_is_told_by_its_bounds(
    bounds: InstantAnswer, expected: tuple[Quality, float | None, float | None], told: str
) -> None:
    backend = FakeBackend(
        [("label_replace(histogram", bounds), (PRESENCE, gives(3)), (FRESHNESS, gives(NOW - 7)), ("unless", gives())]
    )

    sample = (await gather(custom(LATENCY), backend)).samples["queueLength"]

    assert (sample.quality, sample.least, sample.most) == expected
    assert sample.value is None
    assert not sample.actionable
    assert told in sample.message
    assert sample.quality is Quality.ERROR or sample.time == NOW - 7


async def test_steady_quantile_costs_nothing_more_and_a_bounded_one_no_second_batch() -> None:
    measured = FakeBackend([(FRESHNESS, gives(NOW)), ("unless", gives(150.123456789))])
    sample = (await gather(custom(LATENCY), measured)).samples["queueLength"]
    assert (sample.value, [len(batch) for batch in measured.batches]) == (150.123456789, [2])

    last = ObservedMetric(name="queueLength", quality=Quality.BOUNDED, query="Custom")
    bounded = FakeBackend([("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW)), ("unless", gives())])
    sample = (await gather(custom(LATENCY), bounded, [last])).samples["queueLength"]
    assert (sample.most, [len(batch) for batch in bounded.batches]) == (5, [3])


async def test_bounds_are_not_replaced_by_what_was_before() -> None:
    last = ObservedMetric(name="queueLength", value=7, quality=Quality.GOOD, time=utc(NOW - 60), query="Custom")
    backend = FakeBackend([("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW)), ("unless", gives())])

    sample = (await gather(custom(LATENCY, onMissing="Hold"), backend, [last])).samples["queueLength"]

    assert (sample.quality, sample.most) == (Quality.BOUNDED, 5)


async def test_bounds_of_series_that_have_ended_are_stale() -> None:
    backend = FakeBackend(
        [("label_replace(histogram", gives(0, 5)), (FRESHNESS, gives(NOW - 999)), ("unless", gives())]
    )

    sample = (await gather(custom(LATENCY), backend)).samples["queueLength"]

    assert (sample.quality, sample.least, sample.most) == (Quality.STALE, None, None)


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


@pytest.mark.parametrize(
    ("before", "time", "words"),
    [
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.EMPTY, time=utc(NOW - 150), query="Custom"),
            NOW - 150,
            "150 s old",
            id="seen before",
        ),
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.GOOD, time=utc(NOW - 150), query="other"),
            None,
            "no sample in the last 120 s",
            id="of another query",
        ),
        pytest.param(
            ObservedMetric(name="queueLength", quality=Quality.ERROR, query="Custom"),
            None,
            "no sample in the last 120 s",
            id="never seen",
        ),
        pytest.param(None, None, "no sample in the last 120 s", id="first sync"),
    ],
)
async def test_gauge_that_ended_tells_how_old_it_is(
    before: ObservedMetric | None, time: float | None, words: str
) -> None:
    previous = [] if before is None else [before]

    sample = (await gather(custom(), FakeBackend([(PRESENCE, gives(3))]), previous)).samples["queueLength"]

    assert (sample.quality, sample.value, sample.time) == (Quality.STALE, None, time)
    assert words in sample.message


def every(*samples: Sample) -> list[ObservedMetric]:
    return seen({sample.metric: sample for sample in samples})


NO_CPU = Sample("cpuUsage", Quality.MISSING, reason="NoSuchSeries")
NO_MEMORY = Sample("memoryUsage", Quality.MISSING, reason="NoSuchSeries")
IDLE_CPU = Sample("cpuUsage", Quality.EMPTY, reason="EmptyResult", query="pod-cpu")


async def test_metric_that_stays_missing_costs_one_query() -> None:
    backend = FakeBackend()
    first = await gather(twin("Worker"), backend)
    asked = len(backend.batches)

    again = await gather(twin("Worker"), backend, seen(first.samples))

    assert again.samples == first.samples
    [batch] = backend.batches[asked:]
    assert [PRESENCE in text for text in batch] == [True, True]


async def test_missing_metric_is_there_with_its_first_series() -> None:
    backend = FakeBackend(
        [
            (f"{PRESENCE}container_cpu", gives(1)),
            (FRESHNESS, gives(NOW)),
            (PRESENCE, gives()),
            ("(pod_cpu", gives(20)),
        ]
    )

    gathered = await gather(twin("Worker"), backend, every(NO_CPU, NO_MEMORY))

    assert (gathered.samples["cpuUsage"].query, gathered.samples["cpuUsage"].value) == ("pod-cpu", 20)
    assert "pod_cpu" in gathered.queries["cpuUsage"]
    assert gathered.samples["cpuUsage"].unit == "% of limits"
    assert gathered.samples["memoryUsage"].reason == "NoSuchSeries"
    assert len(backend.batches) == 2


async def test_missing_metric_is_asked_for_where_nobody_knows_of_its_series() -> None:
    backend = FakeBackend(
        [(FRESHNESS, gives(NOW)), (PRESENCE, InstantAnswer(error="timeout")), ("container_cpu", gives(10))]
    )

    gathered = await gather(twin("Worker"), backend, every(NO_CPU, NO_MEMORY))

    assert gathered.samples["cpuUsage"].value == 10
    assert gathered.samples["memoryUsage"].quality is Quality.EMPTY
    assert "unknown" in gathered.samples["memoryUsage"].message


async def test_metric_that_stays_idle_asks_its_own_candidate_only() -> None:
    backend = FakeBackend(
        [(f"{PRESENCE}pod_cpu", gives(0)), (PRESENCE, gives()), (FRESHNESS, gives(NOW))],
    )

    sample = (await gather(twin("Worker"), backend, every(IDLE_CPU, NO_MEMORY))).samples["cpuUsage"]

    assert (sample.quality, sample.query) == (Quality.EMPTY, "pod-cpu")
    [batch] = backend.batches
    assert not [text for text in batch if "container_cpu" in text and PRESENCE not in text]


async def test_idle_metric_keeps_its_candidate_beside_another_idle_one() -> None:
    backend = FakeBackend(
        [
            (f"{PRESENCE}pod_cpu", gives(0)),
            (f"{PRESENCE}container_cpu", gives(1)),
            (PRESENCE, gives()),
            (FRESHNESS, gives(NOW)),
        ]
    )

    sample = (await gather(twin("Worker"), backend, every(IDLE_CPU, NO_MEMORY))).samples["cpuUsage"]

    assert (sample.quality, sample.query) == (Quality.EMPTY, "pod-cpu")


async def test_idle_metric_gives_way_to_another_candidate_with_a_value() -> None:
    backend = FakeBackend(
        [
            (f"{PRESENCE}pod_cpu", gives(0)),
            (f"{PRESENCE}container_cpu", gives(1)),
            (PRESENCE, gives()),
            (FRESHNESS, gives(NOW)),
            ("container_cpu", gives(10)),
        ]
    )

    sample = (await gather(twin("Worker"), backend, every(IDLE_CPU, NO_MEMORY))).samples["cpuUsage"]

    assert (sample.quality, sample.query, sample.value) == (Quality.GOOD, "container-cpu", 10)


def held(value: float | None, age: float, quality: Quality = Quality.GOOD) -> ObservedMetric:
    return ObservedMetric(name="queueLength", value=value, time=utc(NOW - age), quality=quality, unit="items")


STAND_INS = [
    pytest.param({"onMissing": "Hold"}, held(5, 299), Quality.HELD, 5.0, id="held"),
    pytest.param({"onMissing": "Hold"}, held(5, 299, Quality.HELD), Quality.HELD, 5.0, id="held on"),
    pytest.param({"onMissing": "Hold"}, held(5, 301), Quality.MISSING, None, id="held long enough"),
    pytest.param({"onMissing": "Hold", "holdSeconds": 600}, held(5, 301), Quality.HELD, 5.0, id="held longer"),
    pytest.param({"onMissing": "Hold"}, held(5, 10, Quality.NAN), Quality.MISSING, None, id="a stand-in is not held"),
    pytest.param({"onMissing": "Hold"}, held(None, 10), Quality.MISSING, None, id="nothing to hold"),
    pytest.param({"onMissing": "Hold"}, None, Quality.MISSING, None, id="first sync"),
    pytest.param({"onMissing": "Ignore"}, held(5, 10), Quality.MISSING, None, id="ignored"),
    pytest.param({}, held(5, 10), Quality.MISSING, None, id="ignored by default"),
    pytest.param({"onMissing": "Value", "missingValue": 0}, held(5, 10), Quality.MISSING, 0.0, id="value"),
]


@pytest.mark.parametrize(("rules", "before", "quality", "value"), STAND_INS)
async def test_stand_ins_never_make_a_correction_eligible(
    rules: dict[str, Any], before: ObservedMetric | None, quality: Quality, value: float | None
) -> None:
    previous = [] if before is None else [before]

    sample = (await gather(custom(**rules), FakeBackend(), previous)).samples["queueLength"]

    assert (sample.quality, sample.value) == (quality, value)
    assert sample.reason == "NoSuchSeries"
    assert not sample.actionable
    if quality is Quality.HELD and before is not None and before.time is not None:
        assert sample.time == before.time.timestamp()
        assert sample.unit == "items"


async def test_unavailable_source_is_for_the_caller_to_decide() -> None:
    with pytest.raises(MetricsUnavailable):
        await gather(custom(), FakeBackend(failure=MetricsUnavailable("down")))


async def test_unavailable_source_gives_errors_and_stand_ins() -> None:
    spec = twin(
        "Worker",
        [{"name": "queueLength", "query": "up", "onMissing": "Hold"}, {"name": "other", "query": "up", "unit": "x"}],
    )
    gatherer = Gatherer(FakeBackend(), PrometheusTexts())

    gathered = gatherer.unavailable(spec, MetricsUnavailable("down"), [held(5, 10)], NOW)

    assert gathered.samples["queueLength"].quality is Quality.HELD
    assert gathered.samples["other"].quality is Quality.ERROR
    assert gathered.samples["other"].unit == "x"
    assert gathered.samples["cpuUsage"].reason == "MetricsUnavailable"
    assert not gathered.queries


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


class WhereItRuns(PrometheusTexts):
    """Remembers on which threads queries are read."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def inspect(self, promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
        self.threads.add(threading.get_ident())
        return super().inspect(
            promql, stale_after_seconds=stale_after_seconds, scrape_interval_seconds=scrape_interval_seconds
        )

    def render(self, query: Query, scope: QueryScope) -> str:
        self.threads.add(threading.get_ident())
        return super().render(query, scope)


@pytest.mark.parametrize(("spec", "elsewhere"), [(custom(), True), (twin("Worker"), False)])
async def test_queries_of_people_are_never_read_on_the_loop(spec: DigitalTwinSpec, elsewhere: bool) -> None:  # noqa: FBT001 - a case
    texts = WhereItRuns()
    backend = FakeBackend()

    await Gatherer(backend, texts).gather(spec, SOURCE, namespace="shop", workload=WORKLOAD, previous=(), now=NOW)

    assert (threading.get_ident() not in texts.threads) is elsewhere
    assert len(texts.threads) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "message"),
    [
        pytest.param(
            InstantAnswer(error="timeout", next_attempt=NOW + 65),
            "QueryFailed",
            "the query failed (timeout); it is asked again at 08:01:05 UTC",
            id="timed out",
        ),
        pytest.param(
            InstantAnswer(error="busy"),
            "QueryNotAsked",
            "other queries, the twin's own first, left no time for it",
            id="not asked",
        ),
    ],
)
async def test_a_query_that_is_not_asked_says_so(answer: InstantAnswer, reason: str, message: str) -> None:
    gathered = await gather(custom(), FakeBackend([("", answer)]))
    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.value, sample.reason) == (Quality.ERROR, None, reason)
    assert sample.message == message


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([PART, gives(NOW), gives(3)], id="the value"),
        pytest.param([gives(4), PART, gives(3)], id="its age"),
        pytest.param([gives(), PART, gives()], id="nothing, of a part"),
    ],
)
async def test_partial_answer_is_no_value(answers: list[InstantAnswer]) -> None:
    value, freshness, presence = answers
    backend = FakeBackend([(PRESENCE, presence), (FRESHNESS, freshness), ("up", value)])

    gathered = await gather(custom(), backend)

    sample = gathered.samples["queueLength"]
    assert (sample.quality, sample.reason, sample.value) == (Quality.ERROR, "PartialAnswer", None)
    assert "in part only" in sample.message
    assert not sample.actionable
    # Its past may be whole all the same, and is asked for.
    assert gathered.queries == {"queueLength": "up"}


async def test_series_of_which_a_part_was_searched_are_not_missing() -> None:
    backend = FakeBackend([(PRESENCE, PART), (FRESHNESS, gives()), ("up", gives())])

    sample = (await gather(custom(), backend)).samples["queueLength"]

    assert (sample.quality, sample.reason) == (Quality.EMPTY, "EmptyResult")


async def test_number_of_pods_of_a_part_makes_the_mean_no_value() -> None:
    backend = FakeBackend([("count(", PART), (PRESENCE, gives()), (FRESHNESS, gives(NOW)), ("cpu", gives(40))])

    gathered = await gather(twin("Worker"), backend)

    assert gathered.samples["cpuUsage"].reason == "PartialAnswer"


@pytest.mark.parametrize(
    ("rules", "quality", "value"),
    [
        pytest.param({"onMissing": "Hold"}, Quality.HELD, 7.0, id="hold"),
        pytest.param({"onMissing": "Value", "missingValue": 3}, Quality.ERROR, 3.0, id="value"),
        pytest.param({"onMissing": "Ignore"}, Quality.ERROR, None, id="ignore"),
    ],
)
async def test_rules_for_missing_values_hold_for_partial_ones(
    rules: dict[str, Any], quality: Quality, value: float | None
) -> None:
    last = ObservedMetric(name="queueLength", value=7, quality=Quality.GOOD, time=utc(NOW - 60), query="Custom")
    backend = FakeBackend([(PRESENCE, gives()), (FRESHNESS, gives(NOW)), ("up", PART)])

    sample = (await gather(custom(**rules), backend, [last])).samples["queueLength"]

    assert (sample.quality, sample.value, sample.reason) == (quality, value, "PartialAnswer")


async def test_windows_of_what_starting_pods_bend_are_told() -> None:
    spec = twin("Worker", [{"name": "cpuUsage", "query": "avg(rate(my_cpu[$(window)]))"}])

    gathered = await gather(spec, FakeBackend([(FRESHNESS, gives(NOW)), ("my_cpu", gives(12))]))

    assert gathered.windows == {"cpuUsage": longest_range(gathered.queries["cpuUsage"])}
    assert gathered.windows["cpuUsage"] > 0


class SlowTexts(PrometheusTexts):
    """Takes its time to read a query, as one does with the longest that are allowed."""

    def inspect(self, promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
        time.sleep(0.02)
        return super().inspect(
            promql, stale_after_seconds=stale_after_seconds, scrape_interval_seconds=scrape_interval_seconds
        )


async def test_many_twins_with_long_queries_keep_no_other_namespace_waiting() -> None:
    gatherer = Gatherer(FakeBackend(), SlowTexts())
    done: list[str] = []

    async def gathered(namespace: str) -> None:
        await gatherer.gather(custom(), SOURCE, namespace=namespace, workload=WORKLOAD, previous=(), now=NOW)
        done.append(namespace)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(gathered("hostile"))
        await asyncio.sleep(0.01)
        group.create_task(gathered("shop"))
    assert done.index("shop") <= 2


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
