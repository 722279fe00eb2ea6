"""Twins that are being deleted: what they hold goes back first, and their finalizer goes in any case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from fakes.clock import FakeClock, in_fake_time, until
from fakes.events import FakeEvents
from fakes.levers import FakeLevers
from fakes.twins import FakeTwins
from support.correcting import HPA, KUBECTL, NOW, OURS, hpa, original, status
from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.deletion_restores import DEADLINE, DeletionRestores
from twinops.errors import Unavailable
from twinops.ports.kubernetes import TwinRef

DAEMON = "twinops.dev/daemon"


class Scene:
    """One twin that holds a raised minimum and is being deleted."""

    def __init__(self, twins: FakeTwins | None = None) -> None:
        self.clock = FakeClock(NOW)
        self.twins = twins or FakeTwins()
        self.levers = FakeLevers(hpa(6, OURS))
        self.events = FakeEvents()
        self.syncing: set[str] = set()
        held = status(originals=[original(2, ours=6)]).to_wire()
        self.ref = self.twins.add("checkout", status=held)
        self.twins.bodies[self.ref.uid]["metadata"]["finalizers"] = [DAEMON, GIVE_BACK_FINALIZER]
        corrections = CorrectionService(self.levers, self.clock)
        self.releases = DeletionRestores(
            self.twins, corrections, self.events, self.clock, busy=self.syncing.__contains__
        )

    @property
    def finalizers(self) -> list[str]:
        found: list[str] = self.twins.bodies[self.ref.uid]["metadata"]["finalizers"]
        return found

    def free(self) -> bool:
        return GIVE_BACK_FINALIZER not in self.finalizers


@asynccontextmanager
async def released(scene: Scene) -> AsyncIterator[None]:
    scene.releases.start(scene.ref)
    try:
        yield
    finally:
        await scene.releases.aclose()


@in_fake_time
async def test_what_is_held_goes_back_and_then_the_finalizer() -> None:
    scene = Scene()
    async with released(scene):
        await until(scene.free)
    assert (scene.levers.levers[HPA].value, scene.levers.levers[HPA].owners) == (2, (KUBECTL,))
    assert scene.finalizers == [DAEMON]
    assert set(scene.events.reasons) == {"CorrectionGivenBack"}


@in_fake_time
async def test_an_error_nobody_thought_of_does_not_end_it() -> None:
    scene = Scene()
    crashes = iter([RuntimeError("a bug"), KeyError("another one")])

    def crash() -> None:
        if error := next(crashes, None):
            raise error

    scene.levers.meddle = crash
    with capture_logs() as logs:
        async with released(scene):
            await until(scene.free)
    assert [log["event"] for log in logs].count("give back crashed") == 2
    assert scene.levers.levers[HPA].value == 2


@in_fake_time
async def test_a_bug_that_stays_lets_the_twin_go_at_the_deadline() -> None:
    scene = Scene()

    def crash() -> None:
        raise RuntimeError("a bug")

    scene.levers.meddle = crash
    before = scene.clock.monotonic()
    with capture_logs() as logs:
        async with released(scene):
            await until(scene.free, within=DEADLINE + 60)
    assert {log["event"] for log in logs} == {"give back crashed", "given up on giving back"}
    assert scene.clock.monotonic() - before >= DEADLINE
    assert scene.events.reasons == ["GiveBackFailed"]


@in_fake_time
async def test_originals_that_cannot_be_read_do_not_keep_a_twin_for_ever() -> None:
    scene = Scene()
    scene.twins.edit(scene.ref, status={"originals": [{"what": "is this"}]})
    async with released(scene):
        await until(scene.free, within=DEADLINE + 60)
    assert scene.events.reasons == ["GiveBackFailed"]
    assert scene.levers.written == []


@in_fake_time
async def test_it_waits_for_a_sync_that_runs() -> None:
    scene = Scene()
    scene.syncing.add(scene.ref.uid)
    async with released(scene):
        await asyncio.sleep(30)
        assert (scene.free(), scene.levers.written) == (False, [])
        scene.syncing.clear()
        await until(scene.free)
    assert scene.levers.levers[HPA].value == 2


@in_fake_time
async def test_it_does_not_wait_for_ever_for_a_sync() -> None:
    scene = Scene()
    scene.syncing.add(scene.ref.uid)
    async with released(scene):
        await until(scene.free, within=DEADLINE + 60)
    assert scene.levers.levers[HPA].value == 2


@in_fake_time
async def test_an_api_server_that_is_down_at_the_deadline_is_asked_again() -> None:
    down = True

    class Unreachable(FakeTwins):
        async def get(self, ref: TwinRef) -> Mapping[str, Any]:
            if down:
                raise Unavailable("no answer", status=503)
            return await super().get(ref)

    scene = Scene(Unreachable())
    async with released(scene):
        await asyncio.sleep(DEADLINE * 2)
        assert not scene.free()
        down = False
        await until(scene.free)
    assert scene.levers.levers[HPA].value == 2
