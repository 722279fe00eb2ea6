"""What uninstalling does to twins: originals go back, finalizers come off, and what could not be done is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.events import FakeEvents
from fakes.levers import FakeLevers
from fakes.twins import FakeTwins
from support.correcting import HPA, KUBECTL, NOW, OURS, hpa, original, status
from twinops.api import DAEMON_FINALIZER, GIVE_BACK_FINALIZER
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord
from twinops.api.twin.corrections import Outcome as CorrectionOutcome
from twinops.api.twin.spec import CorrectionMode
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.uninstall import Uninstall, UninstallResult
from twinops.core.correction.saved_annotation import annotation_text
from twinops.errors import ClusterError, NotFound, Refused, Unavailable
from twinops.ports.kubernetes import TwinRef

DEADLINE = 120.0


class Listed(FakeTwins):
    """Twins that can be listed, and fail as told."""

    def __init__(self) -> None:
        super().__init__()
        self.list_faults: list[ClusterError] = []
        self.patch_faults: list[ClusterError] = []
        self.patched = 0

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        if self.list_faults:
            raise self.list_faults.pop(0)
        found = list(self.bodies.values())
        return [one for one in found if not namespaces or one["metadata"]["namespace"] in namespaces]

    async def set_finalizers(self, ref: TwinRef, finalizers: Sequence[str], **more: Any) -> Any:
        self.patched += 1
        if self.patch_faults:
            raise self.patch_faults.pop(0)
        return await super().set_finalizers(ref, finalizers, **more)


class Scene:
    """A twin that holds a raised minimum, and one that holds nothing but kopf's finalizer."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.twins = Listed()
        self.levers = FakeLevers(hpa(6, OURS))
        self.events = FakeEvents()
        self.lines: list[str] = []
        self.holder = self.twins.add("checkout", status=status(originals=[original(2, ours=6)]).to_wire())
        self.other = self.twins.add("search")
        self.finalizers(self.holder)[:] = [DAEMON_FINALIZER, "somebody/else", GIVE_BACK_FINALIZER]
        self.finalizers(self.other)[:] = [DAEMON_FINALIZER]
        corrections = CorrectionService(self.levers, self.clock)
        self.work = Uninstall(self.twins, self.levers, corrections, self.events, self.clock, tell=self.lines.append)

    def finalizers(self, ref: TwinRef) -> list[str]:
        found: list[str] = self.twins.bodies[ref.uid]["metadata"].setdefault("finalizers", [])
        return found

    async def run(self, **options: Any) -> UninstallResult:
        return await self.work.run(**({"deadline_seconds": DEADLINE} | options))


@in_fake_time
async def test_originals_go_back_and_finalizers_come_off() -> None:
    scene = Scene()
    outcome = await scene.run()
    assert (outcome.twins, outcome.restored, outcome.freed, outcome.failures) == (2, 1, 2, [])
    assert (scene.levers.levers[HPA].value, scene.levers.levers[HPA].owners) == (2, (KUBECTL,))
    assert (scene.finalizers(scene.holder), scene.finalizers(scene.other)) == (["somebody/else"], [])
    record = scene.twins.bodies[scene.holder.uid]["status"]["corrections"][-1]
    assert (record["action"], record["trigger"], record["outcome"]) == ("GiveBack", "Uninstalled", "Applied")
    assert "originals" not in scene.twins.bodies[scene.holder.uid]["status"]
    assert "CorrectionGivenBack" in scene.events.reasons
    assert sorted(scene.lines) == [
        "shop/checkout: gave back HorizontalPodAutoscaler checkout spec.minReplicas=2",
        "shop/checkout: let go",
        "shop/search: let go",
    ]


@pytest.mark.parametrize("lands", [True, False])
def test_a_raise_that_was_given_up_is_waited_for(*, lands: bool) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.levers.levers[HPA] = hpa(2, KUBECTL)
        given_up = CorrectionRecord(
            id="raise-6",
            time=utc(NOW),
            action=CorrectionAction.RAISE,
            mode=CorrectionMode.APPLY,
            object=HPA,
            field="spec.minReplicas",
            to=6,
            trigger="Risk/cpuUsage",
            why="CPU",
            outcome=CorrectionOutcome.PENDING,
        )
        held = status(originals=[original(2, ours=None)], corrections=[given_up])
        scene.twins.edit(scene.holder, status=held.to_wire())
        scene.finalizers(scene.other).clear()
        if lands:
            asyncio.get_running_loop().call_later(
                60, lambda: scene.levers.edit(HPA, value=6, owners=(OURS,), resource_version="1")
            )
        outcome = await scene.run(deadline_seconds=300)
        assert (outcome.failures, scene.finalizers(scene.holder)) == ([], ["somebody/else"])
        assert (scene.levers.levers[HPA].value, scene.levers.levers[HPA].owners) == (2, (KUBECTL,))
        assert outcome.restored == lands

    check()


