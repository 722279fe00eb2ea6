"""Twins that are being deleted go, whatever becomes of kopf's own way to let them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from fakes.twins import FakeTwins
from twinops.api import DAEMON_FINALIZER, GIVE_BACK_FINALIZER
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.resync import Resync
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.departures import PATIENCE, Departures
from twinops.errors import ClusterError, Refused, Unavailable
from twinops.ports.kubernetes import TwinRef


class Moody(FakeTwins):
    """Fails to set finalizers as often as told, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[ClusterError] = []
        self.asked = 0

    async def get(self, ref: TwinRef) -> Any:
        self.asked += 1
        return await super().get(ref)

    async def set_finalizers(self, ref: TwinRef, finalizers: Any, **more: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return await super().set_finalizers(ref, finalizers, **more)


class Scene:
    """One twin that is being deleted, with both finalizers on."""

    def __init__(self) -> None:
        self.twins = Moody()
        self.store = TwinStore()
        self.serving = {"uid-checkout"}
        self.ref = self.twins.add("checkout")
        meta = self.twins.bodies[self.ref.uid]["metadata"]
        meta |= {"finalizers": [DAEMON_FINALIZER, GIVE_BACK_FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        self.store.put(self.twins.bodies[self.ref.uid])
        self.clock = FakeClock()
        self.departures = Departures(self.twins, self.store, self.clock, serves=self.serving.__contains__)

    def finalizers(self) -> list[str]:
        found: list[str] = self.twins.bodies[self.ref.uid]["metadata"]["finalizers"]
        return found

    def free(self) -> bool:
        return DAEMON_FINALIZER not in self.finalizers()


@in_fake_time
async def test_a_finalizer_that_kopf_leaves_on_is_taken_off_once_the_daemon_has_ended() -> None:
    scene = Scene()
    scene.departures.start(scene.ref)
    await asyncio.sleep(60)
    assert not scene.free()
    scene.serving.clear()
    await until(scene.free, within=4 * PATIENCE)
    assert scene.finalizers() == [GIVE_BACK_FINALIZER]


@in_fake_time
async def test_where_kopf_does_its_part_nobody_is_asked_anything() -> None:
    scene = Scene()
    scene.departures.start(scene.ref)
    scene.departures.start(scene.ref)
    scene.serving.clear()
    await asyncio.sleep(PATIENCE / 2)
    scene.store.drop(scene.ref.uid)
    await asyncio.sleep(60)
    assert scene.twins.asked == 0
    await scene.departures.aclose()


@in_fake_time
@pytest.mark.parametrize("error", [Unavailable("503", status=503), Refused("403", status=403)])
async def test_an_error_is_not_the_end(error: ClusterError) -> None:
    scene = Scene()
    scene.serving.clear()
    scene.twins.errors = [error] * 5
    scene.departures.start(scene.ref)
    await until(scene.free, within=30 * PATIENCE)


@in_fake_time
async def test_a_twin_that_has_gone_meanwhile_ends_it() -> None:
    scene = Scene()
    scene.serving.clear()
    scene.departures.start(scene.ref)
    scene.twins.remove(scene.ref)
    await asyncio.sleep(10 * PATIENCE)
    assert scene.twins.asked == 1


@in_fake_time
async def test_a_deletion_that_no_event_told_of_is_found_by_the_roll_call() -> None:
    scene = Scene()
    left: list[TwinRecord] = []
    other = scene.twins.add("other")

    class Lister:
        async def list(self, _: Any = ()) -> list[Any]:
            return [await scene.twins.get(scene.ref), await scene.twins.get(other)]

    call = Resync(Lister(), scene.store, scene.clock, gone=lambda _: None, leaving=left.append)
    await call.call()
    assert [record.ref.name for record in left] == ["checkout"]
