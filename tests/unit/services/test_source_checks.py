"""Whether sources answer, and who learns that they do again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.clock import FakeClock, in_fake_time
from fakes.telemetry import FakeTelemetry
from twinops.api.source import MetricsSourceSpec, MetricsSourceStatus
from twinops.errors import MetricsUnavailable, NotFound, SourceInvalid
from twinops.services.ports import InstantAnswer, RangeAnswer, RangeQuery, SourceAccess
from twinops.services.source_checks import DOWN_PERIOD_SECONDS, PERIOD_SECONDS, SourceChecks

SPEC = MetricsSourceSpec(url="http://prometheus:9090")


class Sources:
    """One source, whose Secret may be missing."""

    def __init__(self) -> None:
        self.there = True
        self.secret = True
        self.written: list[MetricsSourceStatus] = []

    async def access(self, name: str) -> SourceAccess:
        if not self.secret:
            raise SourceInvalid("Secret token is missing: create it")
        return SourceAccess(name, SPEC)

    async def get(self, name: str) -> Mapping[str, Any]:
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
        self.checks = SourceChecks(
            self.sources, self.backend, FakeTelemetry(), FakeClock(), recovered=self.recovered.append
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
