"""Which empty answers mean that a metric has no series, and which that it is idle."""

from __future__ import annotations

from fakes.metrics_backend import FakeBackend
from support.gathering import (
    FRESHNESS,
    IDLE_CPU,
    NO_CPU,
    NO_MEMORY,
    NOW,
    PART,
    PRESENCE,
    custom,
    every,
    gather,
    gives,
    seen,
    twin,
)
from twinops.api.twin.observed import Quality
from twinops.core.metrics.queries import InstantAnswer


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


async def test_unread_query_without_result_says_that_it_cannot_tell() -> None:
    sample = (await gather(custom("rate(up[1m] smoothed)"), FakeBackend())).samples["queueLength"]

    assert sample.quality is Quality.EMPTY
    assert "unknown" in sample.message


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


async def test_series_of_which_a_part_was_searched_are_not_missing() -> None:
    backend = FakeBackend([(PRESENCE, PART), (FRESHNESS, gives()), ("up", gives())])

    sample = (await gather(custom(), backend)).samples["queueLength"]

    assert (sample.quality, sample.reason) == (Quality.EMPTY, "EmptyResult")
