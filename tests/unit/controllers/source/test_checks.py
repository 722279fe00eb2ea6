"""Whether sources answer, and who learns that they do again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.clock import FakeClock, in_fake_time
from fakes.telemetry import FakeTelemetry
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.source.status import MetricsSourceStatus
from twinops.controllers.source.checks import (
    CHECKS_AT_ONCE,
    DOWN_PERIOD_SECONDS,
    LONGEST_DOWN_SECONDS,
    PERIOD_SECONDS,
    PROBE_SECONDS,
    SourceChecks,
)
from twinops.core.metrics.queries import InstantAnswer
from twinops.errors import ClusterError, MetricsUnavailable, NotFound, Refused, SourceInvalid
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

SPEC = MetricsSourceSpec(url="http://prometheus:9090")


class Sources:
    """One source, whose Secret may be missing."""

    def __init__(self) -> None:
        self.there = True
        self.secret = True
        self.fault: ClusterError | None = None
        self.written: list[MetricsSourceStatus] = []

    async def access(self, name: str) -> SourceAccess:
        if not self.secret:
            raise SourceInvalid("Secret token is missing: create it")
        return SourceAccess(name, SPEC)

    async def get(self, name: str) -> Mapping[str, Any]:
        if self.fault:
            raise self.fault
        if not self.there:
            raise NotFound("gone", status=404)
        status = self.written[-1].to_wire() if self.written else {}
        return {"metadata": {"name": name, "uid": "s1", "resourceVersion": "1", "generation": 1}, "status": status}

    async def write_status(
        self, name: str, status: MetricsSourceStatus, *, uid: str, resource_version: str
    ) -> Mapping[str, Any]:
        assert (uid, resource_version) == ("s1", "1")
        self.written.append(status)
        return await self.get(name)


class Backend:
    """Counts probes; may be down."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0

    async def instant(self, _: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        assert at > 0
        self.asked += 1
        if not self.up:
            raise MetricsUnavailable("no answer")
        return [InstantAnswer((1.0,)) for _ in queries]

    async def ranges(self, _: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        raise NotImplementedError(queries)


class Scene:
    """Checks of one source."""

    def __init__(self) -> None:
        self.sources, self.backend, self.recovered = Sources(), Backend(), list[str]()
        self.telemetry = FakeTelemetry()
        self.checks = SourceChecks(
            self.sources, self.backend, self.telemetry, FakeClock(), recovered=self.recovered.append
        )
        self.checks.seen("default")

    @property
    def ready(self) -> list[tuple[str, str]]:
        return [(status.conditions[0].status.value, status.conditions[0].reason) for status in self.sources.written]


async def _live(scene: Scene, *steps: float) -> None:
    running = asyncio.create_task(scene.checks.run())
    for seconds in steps:
        await asyncio.sleep(seconds)
    running.cancel()


@in_fake_time
async def test_a_source_that_answers_is_told_once() -> None:
    scene = Scene()
    await _live(scene, 3 * PERIOD_SECONDS)
    assert scene.ready == [("True", "Answering")]
    assert 3 <= scene.backend.asked <= 5
    assert scene.recovered == []


@in_fake_time
async def test_a_source_that_cannot_be_looked_at_is_neither_up_nor_down() -> None:
    scene = Scene()
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    assert scene.telemetry.sources == {"default": True}
    scene.sources.fault = Refused("GET metricssources/default: 403", status=403)
    await asyncio.sleep(2 * PERIOD_SECONDS)
    assert scene.telemetry.sources == {}
    scene.sources.fault = None
    await asyncio.sleep(2 * LONGEST_DOWN_SECONDS)
    assert scene.telemetry.sources == {"default": True}
    running.cancel()


@in_fake_time
async def test_a_mended_secret_is_found_soon_and_the_twins_are_woken() -> None:
    scene = Scene()
    scene.sources.secret = False
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    assert scene.ready == [("False", "MetricsSourceInvalid")]
    scene.sources.secret = True
    await asyncio.sleep(DOWN_PERIOD_SECONDS)
    assert scene.ready[-1] == ("True", "Answering")
    assert scene.recovered == ["default"]
    running.cancel()


@in_fake_time
async def test_a_backend_that_is_back_wakes_its_twins() -> None:
    scene = Scene()
    scene.backend.up = False
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    scene.backend.up = True
    await asyncio.sleep(DOWN_PERIOD_SECONDS)
    assert [reason for _, reason in scene.ready] == ["MetricsBackendUnavailable", "Answering"]
    assert scene.recovered == ["default"]
    running.cancel()


@in_fake_time
async def test_a_source_that_is_gone_is_not_asked_any_more() -> None:
    scene = Scene()
    scene.sources.there = False
    await _live(scene, 5 * PERIOD_SECONDS)
    assert scene.backend.asked == 0
    assert scene.sources.written == []


class Fleet:
    """Many sources, some of which hang: their names say so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.gone: set[str] = set()
        self.written: dict[str, list[float]] = {}
        self.asked: dict[str, list[float]] = {}
        self.failed: list[str] = []
        self.telemetry = FakeTelemetry()
        self.checks = SourceChecks(
            self,
            self,
            self.telemetry,
            self.clock,
            recovered=lambda _: None,
            failed=lambda name, _: self.failed.append(name),
        )

    async def access(self, name: str) -> SourceAccess:
        return SourceAccess(name, SPEC)

    async def get(self, name: str) -> Mapping[str, Any]:
        if name in self.gone:
            raise NotFound("gone", status=404)
        return {"metadata": {"name": name, "uid": "s1", "resourceVersion": "1", "generation": 1}}

    async def write_status(
        self, name: str, status: MetricsSourceStatus, *, uid: str, resource_version: str
    ) -> Mapping[str, Any]:
        del status, uid, resource_version
        self.written.setdefault(name, []).append(self.clock.monotonic())
        return {}

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        del queries, at
        self.asked.setdefault(source.name, []).append(self.clock.monotonic())
        if source.name.startswith("hung"):
            await asyncio.sleep(61)
            raise MetricsUnavailable("no answer within 60 s")
        return [InstantAnswer((1.0,))]


@in_fake_time
async def test_no_source_waits_for_those_that_hang() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    for number in range(3 * CHECKS_AT_ONCE):
        fleet.checks.seen(f"hung-{number}")
    await asyncio.sleep(4 * PROBE_SECONDS)
    began = fleet.clock.monotonic()
    fleet.checks.seen("new")
    await asyncio.sleep(4 * PERIOD_SECONDS)
    assert fleet.written["new"][0] - began < 1
    assert 4 <= len(fleet.asked["new"]) <= 6
    running.cancel()


@in_fake_time
async def test_a_source_that_hangs_is_looked_at_less_and_less_often_and_its_failures_are_told() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.seen("hung")
    await asyncio.sleep(300)
    running.cancel()
    times = fleet.asked["hung"]
    pauses = [later - earlier - PROBE_SECONDS for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= DOWN_PERIOD_SECONDS
    assert DOWN_PERIOD_SECONDS < pauses[-1] <= LONGEST_DOWN_SECONDS
    assert len(fleet.failed) >= 10
    assert fleet.telemetry.sources == {"hung": False}


@in_fake_time
async def test_a_source_that_goes_while_it_is_asked_leaves_nothing_behind() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.seen("hung")
    await asyncio.sleep(PROBE_SECONDS * 2.2)
    assert fleet.telemetry.sources == {"hung": False}
    fleet.gone.add("hung")
    fleet.checks.gone("hung")
    await asyncio.sleep(300)
    running.cancel()
    assert fleet.telemetry.sources == {}
    assert fleet.checks._up == {}
    assert fleet.checks._due == {}


@in_fake_time
async def test_a_source_that_went_unseen_is_not_brought_back_by_its_own_check() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.seen("well")
    await asyncio.sleep(1)
    fleet.gone.add("well")
    await asyncio.sleep(2 * PERIOD_SECONDS)
    running.cancel()
    assert fleet.telemetry.sources == {}
    assert fleet.checks._due == {}


@in_fake_time
async def test_complaints_bring_the_next_look_forward_but_are_no_storm() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.seen("well")
    for _ in range(200):
        await asyncio.sleep(0.1)
        fleet.checks.doubt("well")
        fleet.checks.doubt("unknown")
    running.cancel()
    assert 4 <= len(fleet.asked["well"]) <= 5
    assert "unknown" not in fleet.asked
