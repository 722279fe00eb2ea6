"""How many first syncs are admitted at once."""

from __future__ import annotations

import asyncio

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.pacing import BUSY_SECONDS, FIRST_AT_ONCE, LENT_SECONDS, FirstSyncs


async def hold(first_syncs: FirstSyncs, source: str = "default", seconds: float = 0.0) -> None:
    async with first_syncs.place(source):
        await asyncio.sleep(seconds)


@in_fake_time
async def test_more_are_admitted_as_long_as_the_loop_bears_it_and_never_more_than_the_most() -> None:
    first_syncs = FirstSyncs(FakeClock(), most=8)
    assert first_syncs.limit == FIRST_AT_ONCE
    limits = []
    for _ in range(100):
        await hold(first_syncs)
        limits.append(first_syncs.limit)
    assert limits[:3] == [5, 6, 7]
    assert limits[3:] == [8] * 97


@in_fake_time
async def test_after_a_lag_one_more_is_admitted_a_round() -> None:
    first_syncs = FirstSyncs(FakeClock(), most=8)
    first_syncs.measured(1.0)
    limits = []
    for _ in range(6):
        await hold(first_syncs)
        limits.append(first_syncs.limit)
    assert limits == [2, 2, 3, 3, 3, 4]


@pytest.mark.parametrize(
    ("lags", "limit"),
    [
        pytest.param([BUSY_SECONDS * 0.9] * 5, FIRST_AT_ONCE, id="a little late"),
        pytest.param([BUSY_SECONDS], FIRST_AT_ONCE // 2, id="late once"),
        pytest.param([3.0] * 9, 1, id="late for long: one goes on"),
    ],
)
def test_fewer_are_admitted_while_the_loop_is_late(lags: list[float], limit: int) -> None:
    @in_fake_time
    async def check() -> None:
        first_syncs = FirstSyncs(FakeClock(), most=8)
        for lag in lags:
            first_syncs.measured(lag)
        assert first_syncs.limit == limit

    check()


@in_fake_time
async def test_what_is_not_admitted_waits_and_a_place_is_lent_unless_the_loop_is_late() -> None:
    first_syncs = FirstSyncs(FakeClock(), most=8)
    first_syncs.measured(1.0)
    first_syncs.measured(1.0)
    assert first_syncs.limit == 1
    slow = asyncio.create_task(hold(first_syncs, seconds=3600))
    waiting = asyncio.create_task(hold(first_syncs))
    await asyncio.sleep(10 * LENT_SECONDS)
    assert not waiting.done()
    first_syncs.measured(0.0)
    await asyncio.wait_for(waiting, LENT_SECONDS + 0.1)
    slow.cancel()


@in_fake_time
async def test_a_source_leaves_places_to_others() -> None:
    first_syncs = FirstSyncs(FakeClock(), most=8)
    hung = [asyncio.create_task(hold(first_syncs, "hung", 3600)) for _ in range(20)]
    await asyncio.sleep(LENT_SECONDS / 2)
    await asyncio.wait_for(hold(first_syncs, "well"), 0.01)
    for one in hung:
        one.cancel()


@in_fake_time
async def test_the_lag_of_the_loop_is_measured_and_told() -> None:
    told: list[float] = []
    first_syncs = FirstSyncs(FakeClock(), most=8, lagged=told.append)
    running = asyncio.create_task(first_syncs.run())
    await asyncio.sleep(1.05)
    asyncio.get_running_loop()._warp.now += 2.0  # type: ignore[attr-defined]
    await asyncio.sleep(0.2)
    running.cancel()
    assert max(told) == pytest.approx(2.0, abs=0.11)
    assert sorted(told)[:-1] == pytest.approx([0.0] * (len(told) - 1), abs=1e-6)
    assert first_syncs.limit == FIRST_AT_ONCE // 2
