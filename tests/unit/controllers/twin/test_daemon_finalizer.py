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
from twinops.controllers.twin.daemon_finalizer import PERIOD_SECONDS, DaemonFinalizerRemoval
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
        self.with_daemon = {"uid-checkout"}
        self.ref = self.twins.add("checkout")
        meta = self.twins.bodies[self.ref.uid]["metadata"]
        meta |= {"finalizers": [DAEMON_FINALIZER, GIVE_BACK_FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        self.store.put(self.twins.bodies[self.ref.uid])
        self.clock = FakeClock()
        self.removal = DaemonFinalizerRemoval(
            self.twins, self.store, self.clock, has_daemon=self.with_daemon.__contains__
        )

    def finalizers(self) -> list[str]:
        found: list[str] = self.twins.bodies[self.ref.uid]["metadata"]["finalizers"]
        return found

    def free(self) -> bool:
        return DAEMON_FINALIZER not in self.finalizers()


@in_fake_time
async def test_a_finalizer_that_kopf_leaves_on_is_taken_off_once_the_daemon_has_ended() -> None:
    scene = Scene()
    scene.removal.start(scene.ref)
    await asyncio.sleep(60)
    assert not scene.free()
    scene.with_daemon.clear()
    await until(scene.free, within=4 * PERIOD_SECONDS)
    assert scene.finalizers() == [GIVE_BACK_FINALIZER]


@in_fake_time
async def test_where_kopf_does_its_part_nobody_is_asked_anything() -> None:
    scene = Scene()
    scene.removal.start(scene.ref)
    scene.removal.start(scene.ref)
    scene.with_daemon.clear()
    await asyncio.sleep(PERIOD_SECONDS / 2)
    scene.store.drop(scene.ref.uid)
    await asyncio.sleep(60)
    assert scene.twins.asked == 0
    await scene.removal.aclose()


@in_fake_time
@pytest.mark.parametrize("error", [Unavailable("503", status=503), Refused("403", status=403)])
async def test_an_error_is_not_the_end(error: ClusterError) -> None:
    scene = Scene()
    scene.with_daemon.clear()
    scene.twins.errors = [error] * 5
    scene.removal.start(scene.ref)
    await until(scene.free, within=30 * PERIOD_SECONDS)


@in_fake_time
async def test_a_twin_that_has_gone_meanwhile_ends_it() -> None:
    scene = Scene()
    scene.with_daemon.clear()
    scene.removal.start(scene.ref)
    scene.twins.remove(scene.ref)
    await asyncio.sleep(10 * PERIOD_SECONDS)
    assert scene.twins.asked == 1


@in_fake_time
async def test_a_deletion_that_no_event_told_of_is_found_by_a_resync() -> None:
    scene = Scene()
    left: list[TwinRecord] = []
    other = scene.twins.add("other")

    class Lister:
        async def list(self, _: Any = ()) -> list[Any]:
            return [await scene.twins.get(scene.ref), await scene.twins.get(other)]

    call = Resync(Lister(), scene.store, scene.clock, gone=lambda _: None, deleting=left.append)
    await call.call()
    assert [record.ref.name for record in left] == ["checkout"]
