"""When a history that could not be read is read again, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fakes.metrics_backend import FakeBackend
from support.history_syncs import (
    NOW,
    SOURCE,
    STEP,
    caching,
    good,
    known,
    recorded,
    spec,
    sync,
)
from twinops.engine.forecast_input import ForecastInput
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess


async def test_failed_read_is_tried_again_and_live_samples_count_meanwhile() -> None:
    backend = FakeBackend(history=recorded(), failure=MetricsUnavailable("down"))
    async with caching(backend) as histories:
        first = await sync(histories, NOW, good(0))
        assert not first.history_complete
        assert known(first) == 1

        backend.failure = None
        second = await sync(histories, NOW + 60, good(60))

    assert second.history_complete
    assert known(second) == 61


async def test_refused_past_is_done_without() -> None:
    backend = FakeBackend(history=lambda _query: RangeAnswer(error="bad_data"))
    async with caching(backend) as histories:
        first = await sync(histories, NOW, good(0))
        second = await sync(histories, NOW + 60, good(60))

    assert first.history_complete
    assert second.history_complete
    assert known(second) == 2


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        pytest.param(RangeAnswer(error="bad_data"), None, id="refused"),
        pytest.param(RangeAnswer(error="too_large"), None, id="too large"),
        pytest.param(RangeAnswer(), MetricsUnavailable("down"), id="no answer"),
    ],
)
async def test_past_that_cannot_be_read_is_asked_for_ever_more_rarely(
    answer: RangeAnswer, failure: Exception | None
) -> None:
    backend = FakeBackend(history=lambda _query: answer, failure=failure)
    minutes: list[int] = []
    sent = 0
    async with caching(backend) as histories:
        for minute in range(300):
            await sync(histories, NOW + 60 * minute, good(0))
            if len(backend.range_batches) > sent:
                minutes.append(minute)
            sent = len(backend.range_batches)

    assert minutes == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        pytest.param("", MetricsUnavailable("down"), id="no answer"),
        pytest.param("timeout", None, id="gave up"),
        pytest.param("too_large", None, id="too large"),
    ],
)
async def test_past_that_cannot_be_read_is_incomplete_until_it_is_given_up(
    error: str, failure: Exception | None
) -> None:
    backend = FakeBackend(history=lambda _query: RangeAnswer(error=error), failure=failure)
    async with caching(backend) as histories:
        complete = [(await sync(histories, NOW + 60 * minute, good(0))).history_complete for minute in range(5)]

    assert complete == [False, False, False, True, True]


async def test_one_metric_that_fails_does_not_keep_the_others_from_their_past() -> None:
    class OneBreaksAll(FakeBackend):
        async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
            self.failure = MetricsUnavailable("504") if any(one.promql == "heavy" for one in queries) else None
            return await super().ranges(source, queries)

    async with caching(OneBreaksAll(history=recorded())) as histories:
        for minute in range(4):
            samples = good(60.0 * minute) | good(1, "latencyMs")
            queries = {"cpuUsage": "cpu", "latencyMs": "heavy"}
            forecast_input = ForecastInput(now=NOW + 60 * minute, queries=queries, samples=samples)
            result = await histories.sync("uid-1", SOURCE, spec(), forecast_input)

    assert result.history_complete
    assert known(result) == 63
    assert known(result, "latencyMs") == 2, "what was seen since"


async def test_past_that_is_too_long_for_one_answer_is_read_in_pieces_newest_first() -> None:
    def limited(query: RangeQuery) -> RangeAnswer:
        too_long = (query.end - query.start) / query.step >= 20
        return RangeAnswer(error="too_large") if too_long else recorded()(query)

    backend = FakeBackend(history=limited)
    async with caching(backend) as histories:
        for minute in range(4):
            result = await sync(histories, NOW + 60 * minute, good(60.0 * minute))

    asked = [(query.start, query.end) for batch in backend.range_batches for query in batch]
    assert [(end - start) / STEP + 1 for start, end in asked] == [61, 31, 16, 16, 16, 13]
    assert sorted(asked[2:], reverse=True) == asked[2:]
    assert result.history_complete
    assert known(result) == 61
