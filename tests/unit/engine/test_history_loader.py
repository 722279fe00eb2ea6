"""What a twin's forecaster is learned from, and when its history is read from the metrics backend."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from fakes.clock import until
from fakes.metrics_backend import FakeBackend
from support.histories import Histories
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.forecaster import RECENT_STEPS, Forecaster
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Sample
from twinops.core.schedule import next_slot
from twinops.engine.forecast_input import ForecastInput
from twinops.engine.history_queries import RELOAD_PAUSE
from twinops.engine.time_grid import MAX_POINTS
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery, SourceAccess

STEP = 60
NOW = next_slot(1_800_000_000.0, STEP, "uid-1")
"""On the twin's own grid, as its daemon ticks."""
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
LENGTH = 3600


def daily(time: float) -> float:
    """Return a wave a day, 30 to 50."""
    return 40 + 10 * math.sin(time / 86_400 * 2 * math.pi)


def recorded(value: Callable[[float], float] = daily) -> Callable[[RangeQuery], RangeAnswer]:
    """Know everything."""

    def answer(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        return RangeAnswer(((times, np.array([value(time) for time in times])),))

    return answer


def good(value: float, metric: str = "cpuUsage") -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value, time=NOW)}


def bad(quality: Quality = Quality.EMPTY, value: float | None = None) -> dict[str, Sample]:
    return {"cpuUsage": Sample("cpuUsage", quality, value)}


def spec(step: int = STEP, length: int = LENGTH, **more: Any) -> DigitalTwinSpec:
    predictions = {"historySeconds": length, "horizonsSeconds": [max(900, step)]}
    wire = {"source": {"systemType": "Custom"}, "syncFrequencySeconds": step, "predictions": predictions}
    return DigitalTwinSpec.from_wire(wire | more)


@asynccontextmanager
async def caching(backend: FakeBackend, patience: float = 5.0) -> AsyncIterator[Histories]:
    histories = Histories(backend, loads=1, patience_seconds=patience)
    try:
        yield histories
    finally:
        await histories.aclose()


async def sync(
    histories: Histories,
    at: float,
    samples: Mapping[str, Sample],
    *,
    uid: str = "uid-1",
    promql: str = "cpu",
    source: SourceAccess = SOURCE,
    twin: DigitalTwinSpec | None = None,
    **more: Any,
) -> ForecastResult:
    forecast_input = ForecastInput(now=at, queries=dict.fromkeys(samples, promql), samples=samples, **more)
    return await histories.sync(uid, source, twin or spec(), forecast_input)


def known(result: ForecastResult, metric: str = "cpuUsage") -> int:
    return result.samples.get(metric, 0)


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


async def test_restart_resumes_from_status_without_learning_everything_again() -> None:
    twin = spec(length=86_400)
    async with caching(FakeBackend(history=recorded())) as histories:
        await sync(histories, NOW, good(daily(NOW)), twin=twin)
        for minute in range(1, 40):
            await asyncio.sleep(0.001)
            before = await sync(histories, NOW + 60 * minute, good(daily(NOW + 60 * minute)), twin=twin)
    [skill] = before.skills
    async with caching(FakeBackend(history=recorded())) as histories:
        after = await sync(
            histories, NOW + 2460, good(daily(NOW + 2460)), twin=twin, states={skill.metric: skill.state}
        )

    assert not after.warming
    [resumed] = after.skills
    assert resumed.checks >= skill.checks - 15, "what stands in status is a quarter of an hour old at most"
    assert len(skill.state) <= 300


async def test_restart_does_not_resume_from_what_was_learned_by_another_query() -> None:
    twin = spec(length=86_400)
    async with caching(FakeBackend(history=recorded())) as histories:
        [skill] = (await sync(histories, NOW, good(daily(NOW)), twin=twin)).skills
    async with caching(FakeBackend(history=recorded())) as histories:
        states = {skill.metric: skill.state}
        after = await sync(histories, NOW + 60, good(daily(NOW)), twin=twin, states=states, promql="in other units")

    assert after.warming


async def test_steady_syncs_do_not_ask_again() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        for minute in range(5):
            result = await sync(histories, NOW + 60 * minute, good(60.0 * minute))

    assert len(backend.range_batches) == 1
    assert known(result) == 65


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


async def test_pods_of_a_built_in_query_are_not_those_of_a_persons_own() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(50), replicas_query="pods", replicas=2)
        await sync(histories, NOW + RELOAD_PAUSE, good(50), promql="my_cpu")

    assert {query.promql for query in backend.range_batches[-1]} == {"my_cpu"}


async def test_clock_that_jumps_ahead_and_back_does_no_lasting_harm() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        await sync(histories, NOW + 10 * 86_400, good(1))
        back = await sync(histories, NOW + 60, good(60))
        later = await sync(histories, NOW + 120, good(60))

    assert known(back) == 61
    assert known(later) == 62


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


async def test_dropped_twin_starts_anew() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        histories.drop("uid-1")
        histories.drop("uid-1")
        await sync(histories, NOW + 60, good(60))

    assert len(backend.range_batches) == 2


async def test_metric_without_query_keeps_its_past_until_the_metric_goes() -> None:
    backend = FakeBackend(history=recorded())
    async with caching(backend) as histories:
        await sync(histories, NOW, good(0))
        forecast_input = ForecastInput(now=NOW + 60, queries={}, samples=bad())
        without_query = await histories.sync("uid-1", SOURCE, spec(), forecast_input)
        gone = await sync(histories, NOW + 120, {})

    assert known(without_query) >= 60
    assert not gone.samples


async def test_series_that_overlap_say_nothing_where_they_do() -> None:
    def two(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        early, late = times[:31], times[30:]
        return RangeAnswer(((early, np.full(early.size, 1.0)), (late, np.full(late.size, 2.0))))

    async with caching(FakeBackend(history=two)) as histories:
        result = await sync(histories, NOW, bad())

    assert known(result) == 60


async def test_nothing_known_foresees_nothing() -> None:
    async with caching(FakeBackend()) as histories:
        result = await sync(histories, NOW, bad())

    assert result.history_complete
    assert not result.forecasts


def hiding(error: str, hidden: Callable[[RangeQuery], bool]) -> Callable[[RangeQuery], RangeAnswer]:
    """Know everything but what is hidden, of which it says why."""
    whole = recorded()
    return lambda query: RangeAnswer(error=error) if hidden(query) else whole(query)


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


WEEKS = spec(length=21 * 86_400)


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
