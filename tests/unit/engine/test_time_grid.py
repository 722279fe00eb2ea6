"""A twin's time grid: which slot a sync counts for, and which spans of history are read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fakes.metrics_backend import FakeBackend
from support.history_syncs import (
    NOW,
    WEEKS,
    bad,
    caching,
    good,
    hiding,
    known,
    recorded,
    spec,
    sync,
)
from twinops.core.forecast.forecaster import RECENT_STEPS
from twinops.engine.time_grid import MAX_POINTS
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery


@pytest.mark.parametrize("jitter", [-29.0, -1.0, 0.5, 29.0])
async def test_syncs_out_of_time_neither_skip_nor_add_entries(jitter: float) -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        await sync(histories, NOW + 60 + jitter, good(1))
        result = await sync(histories, NOW + 120, good(2))

    assert known(result) == 63
    assert len(backend.range_batches) == 1


async def test_second_value_for_one_slot_does_not_count_twice() -> None:
    async with caching(FakeBackend(history=recorded())) as histories:
        await sync(histories, NOW, good(5))
        await sync(histories, NOW + 60, good(5))
        result = await sync(histories, NOW + 63, good(6))

    assert known(result) == 62


async def test_clock_that_jumps_ahead_and_back_does_no_lasting_harm() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        await sync(histories, NOW + 10 * 86_400, good(1))
        back = await sync(histories, NOW + 60, good(60))
        later = await sync(histories, NOW + 120, good(60))

    assert known(back) == 61
    assert known(later) == 62


@pytest.mark.parametrize(
    ("step", "spans"),
    [
        pytest.param(5, [(5, RECENT_STEPS - 1), (300, 6022)], id="recent steps, the rest coarse"),
        pytest.param(60, [(60, RECENT_STEPS - 1), (300, 5793)], id="a minute"),
        pytest.param(300, [(300, 6048)], id="one resolution"),
        pytest.param(900, [(900, 2016)], id="quarters of an hour"),
    ],
)
async def test_three_weeks_are_read_in_two_resolutions(step: int, spans: list[tuple[int, int]]) -> None:
    backend = FakeBackend()
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0), twin=spec(step=step, length=5_184_000))

    [asked] = backend.range_batches
    assert [query.step for query in asked] == [step for step, _ in spans]
    for query, (_, length) in zip(asked, spans, strict=True):
        assert (query.end - query.start) / query.step == pytest.approx(length, abs=30)
        assert (query.end - query.start) / query.step < MAX_POINTS
    if len(asked) > 1:
        assert 0 < asked[0].start - asked[1].end <= 600, "no hole between the two, and no overlap"


async def test_series_that_overlap_say_nothing_where_they_do() -> None:
    def two(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        early, late = times[:31], times[30:]
        return RangeAnswer(((early, np.full(early.size, 1.0)), (late, np.full(late.size, 2.0))))

    async with caching(FakeBackend(history=two)) as histories:
        result = await sync(histories, NOW, bad())

    assert known(result) == 60


@pytest.mark.parametrize(
    ("hidden", "complete"),
    [
        pytest.param(lambda query: query.start < NOW - 2 * 86_400, True, id="of weeks ago"),
        pytest.param(lambda _query: True, False, id="of now, too"),
    ],
)
async def test_time_before_the_oldest_store_is_no_part_that_is_missing(
    *, hidden: Callable[[RangeQuery], bool], complete: bool
) -> None:
    backend = FakeBackend(history=hiding(NO_STORE, hidden))
    async with caching(backend) as histories:
        result = await sync(histories, NOW, good(0), twin=WEEKS)

    assert result.history_complete == complete
    assert (known(result) >= RECENT_STEPS) == complete
