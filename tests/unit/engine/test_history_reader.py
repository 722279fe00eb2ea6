"""What is read of the past, and what of it is learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fakes.metrics_backend import FakeBackend
from support.history_syncs import (
    NOW,
    caching,
    good,
    hiding,
    known,
    recorded,
    spec,
    sync,
)
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.metrics.queries import PARTIAL
from twinops.core.schedule import next_slot
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import RangeAnswer, RangeQuery


async def test_outage_is_filled_from_prometheus_afterwards() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        result = await sync(histories, NOW + 600, good(600))

    [query] = backend.range_batches[1]
    slots = (round(query.start - int(NOW)), round(query.end - int(NOW)))
    assert slots == (60, 540)
    assert known(result) == 71


async def test_outage_that_prometheus_does_not_know_about_leaves_a_hole() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        backend.failure = MetricsUnavailable("down")
        result = await sync(histories, NOW + 600, good(600))

    assert known(result) == 62
    assert result.history_complete


async def test_long_intervals_are_filled_in_between() -> None:
    backend = FakeBackend(history=recorded())
    twin = spec(step=3600, length=86_400)
    start = next_slot(NOW, 3600, "uid-1")
    async with caching(backend) as histories:
        for hour in range(3):
            result = await sync(histories, start + 3600 * hour, good(3600.0 * hour), twin=twin)

    assert known(result) == 97 + 8
    assert [len(batch) for batch in backend.range_batches] == [1, 1, 1]
    assert backend.range_batches[2][0].start == int(start) + 3600 + 900


async def test_number_of_pods_is_read_beside_the_metrics() -> None:
    backend = FakeBackend(history=lambda query: recorded(lambda _: 4.0 if query.promql == "pods" else 50.0)(query))
    async with caching(backend) as histories:
        result = await sync(histories, NOW, good(50), replicas_query="pods", replicas=2)

    assert {query.promql for query in backend.range_batches[0]} == {"cpu", "pods"}
    [forecast] = result.forecasts["cpuUsage"]
    assert forecast.upper == pytest.approx(100, rel=0.3), "as many cores as before, on half the pods"
    assert set(result.samples) == {"cpuUsage"}


async def test_gap_is_filled_with_the_pods_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    hour, scaled_out = 3600, NOW + 3600 - 300
    counted = recorded(lambda time: 3.0 if time < scaled_out else 12.0)
    backend = FakeBackend(
        history=lambda query: (counted if query.promql == "pods" else recorded(lambda _: 50.0))(query)
    )
    taken: list[tuple[float, int | None]] = []

    def observe(forecaster: Forecaster, now: float, values: Mapping[str, float | None], **more: Any) -> Any:
        taken.append(((now - NOW) / 900, more["replicas"]))
        return observing(forecaster, now, values, **more)

    observing = Forecaster.observe
    twin = spec(step=hour, length=hour)
    async with caching(backend) as histories:
        await sync(histories, NOW, good(50), twin=twin, replicas_query="pods", replicas=3)
        monkeypatch.setattr(Forecaster, "observe", observe)
        await sync(histories, NOW + hour, good(50), twin=twin, replicas_query="pods", replicas=12)

    assert [(round(slot), pods) for slot, pods in taken] == [(1, 3), (2, 3), (3, 3), (4, 12)]


@pytest.mark.parametrize(
    ("counted", "samples"),
    [
        pytest.param(RangeAnswer(error="timeout"), 2, id="refused: only what was seen since"),
        pytest.param(RangeAnswer(), 1, id="nothing known"),
        pytest.param(None, 62, id="known"),
    ],
)
async def test_past_of_a_mean_is_not_learned_without_the_pods_of_then(
    counted: RangeAnswer | None, samples: int
) -> None:
    def history(query: RangeQuery) -> RangeAnswer:
        return recorded()(query) if counted is None or query.promql != "pods" else counted

    async with caching(FakeBackend(history=history)) as histories:
        await sync(histories, NOW, good(50), replicas_query="pods", replicas=2)
        result = await sync(histories, NOW + 60, good(50), replicas_query="pods", replicas=2)

    assert known(result) == samples


async def test_mean_over_pods_that_are_not_counted_now_is_not_learned_from() -> None:
    async with caching(FakeBackend(history=recorded())) as histories:
        await sync(histories, NOW, good(50), replicas_query="pods", replicas=2)
        unknown = await sync(histories, NOW + 60, good(50), replicas_query="pods", replicas=None)
        counted = await sync(histories, NOW + 120, good(50), replicas_query="pods", replicas=2)

    assert (known(unknown), known(counted)) == (61, 62)


async def test_partial_past_is_not_learned_from_and_asked_for_again_in_one_piece() -> None:
    backend = FakeBackend(history=hiding(PARTIAL, lambda _query: True))
    async with caching(backend) as histories:
        first = await sync(histories, NOW, good(0))
        backend.history = recorded()
        second = await sync(histories, NOW + 60, good(60))

    assert (first.history_complete, known(first)) == (False, 1)
    assert (second.history_complete, known(second)) == (True, 61)
    assert [len(batch) for batch in backend.range_batches] == [1, 1]


async def test_gap_of_which_a_part_is_known_is_read_again_later() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        backend.history = hiding(PARTIAL, lambda _query: True)
        partial = await sync(histories, NOW + 600, good(600))
        backend.history = recorded()
        whole = await sync(histories, NOW + 660, good(660))

    assert (partial.history_complete, known(partial)) == (False, 62)
    # The hour before, read anew, with the slots that were a gap.
    assert (whole.history_complete, known(whole)) == (True, 61)


async def test_totals_are_not_learned_where_a_part_of_the_pods_was_counted() -> None:
    backend = FakeBackend(history=hiding(PARTIAL, lambda query: query.promql == "count(cpu)"))
    async with caching(backend) as histories:
        samples = {**good(40), **good(5, "latencyMs")}
        result = await sync(histories, NOW, samples, replicas_query="count(cpu)", replicas=2)

    assert not result.history_complete
    assert (known(result), known(result, "latencyMs")) == (0, 61)
