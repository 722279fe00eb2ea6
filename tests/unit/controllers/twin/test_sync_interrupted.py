"""A sync that ends at any of its awaits: by a crash, a cancellation, a restart, or because its twin goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes.clock import in_fake_time
from support.correcting import HPA
from support.sync_scene import CALM, SyncScene, compute_inline
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.state import TwinState

Interrupt = Callable[[SyncScene], Awaitable[None]]

CALM_POINTS, DUE_POINTS = 12, 21
"""Requests of a sync without and with a correction, each counted when it is sent and when its answer arrives."""


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_inline(monkeypatch)


async def at(scene: SyncScene, number: int, act: Callable[[], Awaitable[None] | None]) -> None:
    """Sync as the daemon does, and do something at the await of this number. A cancelled daemon starts again."""
    scene.journal.acts[number] = act
    syncing = asyncio.ensure_future(scene.run(1))
    scene.task = syncing
    await asyncio.wait({syncing})
    assert not scene.journal.acts, "there is no such await"
    if syncing.cancelled():
        record = scene.store.get(scene.ref.uid)
        assert record is not None
        scene.store.forget(record)
    else:
        syncing.result()


def crash() -> None:
    raise RuntimeError("a defect")


async def scene_of(*, due: bool) -> SyncScene:
    """Return a scene whose next sync makes a correction, or one where nothing is due; each keeps its rules."""
    scene = SyncScene()
    if due:
        await scene.until_due()
    else:
        await scene.run(1)
        scene.journal.clear()

    def guarded() -> None:
        """Nothing is changed before the saved value stands in status, and the finalizer before a deletion."""
        assert scene.guarded
        assert [each["value"] for each in scene.status["originals"]] == [2]

    scene.journal.hooks["levers.write"] = guarded
    return scene


@in_fake_time
async def test_how_many_awaits_there_are() -> None:
    for due, points in ((False, CALM_POINTS), (True, DUE_POINTS)):
        scene = await scene_of(due=due)
        await scene.run(1)
        assert len(scene.journal.points) == points


@pytest.mark.parametrize("number", range(DUE_POINTS))
@pytest.mark.parametrize("how", ["crash", "cancel", "restart"])
def test_the_next_sync_makes_the_correction_once(how: str, number: int) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of(due=True)
        await at(scene, number, crash if how == "crash" else scene.cancel)
        if how == "restart":
            scene.start()
        await scene.run(8)
        assert (scene.floor, scene.levers.written) == (5, [5])
        assert [(each["value"], each["ours"]) for each in scene.status["originals"]] == [(2, 5)]
        assert scene.outcomes.count("Applied") == 1
        assert scene.outcomes[-1] == "Applied"
        assert scene.guarded
        told = [(event.reason, event.about.kind) for event in scene.events.posted if "Correction" in event.reason]
        assert len(told) == len(set(told)), "no Event twice"
        [ready] = [each for each in scene.status["conditions"] if each["type"] == "Ready"]
        assert ready["status"] == "True"

    with capture_logs():
        check()


@pytest.mark.parametrize("number", range(CALM_POINTS))
@pytest.mark.parametrize("how", ["crash", "cancel", "restart"])
def test_without_a_correction_the_next_sync_goes_on_and_nothing_is_changed(how: str, number: int) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of(due=False)
        await at(scene, number, crash if how == "crash" else scene.cancel)
        if how == "restart":
            scene.start()
        await scene.run(3)
        assert (scene.floor, scene.levers.written, scene.guarded) == (2, [], False)
        assert scene.status["lastSyncTime"]
        [ready] = [each for each in scene.status["conditions"] if each["type"] == "Ready"]
        assert (ready["status"], ready["reason"]) == ("True", "Synced")
        healthy = [event for event in scene.events.posted if event.reason == "Healthy"]
        assert len(healthy) <= 1

    with capture_logs():
        check()


RESTORES: dict[str, tuple[dict[str, Any], int]] = {
    "suspended": ({"suspend": True}, 8),
    "switched off": ({"autoCorrection": {"enabled": False}}, 20),
}
"""What makes a twin restore what it holds, and the number of points of such a sync."""


async def scene_of_restore(how: str) -> SyncScene:
    """Return a scene that has raised the value, and whose next sync restores it."""
    scene = SyncScene()
    await scene.until_due()
    await scene.run(1)
    scene.body["spec"] |= RESTORES[how][0]
    scene.twins.edit(scene.ref, spec=True)
    scene.see()
    scene.gatherer.values["cpuUsage"] = CALM
    scene.journal.clear()
    return scene


@pytest.mark.parametrize("why", RESTORES)
def test_how_many_awaits_a_restore_has(why: str) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of_restore(why)
        await scene.run(1)
        assert (len(scene.journal.points), scene.floor) == (RESTORES[why][1], 2)

    check()


@pytest.mark.parametrize(
    ("why", "number"), [(why, number) for why, (_, points) in RESTORES.items() for number in range(points)]
)
@pytest.mark.parametrize("how", ["crash", "cancel", "restart"])
def test_what_is_held_is_restored_once(how: str, why: str, number: int) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of_restore(why)
        await at(scene, number, crash if how == "crash" else scene.cancel)
        if scene.floor == 5:
            assert scene.guarded, "until it is restored"
            assert [each["value"] for each in scene.status["originals"]] == [2]
        if how == "restart":
            scene.start()
        await scene.run(8)
        assert (scene.floor, scene.levers.written) == (2, [5, 2])
        assert ("originals" in scene.status, scene.guarded) == (False, False)

    with capture_logs():
        check()


async def go_while_syncing(scene: SyncScene, number: int, go: Callable[[], object]) -> None:
    """Let the twin go at the await of this number, and its daemon end after that sync."""
    record = scene.store.get(scene.ref.uid)
    assert record is not None
    scene.journal.acts[number] = lambda: (go(), None)[1]
    await scene.sync()
    scene.store.forget(record)


@pytest.mark.parametrize("number", range(DUE_POINTS))
@pytest.mark.parametrize("how", ["vanishes", "is re-created"])
def test_of_a_twin_that_is_gone_nothing_remains_but_the_saved_value_beside_the_raised_one(
    how: str, number: int
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of(due=True)
        scene.journal.hooks.clear()
        await go_while_syncing(scene, number, scene.vanish if how == "vanishes" else scene.recreate)
        assert scene.store.get(scene.ref.uid) is None
        assert scene.ref not in scene.telemetry.twins
        if how == "is re-created":
            [new] = scene.twins.bodies.values()
            assert (new["status"], new["metadata"].get("finalizers")) == ({}, None), "another twin is not written to"
        lever = scene.levers.levers[HPA]
        assert lever.value == 2 or lever.original_annotation
        assert await scene.sync() is None

    with capture_logs():
        check()


@pytest.mark.parametrize("number", range(DUE_POINTS))
def test_of_a_twin_that_is_deleted_the_finalizer_stands_until_what_was_raised_is_restored(number: int) -> None:
    @in_fake_time
    async def check() -> None:
        scene = await scene_of(due=True)
        scene.journal.hooks.clear()
        await go_while_syncing(scene, number, scene.begin_deletion)
        assert len(scene.levers.written) <= 1
        if scene.floor == 2:
            assert "Applied" not in (scene.outcomes if scene.ref.uid in scene.twins.bodies else [])
            return
        assert scene.guarded
        state = TwinState.from_status(DigitalTwinStatus.from_wire(dict(scene.status)))
        done = await scene.corrections.restore_all(
            scene.ref, state, trigger=RestoreTrigger.DELETED, now=scene.clock.now(), deadline_seconds=20
        )
        assert (done.complete, scene.floor) == (True, 2)

    with capture_logs():
        check()