@in_fake_time
async def test_once_more_does_nothing() -> None:
    scene = Scene()
    await scene.run()
    scene.lines.clear()
    written, patched, attempts = len(scene.levers.written), scene.twins.patched, scene.twins.attempts
    outcome = await scene.run()
    assert (outcome.restored, outcome.freed, outcome.complete, scene.lines) == (0, 0, True, [])
    assert (len(scene.levers.written), scene.twins.patched, scene.twins.attempts) == (written, patched, attempts)


@in_fake_time
async def test_a_dry_run_changes_nothing() -> None:
    scene = Scene()
    outcome = await scene.work.preview()
    assert (outcome.twins, outcome.restored, outcome.freed) == (2, 1, 2)
    assert (scene.levers.written, scene.twins.attempts, scene.twins.patched) == ([], 0, 0)
    assert scene.lines == [
        "shop/checkout: would give back HorizontalPodAutoscaler checkout spec.minReplicas=2",
        "shop/checkout: would take off twinops.dev/daemon, twinops.dev/give-back",
        "shop/search: would take off twinops.dev/daemon",
    ]


def away(scene: Scene) -> None:
    scene.twins.list_faults = [Unavailable("503", status=503)] * 2
    scene.levers.faults = [Unavailable("503", status=503)] * 2
    scene.twins.patch_faults = [Unavailable("503", status=503)] * 2


def answer_lost(scene: Scene) -> None:
    scene.levers.lost = [Unavailable("time-out")]


def twin_edited(scene: Scene) -> None:
    edits = iter([True])

    def edit() -> None:
        if next(edits, False):
            scene.twins.edit(scene.holder, spec=True)

    scene.levers.meddle = edit


@in_fake_time
@pytest.mark.parametrize("trouble", [away, answer_lost, twin_edited])
async def test_trouble_that_passes_is_outlasted(trouble: Callable[[Scene], None]) -> None:
    scene = Scene()
    trouble(scene)
    outcome = await scene.run()
    assert (outcome.failures, outcome.freed) == ([], 2)
    assert scene.levers.levers[HPA].value == 2
    assert scene.finalizers(scene.holder) == ["somebody/else"]
    assert "originals" not in scene.twins.bodies[scene.holder.uid]["status"]


@in_fake_time
async def test_what_is_refused_is_named_and_holds_up_nobody() -> None:
    scene = Scene()
    scene.levers.faults = [Refused("403 forbidden", status=403)] * 100
    before = scene.clock.monotonic()
    outcome = await scene.run()
    assert scene.clock.monotonic() - before < DEADLINE
    (failure,) = outcome.failures
    assert "shop/checkout: not given back: HorizontalPodAutoscaler checkout spec.minReplicas=2" in failure
    assert scene.finalizers(scene.holder) == ["somebody/else"], "it could not be deleted otherwise"
    assert scene.twins.bodies[scene.holder.uid]["status"]["originals"], "the next run tries again"
    scene.levers.faults = []
    assert (await scene.run()).complete
    assert scene.levers.levers[HPA].value == 2


@in_fake_time
@pytest.mark.parametrize("deadline", [60.0, 120.0])
async def test_it_ends_in_time_whatever_is_away(deadline: float) -> None:
    scene = Scene()
    scene.levers.faults = [Unavailable("503", status=503)] * 1000
    scene.twins.patch_faults = [Unavailable("503", status=503)] * 1000
    before = scene.clock.monotonic()
    outcome = await scene.run(deadline_seconds=deadline)
    assert scene.clock.monotonic() - before < deadline + 20
    assert len(outcome.failures) == 3


@in_fake_time
async def test_originals_that_cannot_be_read_are_named() -> None:
    scene = Scene()
    scene.twins.edit(scene.holder, status={"originals": [{"what": "is this"}]})
    outcome = await scene.run()
    assert len(outcome.failures) == 1
    assert scene.levers.written == []
    assert scene.finalizers(scene.holder) == ["somebody/else"]


@in_fake_time
async def test_without_definitions_there_is_nothing_to_do() -> None:
    scene = Scene()
    scene.twins.list_faults = [NotFound("404", status=404)]
    assert (await scene.run()).complete
    assert scene.lines == []


@in_fake_time
async def test_only_the_namespaces_that_are_served() -> None:
    scene = Scene()
    assert (await scene.run(namespaces=("pay",))).twins == 0
    assert scene.finalizers(scene.other) == [DAEMON_FINALIZER]


@in_fake_time
async def test_what_a_status_has_lost_is_found_beside_the_raised_value() -> None:
    scene = Scene()
    lost = annotation_text(original(2, ours=None), 6, "checkout")
    scene.levers.edit(HPA, original_annotation=lost)
    body = scene.twins.bodies[scene.holder.uid]
    body["spec"] = {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}}
    scene.twins.edit(scene.holder, status={})
    assert (await scene.work.preview()).restored == 1
    outcome = await scene.run()
    assert (outcome.restored, outcome.failures) == (1, [])
    assert (scene.levers.levers[HPA].value, scene.levers.levers[HPA].owners) == (2, (KUBECTL,))
