"""What a twin's forecaster is learned from, and when its history is read from the metrics backend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fakes.clock import until
from fakes.metrics_backend import FakeBackend
from support.histories import Histories
from support.history_syncs import (
    NOW,
    SOURCE,
    bad,
    caching,
    daily,
    good,
    known,
    recorded,
    spec,
    sync,
)
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.core.observation import Sample
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess


async def test_first_sync_knows_the_past_and_foresees() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        result = await sync(histories, NOW, good(daily(NOW)))

    assert result.history_complete
    assert known(result) == 61
    [forecast] = result.forecasts["cpuUsage"]
    assert forecast.median == pytest.approx(daily(NOW + 900), abs=1)


async def test_whole_past_is_learned_from_in_the_background() -> None:
    async with caching(FakeBackend(history=recorded())) as histories:
        first = await sync(histories, NOW, good(daily(NOW)), twin=spec(length=86_400))
        assert first.warming

        async def warm() -> bool:
            return not (await sync(histories, NOW, good(daily(NOW)), twin=spec(length=86_400))).warming

        for _ in range(500):
            if await warm():
                break
            await asyncio.sleep(0.01)
        second = await sync(histories, NOW + 60, good(daily(NOW + 60)), twin=spec(length=86_400))

    assert not second.warming
    [before], [after] = first.skills, second.skills
    assert after.checks > before.checks


async def test_steady_syncs_do_not_ask_again() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        for minute in range(5):
            result = await sync(histories, NOW + 60 * minute, good(60.0 * minute))

    assert len(backend.range_batches) == 1
    assert known(result) == 65


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(bad(), id="empty"),
        pytest.param(bad(Quality.HELD, 3), id="held is not real"),
        pytest.param(bad(Quality.MISSING, 3), id="stand-in is not real"),
        pytest.param(bad(Quality.NAN), id="NaN"),
    ],
)
async def test_bad_samples_leave_holes(samples: dict[str, Sample]) -> None:
    async with caching(FakeBackend(history=recorded())) as histories:
        before = await sync(histories, NOW, good(0))
        after = await sync(histories, NOW + 60, samples)

    assert known(after) == known(before)


async def test_slow_read_does_not_hold_up_the_sync_and_is_there_later() -> None:
    backend = FakeBackend(history=recorded(), gate=asyncio.Event())
    async with caching(backend, patience=0.01) as histories:
        first = await sync(histories, NOW, good(0))
        assert not first.history_complete
        second = await sync(histories, NOW + 60, good(60))
        assert not second.history_complete

        assert backend.gate is not None
        backend.gate.set()
        histories.loader._patience = 5.0
        third = await sync(histories, NOW + 120, good(120))

    assert third.history_complete
    assert len(backend.range_batches) == 1
    assert known(third) == 63, "what was synced meanwhile counts"


async def test_reads_are_bounded_in_number() -> None:
    backend = FakeBackend(history=recorded(), gate=asyncio.Event())
    async with caching(backend, patience=0.01) as histories:
        await sync(histories, NOW, good(0), uid="uid-1")
        waiting = await sync(histories, NOW, good(0), uid="uid-2")

        assert len(backend.range_batches) == 1
        assert not waiting.history_complete


async def test_pasts_that_are_still_being_learned_from_are_bounded_in_number() -> None:
    """A past is large: ten thousand of them would not fit into memory after a restart."""
    backend = FakeBackend(history=recorded())
    twin = spec(length=86_400)
    async with caching(backend, patience=0.01) as histories, histories.loader._warm_ups:
        for uid in range(6):
            await sync(histories, NOW, good(40), uid=f"uid-{uid}", twin=twin)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(backend.range_batches) == 2


async def test_twin_that_goes_while_it_is_learned_from_leaves_room_for_others() -> None:
    backend = FakeBackend(history=recorded())
    twin = spec(length=86_400)
    async with caching(backend, patience=5.0) as histories:
        async with histories.loader._warm_ups:
            for uid in range(4):
                await sync(histories, NOW, good(40), uid=f"uid-{uid}", twin=twin)
                histories.drop(f"uid-{uid}")
        result = await sync(histories, NOW, good(40), uid="uid-9", twin=twin)

    assert result.history_complete
    assert len(backend.range_batches) == 5


async def test_syncs_that_wait_for_their_turn_read_up_to_the_newest_of_them() -> None:
    backend = FakeBackend(history=recorded(), gate=asyncio.Event())
    async with caching(backend, patience=0.01) as histories:
        await sync(histories, NOW, good(0), uid="uid-2")
        for minute in range(3):
            await sync(histories, NOW + 60 * minute, good(40))
        assert backend.gate is not None
        backend.gate.set()
        histories.loader._patience = 5.0
        result = await sync(histories, NOW + 180, good(40))

    assert known(result) == 61
    assert backend.range_batches[1][0].end == int(NOW) + 180


async def test_syncs_wait_for_their_past_only_near_the_head_of_the_line() -> None:
    backend = FakeBackend(history=recorded(), gate=asyncio.Event())
    async with caching(backend, patience=3600) as histories:
        near = [asyncio.ensure_future(sync(histories, NOW, good(0), uid=f"uid-{at}")) for at in range(2)]
        await until(lambda: len(backend.range_batches) > 0)
        far = await sync(histories, NOW, good(0), uid="uid-2")

        assert backend.gate is not None
        backend.gate.set()
        waited = await asyncio.gather(*near)
        later = await sync(histories, NOW + 60, good(60), uid="uid-2")

    assert not far.history_complete
    assert [result.history_complete for result in waited] == [True, True]
    assert later.history_complete


@pytest.mark.parametrize(
    ("changed", "reads"),
    [
        pytest.param({}, 1, id="nothing"),
        pytest.param({"twin": spec(step=30)}, 2, id="step"),
        pytest.param({"twin": spec(length=7200)}, 2, id="length"),
        pytest.param({"twin": spec(expectedState={"learned": True})}, 2, id="learned baseline"),
        pytest.param({"twin": spec(limits={"cpuUsage": 90})}, 1, id="limit"),
        pytest.param({"source": SourceAccess("second", SOURCE.spec)}, 2, id="source"),
        pytest.param({"source": SourceAccess("default", MetricsSourceSpec(url="http://thanos:9090"))}, 2, id="address"),
        pytest.param({"source": SourceAccess("default", SOURCE.spec, bearer_token="new")}, 1, id="only the token"),  # noqa: S106 - made up
    ],
)
async def test_past_is_read_anew_when_it_is_another_one(changed: dict[str, Any], reads: int) -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        await sync(histories, NOW + 60, good(60), **changed)

    assert len(backend.range_batches) == reads


async def test_dropped_twin_starts_anew() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        histories.drop("uid-1")
        histories.drop("uid-1")
        await sync(histories, NOW + 60, good(60))

    assert len(backend.range_batches) == 2


async def test_nothing_known_foresees_nothing() -> None:
    async with caching(FakeBackend()) as histories:
        result = await sync(histories, NOW, bad())

    assert result.history_complete
    assert not result.forecasts


class HungPast(FakeBackend):
    """Knows everything, but for one source, whose range queries never end."""

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        if source.name == "hung":
            await asyncio.sleep(3600)
        return await super().ranges(source, queries)


async def test_a_source_whose_past_hangs_keeps_no_other_from_being_read() -> None:
    hung = SourceAccess("hung", MetricsSourceSpec(url="http://hung:9090"))
    histories = Histories(HungPast(history=recorded()), loads=4, patience_seconds=0.01)
    try:
        for number in range(40):
            await sync(histories, NOW, good(1.0), uid=f"hung-{number}", source=hung)
        for number in range(6):
            uid = f"well-{number}"
            await sync(histories, NOW, good(1.0), uid=uid)

            async def known_now(uid: str = uid) -> bool:
                return known(await sync(histories, NOW, good(1.0), uid=uid)) > 1

            await until(known_now, within=10)
    finally:
        await histories.aclose()
    assert histories.loader._reading == {}
