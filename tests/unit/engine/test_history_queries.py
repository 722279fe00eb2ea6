"""Which query's past is a metric's history, and when it is read anew."""

from __future__ import annotations

from fakes.metrics_backend import FakeBackend
from support.history_syncs import (
    NOW,
    SOURCE,
    bad,
    caching,
    good,
    known,
    recorded,
    spec,
    sync,
)
from twinops.engine.forecast_input import ForecastInput
from twinops.engine.history_queries import RELOAD_PAUSE
from twinops.ports.metrics import RangeAnswer


async def test_pods_of_a_built_in_query_are_not_those_of_a_persons_own() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(50), replicas_query="pods", replicas=2)
        await sync(histories, NOW + RELOAD_PAUSE, good(50), promql="my_cpu")

    assert {query.promql for query in backend.range_batches[-1]} == {"my_cpu"}


async def test_another_query_is_another_past_but_not_at_every_sync() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        flapping = [await sync(histories, NOW + 60 * k, good(60), promql="ab"[k % 2]) for k in range(1, 5)]
        assert len(backend.range_batches) == 1
        assert [known(result) for result in flapping] == [61] * 4, "another query's values do not mix with it"
        await sync(histories, NOW + RELOAD_PAUSE, good(60), promql="b")

    assert len(backend.range_batches) == 2


async def test_mended_query_is_asked_at_once() -> None:
    backend = FakeBackend(history=lambda _query: RangeAnswer(error="bad_data"))
    async with caching(backend) as histories:
        await sync(histories, NOW, bad())
        await sync(histories, NOW + 5, good(0), promql="mended")

    assert [batch[0].promql for batch in backend.range_batches] == ["cpu", "mended"]


async def test_metric_without_query_keeps_its_past_until_the_metric_goes() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        forecast_input = ForecastInput(now=NOW + 60, queries={}, samples=bad())
        without_query = await histories.sync("uid-1", SOURCE, spec(), forecast_input)
        gone = await sync(histories, NOW + 120, {})

    assert known(without_query) >= 60
    assert not gone.samples
