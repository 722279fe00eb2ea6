"""What is known of a twin's past, and when Prometheus is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from fakes.clock import until
from fakes.metrics_backend import FakeBackend
from twinops.api.source import MetricsSourceSpec
from twinops.api.status import Quality
from twinops.core.observation import Sample
from twinops.errors import MetricsUnavailable
from twinops.services.gathering.past import MAX_POINTS
from twinops.services.history import History, HistoryKeeper
from twinops.services.ports import RangeAnswer, RangeQuery, SourceAccess

NOW = 1_800_000_000.0
STEP = 60
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
LENGTH = 3600


def past(value: Callable[[float], float] = lambda time: time - NOW) -> Callable[[RangeQuery], RangeAnswer]:
    """Know everything up to ``NOW``; by default each value is its own time."""

    def answer(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        return RangeAnswer(((times, np.array([value(time) for time in times])),))

    return answer


def good(value: float, metric: str = "cpuUsage") -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value, time=NOW)}


def bad(quality: Quality = Quality.EMPTY, value: float | None = None) -> dict[str, Sample]:
    return {"cpuUsage": Sample("cpuUsage", quality, value)}


@asynccontextmanager
async def keeping(backend: FakeBackend, patience: float = 5.0) -> AsyncIterator[HistoryKeeper]:
    keeper = HistoryKeeper(backend, loads=1, patience_seconds=patience)
    try:
        yield keeper
    finally:
        await keeper.aclose()


async def sync(
    keeper: HistoryKeeper,
    at: float,
    samples: Mapping[str, Sample],
    *,
    uid: str = "uid-1",
    promql: str = "cpu",
    source: SourceAccess = SOURCE,
    step: int = STEP,
    length: int = LENGTH,
) -> History:
    return await keeper.update(
        uid,
        source,
        queries=dict.fromkeys(samples, promql),
        samples=samples,
        step=step,
        history_seconds=length,
        depth=MAX_POINTS,
        now=at,
    )


async def test_first_sync_knows_the_past() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        history = await sync(keeper, NOW, good(0))

    series = history.series["cpuUsage"]
    assert history.complete
    assert series.times.tolist() == [NOW - LENGTH + STEP * k for k in range(61)]
    assert series.values.tolist() == [time - NOW for time in series.times.tolist()]
    assert history.samples_collected(["cpuUsage"]) == 61


async def test_steady_syncs_append_without_asking() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        for minute in range(5):
            history = await sync(keeper, NOW + 60 * minute, good(60.0 * minute))

    assert len(backend.range_batches) == 1
    assert history.series["cpuUsage"].values[-5:].tolist() == [0, 60, 120, 180, 240]
    assert history.series["cpuUsage"].times[-1] == NOW + 240


async def test_live_and_read_values_share_one_grid_whatever_the_phase() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW + 17.4, good(1))
        history = await sync(keeper, NOW + 77.6, good(2))

    assert set(np.diff(history.series["cpuUsage"].times)) == {float(STEP)}
    assert history.series["cpuUsage"].times[-1] == NOW + 77


@pytest.mark.parametrize("jitter", [-29.0, -1.0, 0.5, 29.0])
async def test_syncs_out_of_time_neither_skip_nor_add_entries(jitter: float) -> None:
    async with keeping(FakeBackend(history=past())) as keeper:
        await sync(keeper, NOW, good(0))
        await sync(keeper, NOW + 60 + jitter, good(1))
        history = await sync(keeper, NOW + 120, good(2))

    assert history.series["cpuUsage"].values[-3:].tolist() == [0, 1, 2]


async def test_second_value_for_one_slot_overwrites() -> None:
    async with keeping(FakeBackend(history=past())) as keeper:
        await sync(keeper, NOW, good(5))
        history = await sync(keeper, NOW + 3, good(6))

    assert history.series["cpuUsage"].values[-1] == 6
    assert history.series["cpuUsage"].times[-1] == NOW


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
    async with keeping(FakeBackend(history=past())) as keeper:
        await sync(keeper, NOW, good(0))
        history = await sync(keeper, NOW + 60, samples)

    assert np.isnan(history.series["cpuUsage"].values[-1])
    assert history.series["cpuUsage"].times[-1] == NOW + 60


async def test_outage_is_filled_from_prometheus_afterwards() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        for minute in range(1, 10):
            await sync(keeper, NOW + 60 * minute, bad())
        assert len(backend.range_batches) == 1
        history = await sync(keeper, NOW + 600, good(600))

    [query] = backend.range_batches[1]
    assert (query.start, query.end) == (NOW + 60, NOW + 600)
    assert history.series["cpuUsage"].values[-11:].tolist() == [60.0 * minute for minute in range(11)]


async def test_single_hole_is_filled_with_the_next_good_sample() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        await sync(keeper, NOW + 60, bad())
        history = await sync(keeper, NOW + 120, good(120))

    assert history.series["cpuUsage"].values[-3:].tolist() == [0, 60, 120]


async def test_long_intervals_are_filled_in_between() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        for hour in range(3):
            history = await sync(keeper, NOW + 3600 * hour, good(3600.0 * hour), step=900, length=86_400)

    assert np.isfinite(history.series["cpuUsage"].values).all()
    assert history.series["cpuUsage"].times[-1] == NOW + 7200
    assert [len(batch) for batch in backend.range_batches] == [1, 1, 1]
    assert backend.range_batches[2][0].start == NOW + 3600 + 900


async def test_at_most_ten_thousand_points() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        history = await sync(keeper, NOW, good(0), step=5, length=5_184_000)
        history = await sync(keeper, NOW + 5, good(5), step=5, length=5_184_000)

    assert history.series["cpuUsage"].times.size == MAX_POINTS
    [query] = backend.range_batches[0]
    assert (query.end - query.start) / query.step == MAX_POINTS - 1


async def test_no_more_is_kept_than_is_of_use() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        history = await keeper.update(
            "uid-1",
            SOURCE,
            queries={"cpuUsage": "cpu"},
            samples=good(0),
            step=STEP,
            history_seconds=LENGTH,
            depth=20,
            now=NOW,
        )

    assert history.complete
    assert history.series["cpuUsage"].times.tolist() == [NOW - 1140 + STEP * k for k in range(20)]
    assert [query.start for query in backend.range_batches[0]] == [NOW - 1140]


async def test_clock_that_jumps_ahead_and_back_does_no_lasting_harm() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        ahead = await sync(keeper, NOW + 86_400, good(1))
        back = await sync(keeper, NOW + 60, good(60))

    assert ahead.series["cpuUsage"].times.size <= 61
    assert back.series["cpuUsage"].times[-1] == NOW + 60
    assert back.series["cpuUsage"].times.size == 61
    assert back.series["cpuUsage"].values.tolist() == (back.series["cpuUsage"].times - NOW).tolist()


async def test_clock_that_jumps_back_gives_up_what_lies_ahead() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        history = await sync(keeper, NOW - 600, good(-600))

    assert history.series["cpuUsage"].times[-1] == NOW - 600


async def test_failed_read_is_tried_again_and_live_samples_count_meanwhile() -> None:
    backend = FakeBackend(history=past(), failure=MetricsUnavailable("down"))
    async with keeping(backend) as keeper:
        first = await sync(keeper, NOW, good(0))
        assert not first.complete
        assert first.series["cpuUsage"].values.tolist() == [0]
        assert first.samples_collected(["cpuUsage"]) == 1

        backend.failure = None
        second = await sync(keeper, NOW + 60, good(60))

    assert second.complete
    assert second.samples_collected(["cpuUsage"]) == 61


async def test_refused_past_is_done_without() -> None:
    backend = FakeBackend(history=lambda _query: RangeAnswer(error="bad_data"))
    async with keeping(backend) as keeper:
        first = await sync(keeper, NOW, good(0))
        history = await sync(keeper, NOW + 60, good(60))

    assert first.complete
    assert history.complete
    assert history.samples_collected(["cpuUsage"]) == 2


def asked_at(backend: FakeBackend, seen: list[float], promql: str = "cpu") -> Callable[[float], None]:
    """Return what notes the minute of each sync at which the query was sent."""
    sent = 0

    def note(minute: float) -> None:
        nonlocal sent
        asked = sum(query.promql == promql for batch in backend.range_batches for query in batch)
        if asked > sent:
            seen.append(minute)
        sent = asked

    return note


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
    minutes: list[float] = []
    note = asked_at(backend, minutes)
    async with keeping(backend) as keeper:
        for minute in range(300):
            await sync(keeper, NOW + 60 * minute, good(0))
            note(minute)

    assert minutes == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


async def test_clock_that_goes_back_does_not_lengthen_the_pause() -> None:
    backend = FakeBackend(failure=MetricsUnavailable("down"))
    async with keeping(backend) as keeper:
        await sync(keeper, NOW + 86_400, good(0))
        await sync(keeper, NOW, good(0))

    assert len(backend.range_batches) == 2


async def test_changed_query_is_asked_at_once() -> None:
    backend = FakeBackend(history=lambda _query: RangeAnswer(error="bad_data"))
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        await sync(keeper, NOW + 5, good(0), promql="mended")

    assert [batch[0].promql for batch in backend.range_batches] == ["cpu", "mended"]


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
    async with keeping(backend) as keeper:
        complete = [(await sync(keeper, NOW + 60 * minute, good(0))).complete for minute in range(5)]

    assert complete == [False, False, False, True, True]


async def test_one_metric_that_fails_does_not_keep_the_others_from_their_past() -> None:
    class OneBreaksAll(FakeBackend):
        async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
            self.failure = MetricsUnavailable("504") if any(one.promql == "heavy" for one in queries) else None
            return await super().ranges(source, queries)

    async with keeping(OneBreaksAll(history=past())) as keeper:
        for minute in range(4):
            history = await keeper.update(
                "uid-1",
                SOURCE,
                queries={"cpuUsage": "cpu", "latencyMs": "heavy"},
                samples=good(60.0 * minute) | good(1, "latencyMs"),
                step=STEP,
                history_seconds=LENGTH,
                depth=100,
                now=NOW + 60 * minute,
            )

    assert history.complete
    assert history.series["cpuUsage"].known == 61
    assert history.series["latencyMs"].known == 4


async def test_past_that_is_too_long_for_one_answer_is_read_in_pieces_newest_first() -> None:
    def limited(query: RangeQuery) -> RangeAnswer:
        too_long = (query.end - query.start) / query.step >= 20
        return RangeAnswer(error="too_large") if too_long else past()(query)

    backend = FakeBackend(history=limited)
    async with keeping(backend) as keeper:
        for minute in range(4):
            history = await sync(keeper, NOW + 60 * minute, good(60.0 * minute))

    asked = [(query.start, query.end) for batch in backend.range_batches for query in batch]
    assert [(end - start) / STEP + 1 for start, end in asked] == [61, 30, 15, 15, 15, 15, 1]
    assert [end for _start, end in asked[2:]] == [NOW + 180 - 900 * piece for piece in range(5)]
    assert history.complete
    assert history.series["cpuUsage"].values.tolist() == (history.series["cpuUsage"].times - NOW).tolist()
    assert history.series["cpuUsage"].known == 61


async def test_slow_read_does_not_hold_up_the_sync_and_is_there_later() -> None:
    backend = FakeBackend(history=past(), gate=asyncio.Event())
    async with keeping(backend, patience=0.01) as keeper:
        first = await sync(keeper, NOW, good(0))
        assert not first.complete

        assert backend.gate is not None
        backend.gate.set()
        await asyncio.sleep(0)
        await sync(keeper, NOW + 60, good(60))
        history = await sync(keeper, NOW + 120, good(120))

    assert history.complete
    assert len(backend.range_batches) <= 2
    assert history.series["cpuUsage"].values[-3:].tolist() == [0, 60, 120]


async def test_reads_are_bounded_in_number() -> None:
    backend = FakeBackend(history=past(), gate=asyncio.Event())
    async with keeping(backend, patience=0.01) as keeper:
        await sync(keeper, NOW, good(0), uid="uid-1")
        waiting = await sync(keeper, NOW, good(0), uid="uid-2")

        assert len(backend.range_batches) == 1
        assert not waiting.complete


async def test_syncs_wait_for_their_past_only_near_the_head_of_the_line() -> None:
    backend = FakeBackend(history=past(), gate=asyncio.Event())
    async with keeping(backend, patience=3600) as keeper:
        near = [asyncio.ensure_future(sync(keeper, NOW, good(0), uid=f"uid-{at}")) for at in range(2)]
        await until(lambda: len(backend.range_batches) > 0)
        far = await sync(keeper, NOW, good(0), uid="uid-2")

        assert backend.gate is not None
        backend.gate.set()
        waited = await asyncio.gather(*near)
        later = await sync(keeper, NOW + 60, good(60), uid="uid-2")

    assert not far.complete
    assert [history.complete for history in waited] == [True, True]
    assert later.complete


@pytest.mark.parametrize(
    ("changed", "reads"),
    [
        pytest.param({}, 1, id="nothing"),
        pytest.param({"promql": "other"}, 2, id="query"),
        pytest.param({"step": 30}, 2, id="step"),
        pytest.param({"length": 7200}, 2, id="length"),
        pytest.param({"source": SourceAccess("second", SOURCE.spec)}, 2, id="source"),
        pytest.param({"source": SourceAccess("default", MetricsSourceSpec(url="http://thanos:9090"))}, 2, id="address"),
        pytest.param({"source": SourceAccess("default", SOURCE.spec, bearer_token="new")}, 1, id="only the token"),  # noqa: S106 - made up
    ],
)
async def test_past_is_read_anew_when_it_is_another_one(changed: dict[str, object], reads: int) -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        await sync(keeper, NOW + 60, good(60), **changed)  # type: ignore[arg-type]

    assert len(backend.range_batches) == reads


async def test_dropped_twin_starts_anew() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        keeper.drop("uid-1")
        keeper.drop("uid-1")
        await sync(keeper, NOW + 60, good(60))

    assert len(backend.range_batches) == 2


async def test_metric_without_query_keeps_its_past_until_the_metric_goes() -> None:
    backend = FakeBackend(history=past())
    async with keeping(backend) as keeper:
        await sync(keeper, NOW, good(0))
        without_query = await keeper.update(
            "uid-1", SOURCE, queries={}, samples=bad(), step=STEP, history_seconds=LENGTH, depth=100, now=NOW + 60
        )
        gone = await sync(keeper, NOW + 120, {})

    assert without_query.series["cpuUsage"].known == 60
    assert not gone.series


async def test_series_that_follow_each_other_are_joined() -> None:
    def two(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        early, late = times[:31], times[30:]
        return RangeAnswer(((early, np.full(early.size, 1.0)), (late, np.full(late.size, 2.0))))

    async with keeping(FakeBackend(history=two)) as keeper:
        series = (await sync(keeper, NOW, bad())).series["cpuUsage"]

    assert series.values[:30].tolist() == [1.0] * 30
    assert np.isnan(series.values[30])
    assert series.values[31:].tolist() == [2.0] * 30


async def test_samples_collected_is_the_least_over_the_metrics_asked_for() -> None:
    backend = FakeBackend(history=lambda query: past()(query) if query.promql == "cpu" else RangeAnswer())
    async with keeping(backend) as keeper:
        history = await keeper.update(
            "uid-1",
            SOURCE,
            queries={"cpuUsage": "cpu", "latencyMs": "latency"},
            samples=good(1) | good(2, "latencyMs"),
            step=STEP,
            history_seconds=LENGTH,
            depth=100,
            now=NOW,
        )

    assert history.samples_collected(["cpuUsage", "latencyMs"]) == 1
    assert history.samples_collected(["cpuUsage"]) == 61
    assert history.samples_collected(["cpuUsage", "unknown"]) == 0
    assert history.samples_collected([]) == 0


async def test_nothing_known_is_an_empty_series() -> None:
    async with keeping(FakeBackend()) as keeper:
        series = (await sync(keeper, NOW, bad())).series["cpuUsage"]

    assert (series.times.size, series.values.size, series.known) == (0, 0, 0)
