"""From decision to outcome: what is written when, and what a fault in between leaves behind."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.levers import FakeLevers
from support.correcting import (
    HPA,
    KUBECTL,
    NOW,
    OURS,
    alert,
    drift,
    hpa,
    observation,
    original,
    risk,
    spec,
    status,
)
from twinops.api.base import utc
from twinops.api.status import CorrectionAction, DigitalTwinStatus, Drift, Outcome
from twinops.api.twin import DigitalTwinSpec
from twinops.core.observation import FieldOwner, Observation
from twinops.errors import ClusterError, Refused, Unavailable
from twinops.services.corrections import CorrectionService, Done, Plan
from twinops.services.ports import TwinRef

REF = TwinRef("shop", "checkout", "twin-uid")
LIMITS = {"limits": {"cpuUsage": 95}}
DOWN = Unavailable("no answer")


class Twin:
    """A twin whose status survives from sync to sync, as on the API server."""

    def __init__(self, *owners: FieldOwner, spec_: DigitalTwinSpec | None = None) -> None:
        self.levers = FakeLevers(hpa(2, *owners))
        self.clock = FakeClock(NOW)
        self.service = CorrectionService(self.levers, self.clock)
        self.spec = spec_ or spec(**LIMITS)
        self.status = status()
        self.risks = [risk()]
        self.cpu = 70.0

    def seen(self) -> Observation:
        lever = self.levers.levers.get(HPA)
        seen = observation(lever or hpa(), cpuUsage=self.cpu)
        return dataclasses.replace(seen, lever=lever, now=self.clock.now())

    async def plan(self, found: Drift | None = None) -> Plan:
        before = self.status.model_copy(update={"last_sync_time": utc(self.clock.now() - 60)})
        return await self.service.plan(REF, self.spec, self.seen(), found or Drift(), self.risks, before, 1)

    async def sync(self) -> tuple[Plan, Done]:
        plan = await self.plan()
        self.status = plan.status
        done = await self.service.carry_out(REF, plan, plan.status) if plan.writes else Done(plan.status)
        self.status = done.status
        return plan, done

    @property
    def outcomes(self) -> list[str]:
        return [f"{record.action.value} {record.to} {record.outcome.value}" for record in self.status.corrections]

    @property
    def live(self) -> tuple[int | None, tuple[FieldOwner, ...]]:
        lever = self.levers.levers[HPA]
        return lever.value, lever.owners


@in_fake_time
async def test_a_raise_from_intent_to_outcome() -> None:
    twin = Twin(KUBECTL)
    plan = await twin.plan()
    assert plan.writes
    assert twin.levers.written == []
    assert plan.status.corrections[-1].outcome is Outcome.PENDING
    assert twin.service.holds(plan.status)
    done = await twin.service.carry_out(REF, plan, plan.status)
    twin.status = done.status
    assert twin.live == (4, (OURS,))
    assert twin.outcomes == ["Raise 4 Applied"]
    assert [held.ours for held in twin.status.originals] == [4]
    told = {(note.involved["kind"], note.involved["uid"], note.reason) for note in done.notes}
    assert told == {
        ("DigitalTwin", "twin-uid", "CorrectionApplied"),
        ("HorizontalPodAutoscaler", "hpa-uid", "CorrectionApplied"),
        ("Deployment", "deployment-uid", "CorrectionApplied"),
    }
    assert done.notes[0].message == (
        "raised spec.minReplicas of HorizontalPodAutoscaler/checkout from 2 to 4: "
        "CPU is foreseen at 118% in 1 minute (limit 95%): ceil(3 x 118/95) = 4 replicas"
    )


@in_fake_time
async def test_a_restart_between_intent_and_write_applies_once() -> None:
    twin = Twin(KUBECTL)
    twin.status = (await twin.plan()).status
    await asyncio.sleep(3600)
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Failed", "Raise 4 Applied"]
    assert twin.levers.written == [4]


@in_fake_time
async def test_a_restart_between_write_and_outcome_applies_nothing_again() -> None:
    twin = Twin(KUBECTL)
    plan = await twin.plan()
    await twin.service.carry_out(REF, plan, plan.status)
    twin.status = plan.status
    await asyncio.sleep(3600)
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Applied"]
    assert twin.levers.written == [4]


@in_fake_time
async def test_an_answer_that_was_lost_is_settled_at_the_next_sync() -> None:
    twin = Twin()
    twin.levers.lost = [DOWN]
    _, done = await twin.sync()
    assert twin.outcomes == ["Raise 4 Pending"]
    assert done.notes == ()
    await asyncio.sleep(60)
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Applied"]
    assert twin.levers.written == [4]


@in_fake_time
async def test_a_request_that_never_arrived_is_made_again() -> None:
    twin = Twin()
    twin.levers.faults = [DOWN]
    await twin.sync()
    await asyncio.sleep(5)
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Failed", "Raise 4 Applied"]


@in_fake_time
async def test_a_refused_write_is_told_and_waits() -> None:
    twin = Twin()
    twin.levers.faults = [Refused("403 forbidden", status=403)]
    _, done = await twin.sync()
    assert twin.outcomes == ["Raise 4 Failed"]
    assert twin.status.originals == []
    assert [note.reason for note in done.notes] == ["CorrectionFailed"]
    await asyncio.sleep(5)
    plan, _ = await twin.sync()
    assert (plan.decision.reason, plan.decision.blocked, plan.decision.message) == (
        "WriteFailed",
        True,
        "403 forbidden",
    )
    await asyncio.sleep(60)
    await twin.sync()
    assert twin.live[0] == 4


@in_fake_time
async def test_a_status_that_moves_meanwhile_does_not_stop_it() -> None:
    twin = Twin(KUBECTL)
    moves = iter(range(2))
    twin.levers.meddle = lambda: twin.levers.edit(HPA) if next(moves, None) is not None else None
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Applied"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"value": 3, "owners": (KUBECTL,)}, id="another value"),
        pytest.param({"owners": (FieldOwner("argocd-controller", "Apply"),)}, id="another owner"),
        pytest.param({"maximum": 3}, id="another maximum"),
        pytest.param({"uid": "made-again"}, id="another object"),
        pytest.param({"controller": "ScaledObject/checkout"}, id="KEDA took it"),
    ],
)
def test_what_was_not_judged_is_not_overwritten(change: dict[str, Any]) -> None:
    @in_fake_time
    async def check() -> None:
        twin = Twin(KUBECTL)
        edits = iter([change])
        twin.levers.meddle = lambda: twin.levers.edit(HPA, **next(edits, {}))
        await twin.sync()
        assert twin.levers.written == []
        assert twin.outcomes == ["Raise 4 Failed"]
        assert twin.status.originals == []

    check()


@in_fake_time
async def test_an_hpa_deleted_meanwhile_is_a_failure_like_others() -> None:
    twin = Twin()
    plan = await twin.plan()
    twin.levers.levers.clear()
    done = await twin.service.carry_out(REF, plan, plan.status)
    assert done.status.corrections[-1].outcome is Outcome.FAILED
    assert done.status.originals == []


@in_fake_time
async def test_ten_minutes_without_need_give_it_back() -> None:
    twin = Twin(KUBECTL)
    await twin.sync()
    twin.risks, twin.cpu = [], 20.0
    for _ in range(10):
        await asyncio.sleep(60)
        await twin.sync()
        assert twin.live[0] == 4
    await asyncio.sleep(60)
    _, done = await twin.sync()
    assert twin.live == (2, (KUBECTL,))
    assert twin.outcomes == ["Raise 4 Applied", "GiveBack 2 Applied"]
    assert not twin.service.holds(twin.status)
    assert twin.status.need_below_since is None
    assert {note.reason for note in done.notes} == {"CorrectionGivenBack"}


@in_fake_time
async def test_an_operator_that_was_away_for_an_hour_looks_for_ten_minutes_first() -> None:
    twin = Twin(KUBECTL)
    await twin.sync()
    twin.risks, twin.cpu = [], 20.0
    await asyncio.sleep(60)
    await twin.sync()
    before = twin.status.model_copy(update={"last_sync_time": utc(twin.clock.now())})
    await asyncio.sleep(3600)
    plan = await twin.service.plan(REF, twin.spec, twin.seen(), Drift(), [], before, 1)
    assert not plan.writes
    assert plan.status.need_below_since == utc(twin.clock.now())


@in_fake_time
async def test_a_value_put_back_is_answered_at_the_next_sync_and_a_fight_is_left() -> None:
    twin = Twin(KUBECTL)
    await twin.sync()
    for expected in (["CorrectionReverted"], ["CorrectionReverted", "CorrectionFight"]):
        await asyncio.sleep(60)
        twin.levers.edit(HPA, value=2, owners=(KUBECTL,))
        plan, done = await twin.sync()
        assert plan.reversions == 1
        reasons = [note.reason for note in plan.notes if note.involved["kind"] == "DigitalTwin"]
        assert reasons == expected
        assert plan.writes is (len(expected) == 1)
        assert len(done.notes) in (0, 3)
    assert twin.live == (2, (KUBECTL,))
    await asyncio.sleep(60)
    plan, _ = await twin.sync()
    assert (plan.decision.reason, plan.decision.blocked) == ("BackedOff", True)
    await asyncio.sleep(900)
    await twin.sync()
    assert twin.live == (4, (OURS,))


@in_fake_time
async def test_a_preview_writes_nothing_and_is_told_once() -> None:
    twin = Twin(KUBECTL, spec_=spec({"mode": "Preview"}, **LIMITS))
    plan, _ = await twin.sync()
    assert [note.reason for note in plan.notes] == ["CorrectionPreviewed"]
    again, _ = await twin.sync()
    assert again.notes == ()
    assert twin.outcomes == ["Raise 4 Previewed"]
    assert twin.levers.written == []
    assert twin.status.recommended_replicas == 4


@in_fake_time
async def test_lasting_drift_that_is_not_eligible_asks_for_a_person_once() -> None:
    twin = Twin()
    twin.risks = []
    found = drift(alert("memoryUsage", eligible=False, not_eligible_reason="replicas do not help", recommendation="x"))
    plan = await twin.plan(found)
    assert [note.reason for note in plan.notes] == ["ReviewNeeded"]
    twin.status = plan.status.model_copy(update={"drift": found})
    assert (await twin.plan(found)).notes == ()


class TestRelease:
    """Giving back outside a sync: suspend, deletion, uninstall."""

    @staticmethod
    async def release(twin: Twin, why: str = "Deleted", deadline: float = 20) -> Done:
        return await twin.service.release(REF, twin.status, why=why, now=twin.clock.now(), deadline_seconds=deadline)

    @in_fake_time
    async def test_everything_goes_back(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        done = await self.release(twin, "Suspended")
        assert done.complete
        assert twin.live == (2, (KUBECTL,))
        record = done.status.corrections[-1]
        assert (record.action, record.trigger, record.outcome) == (
            CorrectionAction.GIVE_BACK,
            "Suspended",
            Outcome.APPLIED,
        )
        assert not twin.service.holds(done.status)
        twin.status = done.status
        again = await self.release(twin)
        assert (again.status, again.notes, again.complete) == (done.status, (), True)

    @in_fake_time
    async def test_an_intent_that_was_interrupted_is_settled_first(self) -> None:
        twin = Twin(KUBECTL)
        plan = await twin.plan()
        await twin.service.carry_out(REF, plan, plan.status)
        twin.status = plan.status
        assert (await self.release(twin)).complete
        assert twin.live == (2, (KUBECTL,))

    @in_fake_time
    async def test_somebody_elses_value_stays(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        twin.levers.edit(HPA, value=5, owners=(KUBECTL,))
        done = await self.release(twin)
        assert done.complete
        assert twin.live == (5, (KUBECTL,))

    @in_fake_time
    async def test_an_object_that_is_gone_holds_nothing_up(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        twin.levers.levers.clear()
        done = await self.release(twin)
        assert done.complete
        assert not twin.service.holds(done.status)

    @pytest.mark.parametrize("fault", [DOWN, Refused("403", status=403)])
    def test_what_could_not_be_given_back_is_tried_again(self, fault: ClusterError) -> None:
        @in_fake_time
        async def check() -> None:
            twin = Twin(KUBECTL)
            await twin.sync()
            twin.levers.faults = [fault]
            done = await self.release(twin)
            assert not done.complete
            assert twin.service.holds(done.status)
            twin.status = done.status
            assert (await self.release(twin)).complete

        check()

    @in_fake_time
    async def test_a_deadline_ends_an_api_server_that_never_answers(self) -> None:
        class Silent(FakeLevers):
            async def read(self, *_: Any) -> Any:
                await asyncio.sleep(3600)

        twin = Twin()
        held = DigitalTwinStatus(originals=[original(2)])
        before = twin.clock.monotonic()
        service = CorrectionService(Silent(), twin.clock)
        done = await service.release(REF, held, why="Deleted", now=NOW, deadline_seconds=20)
        assert not done.complete
        assert twin.clock.monotonic() - before <= 21

    @in_fake_time
    async def test_a_hand_over_that_was_interrupted_is_finished(self) -> None:
        twin = Twin(FieldOwner("kubectl", "Apply"), spec_=spec({"ownershipPolicy": "Force"}, **LIMITS))
        await twin.sync()
        twin.levers.faults = [None, DOWN]
        done = await self.release(twin)
        assert not done.complete
        assert twin.live == (2, (OURS,))
        twin.status = done.status
        assert (await self.release(twin)).complete
        assert twin.live == (2, (FieldOwner("kubectl", "Apply"),))
