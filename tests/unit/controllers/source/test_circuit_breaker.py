"""A source that does not answer is not waited for by every twin in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.api.source.spec import MetricsSourceSpec
from twinops.controllers.source.circuit_breaker import SUSPECT_SECONDS, CircuitBreakers
from twinops.core.metrics.queries import InstantAnswer
from twinops.errors import MetricsBusy, MetricsUnavailable
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

SPEC = MetricsSourceSpec(url="http://prometheus:9090")
BAD = SourceAccess("bad", SPEC)
GOOD = SourceAccess("good", SPEC)
PAST = [RangeQuery("up", 0, 60, 60)]


class Backend:
    """One source that hangs or fails, and others that are well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hangs = False
        self.failure: Exception | None = None
        self.cancelled = 0

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        del at, built_in
        await self._take(source)
        return [InstantAnswer((1.0,)) for _ in queries]

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        await self._take(source)
        return [RangeAnswer() for _ in queries]

    async def _take(self, source: SourceAccess) -> None:
        self.asked.append(source.name)
        if source.name != "bad":
            return
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            raise MetricsUnavailable("no answer within 60 s")


class Scene:
    def __init__(self) -> None:
        self.backend = Backend()
        self.suspected: list[str] = []
        self.clock = FakeClock()
        self.circuits = CircuitBreakers(self.backend, self.clock, suspect=self.suspected.append)

    async def ask(self, source: SourceAccess = BAD) -> Sequence[InstantAnswer]:
        return await self.circuits.instant(source, ["up"], 0.0)


@in_fake_time
async def test_a_complaint_and_a_failed_probe_open_it_and_nothing_more_is_asked() -> None:
    scene = Scene()
    scene.backend.failure = MetricsUnavailable("connection refused")
    with pytest.raises(MetricsUnavailable, match="connection refused"):
        await scene.ask()
    assert scene.suspected == ["bad"]
    scene.circuits.probe_failed("bad", "connection refused by a probe")
    began = scene.clock.monotonic()
    for _ in range(100):
        with pytest.raises(MetricsUnavailable, match="connection refused by a probe"):
            await scene.ask()
        with pytest.raises(MetricsUnavailable, match="is not asked"):
            await scene.circuits.ranges(BAD, PAST)
    assert scene.backend.asked == ["bad"]
    assert scene.clock.monotonic() == began
    assert len(await scene.ask(GOOD)) == 1


@in_fake_time
async def test_opening_ends_what_is_under_way_at_once() -> None:
    scene = Scene()
    scene.backend.hangs = True
    waiting = [asyncio.create_task(scene.ask()) for _ in range(50)]
    waiting_past = asyncio.create_task(scene.circuits.ranges(BAD, PAST))
    await asyncio.sleep(SUSPECT_SECONDS + 0.1)
    assert "bad" in scene.suspected
    scene.circuits.probe_failed("bad", "hangs")
    answers = await asyncio.wait_for(asyncio.gather(*waiting, waiting_past, return_exceptions=True), 0.1)
    assert {type(answer) for answer in answers} == {MetricsUnavailable}
    assert scene.backend.cancelled == 51


@in_fake_time
async def test_a_probe_that_is_answered_closes_it() -> None:
    scene = Scene()
    scene.circuits.probe_failed("bad", "hangs")
    scene.circuits.probe_failed("bad", "hangs")
    with pytest.raises(MetricsUnavailable):
        await scene.ask()
    scene.circuits.probe_answered("bad")
    assert len(await scene.ask()) == 1


@in_fake_time
async def test_queries_that_are_too_slow_close_a_source_to_nobody() -> None:
    """One tenant's queries may hang for ever: as long as the source answers probes, it is asked."""
    scene = Scene()
    scene.backend.failure = MetricsBusy("did not finish any query")
    for _ in range(20):
        with pytest.raises(MetricsBusy):
            await scene.ask()
    assert scene.suspected == []
    scene.backend.failure = MetricsUnavailable("no answer")
    for _ in range(20):
        with pytest.raises(MetricsUnavailable, match="no answer"):
            await scene.ask()
        scene.circuits.probe_answered("bad")
    assert len(scene.backend.asked) == 40


@in_fake_time
async def test_one_failed_probe_of_which_no_twin_complains_is_no_outage() -> None:
    scene = Scene()
    scene.circuits.probe_failed("bad", "a hiccup")
    assert len(await scene.ask()) == 1


@in_fake_time
async def test_a_sync_that_is_cancelled_cancels_what_it_asked() -> None:
    scene = Scene()
    scene.backend.hangs = True
    requested_by = asyncio.create_task(scene.ask())
    await asyncio.sleep(1)
    requested_by.cancel()
    with pytest.raises(asyncio.CancelledError):
        await requested_by
    assert scene.backend.cancelled == 1
    assert scene.circuits._calls == {}


@in_fake_time
async def test_a_source_that_changed_starts_anew() -> None:
    scene = Scene()
    for _ in range(2):
        scene.circuits.probe_failed("bad", "hangs")
    scene.circuits.forget("bad")
    assert len(await scene.ask()) == 1
