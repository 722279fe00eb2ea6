"""Gathering: who waits for what, and what is known while the source does not answer."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fakes.metrics_backend import FakeBackend
from support.gathering import (
    NOW,
    SOURCE,
    WORKLOAD,
    custom,
    gather,
    held,
    twin,
)
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.queries import Inspection, InstantAnswer, Query, QueryScope
from twinops.errors import MetricsUnavailable


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


async def test_only_the_queries_of_the_product_are_told_to_be_built_in() -> None:
    backend = FakeBackend()
    await gather(twin("Worker", [{"name": "queueLength", "query": "sum(my_queue)"}]), backend)

    asked = {text for batch in backend.batches for text in batch}
    assert len(backend.batches) == 2, "nothing answers, so look-ups follow"
    assert backend.built_in == {text for text in asked if "my_queue" not in text}
    assert {text for text in asked if "my_queue" in text}


async def test_metrics_are_as_of_a_whole_second() -> None:
    backend = FakeBackend([("timestamp(", InstantAnswer((NOW - 3,))), ("my_queue", InstantAnswer((5.0,)))])
    gathered = await Gatherer(backend, PrometheusTexts()).gather(
        custom("sum(my_queue)"), SOURCE, namespace="shop", workload=WORKLOAD, previous=[], now=NOW + 0.75
    )

    assert backend.times == [NOW]
    assert gathered.samples["queueLength"].quality is Quality.GOOD
    assert gathered.samples["queueLength"].time == NOW - 3
