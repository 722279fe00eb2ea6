"""Whether sources answer, and who learns that they do again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.sources import FakeSources
from fakes.telemetry import FakeTelemetry
from support.writers import source_writer
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.source.status import MetricsSourceStatus
from twinops.controllers.source.checks import (
    CHECKS_AT_ONCE,
    DOWN_PERIOD_SECONDS,
    PERIOD_SECONDS,
    SourceChecks,
)
from twinops.controllers.source.probe import PROBE_SECONDS
from twinops.core.metrics.queries import InstantAnswer
from twinops.errors import ClusterError, Conflict, LeadershipLost, MetricsUnavailable, NotFound, Refused, Unavailable
from twinops.ports.kubernetes import SourceRef
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

SPEC = MetricsSourceSpec(url="http://prometheus:9090")


class Sources(FakeSources):
    """One source; what is written into its status is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.ref = self.add("default")
        self.written: list[MetricsSourceStatus] = []

    async def write_status(
        self, ref: SourceRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        body = await super().write_status(ref, status, resource_version=resource_version)
        self.written.append(MetricsSourceStatus.from_wire(body["status"]))
        return body


class Backend:
    """Counts probes; may be down. ``at_first`` is called while the first probe is under way."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0
        self.at_first: Callable[[], None] = lambda: None

    async def instant(self, _: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        assert at > 0
        if self.asked == 0:
            self.at_first()
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
        self.telemetry, self.clock = FakeTelemetry(), FakeClock()
        self.leading = True
        self.checks = SourceChecks(
            self.sources,
            self.backend,
            source_writer(self.sources, self.clock, self.telemetry, self.fence),
            self.telemetry,
            self.clock,
            recovered=self.recovered.append,
        )
        self.checks.check_now("default")

    def fence(self) -> None:
        if not self.leading:
            raise LeadershipLost("not leading")

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
    scene.sources.read_fault = Refused("GET metricssources/default: 403", status=403)
    await asyncio.sleep(2 * PERIOD_SECONDS)
    assert scene.telemetry.sources == {}
    scene.sources.read_fault = None
    await asyncio.sleep(2 * 15.0)
    assert scene.telemetry.sources == {"default": True}
    running.cancel()


@in_fake_time
async def test_a_mended_secret_is_found_soon_and_the_twins_are_woken() -> None:
    scene = Scene()
    scene.sources.secret_missing = True
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    assert scene.ready == [("False", "MetricsSourceInvalid")]
    scene.sources.secret_missing = False
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
    scene.sources.remove(scene.sources.ref)
    await _live(scene, 5 * PERIOD_SECONDS)
    assert scene.backend.asked == 0
    assert scene.sources.written == []


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [
        pytest.param([Unavailable("429", status=429, retry_after=3.0)], 4.0, id="asked to wait"),
        pytest.param([Unavailable("429", status=429, retry_after=8.0)], 8.0 + 15.0, id="for long"),
        pytest.param([Unavailable("500", status=500)], 1.5, id="failed once"),
        pytest.param([Refused("403", status=403)], DOWN_PERIOD_SECONDS, id="refused once"),
        pytest.param([Conflict("409")] * 2, DOWN_PERIOD_SECONDS, id="a source that keeps changing"),
    ],
)
@in_fake_time
async def test_a_status_that_is_not_taken_is_written_soon_after(faults: list[ClusterError], seconds: float) -> None:
    scene = Scene()
    scene.sources.faults = faults
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(0.5)
    assert scene.ready == []
    assert scene.telemetry.sources == {"default": True}, "whether it answers is known"
    await asyncio.sleep(seconds)
    assert scene.ready == [("True", "Answering")]
    await asyncio.sleep(3 * PERIOD_SECONDS)
    assert scene.ready == [("True", "Answering")]
    running.cancel()


@pytest.mark.parametrize(
    ("spec", "status", "written"),
    [
        pytest.param(False, None, 1, id="labels"),
        pytest.param(True, None, 0, id="the spec: it is probed again"),
        pytest.param(False, {"observedGeneration": 1}, 0, id="the status: another leader wrote it"),
    ],
)
@in_fake_time
async def test_a_source_that_changes_while_it_is_probed(
    *, spec: bool, status: Mapping[str, Any] | None, written: int
) -> None:
    scene = Scene()
    scene.backend.at_first = lambda: scene.sources.edit(scene.sources.ref, spec=spec, status=status)
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    assert len(scene.sources.written) == written
    assert scene.telemetry.writes == ({"material": 1} if written else {"conflict": 1})
    await asyncio.sleep(DOWN_PERIOD_SECONDS)
    assert scene.ready == [("True", "Answering")]
    assert scene.sources.written[-1].observed_generation == 1 + spec
    running.cancel()


@in_fake_time
async def test_without_the_lease_no_status_is_written() -> None:
    scene = Scene()
    scene.leading = False
    await _live(scene, PERIOD_SECONDS)
    assert scene.sources.attempts == 0
    assert scene.backend.asked >= 2
    assert set(scene.telemetry.writes) == {"fenced"}


@in_fake_time
async def test_a_source_made_anew_while_it_is_probed_is_checked_again() -> None:
    scene = Scene()

    def make_anew() -> None:
        scene.sources.remove(scene.sources.ref)
        scene.sources.keep(SourceRef("", "default", "uid-successor"), {}, None)

    scene.backend.at_first = make_anew
    running = asyncio.create_task(scene.checks.run())
    await asyncio.sleep(1)
    assert scene.telemetry.writes == {"gone": 1}
    await asyncio.sleep(DOWN_PERIOD_SECONDS)
    assert scene.ready == [("True", "Answering")]
    assert scene.telemetry.sources == {"default": True}
    running.cancel()


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
            source_writer(self, self.clock, self.telemetry),
            self.telemetry,
            self.clock,
            recovered=lambda _: None,
            failed=lambda name, _: self.failed.append(name),
        )

    async def access(self, name: str) -> SourceAccess:
        return SourceAccess(name, SPEC)

    async def read(self, name: str) -> Mapping[str, Any]:
        if name in self.gone:
            raise NotFound("gone", status=404)
        return {"metadata": {"name": name, "uid": "s1", "resourceVersion": "1", "generation": 1}}

    async def get(self, ref: SourceRef) -> Mapping[str, Any]:
        return await self.read(ref.name)

    async def write_status(
        self, ref: SourceRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        del status, resource_version
        self.written.setdefault(ref.name, []).append(self.clock.monotonic())
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
        fleet.checks.check_now(f"hung-{number}")
    await asyncio.sleep(4 * PROBE_SECONDS)
    began = fleet.clock.monotonic()
    fleet.checks.check_now("new")
    await asyncio.sleep(4 * PERIOD_SECONDS)
    assert fleet.written["new"][0] - began < 1
    assert 4 <= len(fleet.asked["new"]) <= 6
    running.cancel()


@in_fake_time
async def test_a_source_that_hangs_is_looked_at_less_and_less_often_and_its_failures_are_told() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.check_now("hung")
    await asyncio.sleep(300)
    running.cancel()
    times = fleet.asked["hung"]
    pauses = [later - earlier - PROBE_SECONDS for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= DOWN_PERIOD_SECONDS
    assert DOWN_PERIOD_SECONDS < pauses[-1] <= 15.0
    assert len(fleet.failed) >= 10
    assert fleet.telemetry.sources == {"hung": False}


@in_fake_time
async def test_a_source_that_goes_while_it_is_asked_leaves_nothing_behind() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.check_now("hung")
    await asyncio.sleep(PROBE_SECONDS * 2.2)
    assert fleet.telemetry.sources == {"hung": False}
    fleet.gone.add("hung")
    fleet.checks.forget("hung")
    await asyncio.sleep(300)
    running.cancel()
    assert fleet.telemetry.sources == {}
    assert fleet.checks._checked == {}


@in_fake_time
async def test_a_source_that_went_unseen_is_not_brought_back_by_its_own_check() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.check_now("well")
    await asyncio.sleep(1)
    fleet.gone.add("well")
    await asyncio.sleep(2 * PERIOD_SECONDS)
    running.cancel()
    assert fleet.telemetry.sources == {}
    assert fleet.checks._checked == {}


@in_fake_time
async def test_complaints_bring_the_next_look_forward_but_are_no_storm() -> None:
    fleet = Fleet()
    running = asyncio.create_task(fleet.checks.run())
    fleet.checks.check_now("well")
    for _ in range(200):
        await asyncio.sleep(0.1)
        fleet.checks.check_soon("well")
        fleet.checks.check_soon("unknown")
    running.cancel()
    assert 4 <= len(fleet.asked["well"]) <= 5
    assert "unknown" not in fleet.asked
