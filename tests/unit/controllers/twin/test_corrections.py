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
    SCALE,
    alert,
    drift,
    hpa,
    observation,
    original,
    risk,
    scale,
    spec,
    state,
)
from support.planning import planned
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, Outcome
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.corrections import CorrectionService, Done
from twinops.core.correction.plan import Plan
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.saved_annotation import annotation_on_twin
from twinops.core.events import about_twin, about_workload, of_twin
from twinops.core.lever import FieldOwner
from twinops.core.observation import Observation
from twinops.core.state import TwinState
from twinops.errors import ClusterError, Conflict, Refused, Unavailable
from twinops.ports.kubernetes import TwinRef

REF = TwinRef("shop", "checkout", "twin-uid")
LIMITS = {"limits": {"cpuUsage": 95}}
DOWN = Unavailable("no answer")
NO_RIGHT = (
    "PATCH /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/checkout: 403 "
    'horizontalpodautoscalers.autoscaling "checkout" is forbidden: User "system:serviceaccount:twinops:twinops" '
    'cannot patch resource "horizontalpodautoscalers" in API group "autoscaling" in the namespace "shop"'
)
"""As RBAC refuses."""


class Twin:
    """A twin whose status survives from sync to sync, as on the API server."""

    def __init__(self, *owners: FieldOwner, spec_: DigitalTwinSpec | None = None) -> None:
        self.levers = FakeLevers(hpa(2, *owners))
        self.clock = FakeClock(NOW)
        self.service = CorrectionService(self.levers, self.clock)
        self.spec = spec_ or spec(**LIMITS)
        self.state = state()
        self.risks = [risk()]
        self.cpu = 70.0

    def seen(self) -> Observation:
        lever = self.levers.levers.get(HPA)
        seen = observation(lever or hpa(), cpuUsage=self.cpu)
        return dataclasses.replace(seen, lever=lever, now=self.clock.now())

    @property
    def before(self) -> TwinState:
        """The state that a sync a minute ago has left."""
        return dataclasses.replace(self.state, last_sync_time=utc(self.clock.now() - 60))

    async def plan(self, seen: Observation | None = None, state: TwinState | None = None, **more: Any) -> Plan:
        known = self.before if state is None else state
        given = {"risks": self.risks} | more
        plan, looked = await planned(self.levers, REF, self.spec, seen or self.seen(), known, **given)
        self.service.log_plan(REF, plan)
        self.events = plan.events
        self.target = about_workload(looked.workload)
        return plan

    async def carry_out(self, plan: Plan) -> Done:
        return await self.service.carry_out(REF, plan, plan.state, self.target)

    async def sync(self) -> tuple[Plan, Done]:
        plan = await self.plan()
        self.state = plan.state
        done = await self.carry_out(plan) if plan.writes else Done(plan.state)
        self.state = done.state
        return plan, done

    @property
    def outcomes(self) -> list[str]:
        return [f"{record.action.value} {record.to} {record.outcome.value}" for record in self.state.corrections]

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
    assert plan.state.corrections[-1].outcome is Outcome.PENDING
    assert plan.state.saved_values
    done = await twin.carry_out(plan)
    twin.state = done.state
    assert twin.live == (4, (OURS,))
    assert twin.outcomes == ["Raise 4 Applied"]
    assert [held.ours for held in twin.state.saved_values] == [4]
    twin_object = about_twin(REF.namespace, REF.name, REF.uid, "7")
    posted = [of_twin(event, twin_object) for event in done.events]
    assert {event.about.namespace for event in posted} == {"shop"}
    assert {(event.about.kind, event.about.uid, event.reason) for event in posted} == {
        ("DigitalTwin", "twin-uid", "CorrectionApplied"),
        ("HorizontalPodAutoscaler", "hpa-uid", "CorrectionApplied"),
        ("Deployment", "deployment-uid", "CorrectionApplied"),
    }
    assert done.events[0].message == (
        "raised spec.minReplicas of HorizontalPodAutoscaler/checkout from 2 to 4: "
        "CPU is foreseen at 118% in 1 minute (limit 95%): ceil(3 x 118/95) = 4 replicas"
    )


@in_fake_time
async def test_a_restart_between_intent_and_write_applies_once() -> None:
    twin = Twin(KUBECTL)
    twin.state = (await twin.plan()).state
    await asyncio.sleep(3600)
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Failed", "Raise 4 Applied"]
    assert twin.levers.written == [4]


@in_fake_time
async def test_a_restart_between_write_and_outcome_applies_nothing_again() -> None:
    twin = Twin(KUBECTL)
    plan = await twin.plan()
    await twin.carry_out(plan)
    twin.state = plan.state
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
    assert done.events == ()
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
    twin.levers.faults = [Refused("422 invalid", status=422)]
    _, done = await twin.sync()
    assert twin.outcomes == ["Raise 4 Failed"]
    assert twin.state.saved_values == ()
    assert [event.reason for event in done.events] == ["CorrectionFailed"]
    await asyncio.sleep(5)
    plan, _ = await twin.sync()
    assert (plan.decision.reason, plan.decision.blocked, plan.decision.message) == (
        "WriteFailed",
        True,
        "422 invalid",
    )
    await asyncio.sleep(60)
    await twin.sync()
    assert twin.live[0] == 4


@pytest.mark.parametrize(
    ("error", "reason", "tries"),
    [
        (Refused(NO_RIGHT, status=403), "Forbidden", [0, 300, 1200, 3900]),
        (Refused("403 by a policy", status=403), "Forbidden", [0, 300, 1200, 3900]),
        (Refused("422 invalid", status=422), "WriteFailed", [0, 60, 240, 780, 2400]),
        (Refused("405 no such method", status=405), "WriteFailed", [0, 60, 240, 780, 2400]),
        # Its pauses count from the last of several attempts, a second and a half after the slot.
        (Conflict("by somebody", status=409), "WriteFailed", [0, 60, 180, 420, 1020, 2700]),
    ],
)
def test_a_refusal_that_lasts_is_met_less_and_less_often(error: Any, reason: str, tries: list[float]) -> None:
    @in_fake_time
    async def check() -> None:
        twin = Twin()
        tried: list[float] = []

        def refuse() -> None:
            # A conflict is tried again within the same sync.
            if slot not in tried:
                tried.append(slot)
            raise error

        twin.levers.meddle = refuse
        told: list[str] = []
        for slot in range(0, 67 * 60, 60):
            await asyncio.sleep(NOW + slot - twin.clock.now())
            _, done = await twin.sync()
            told += [event.reason for event in (*twin.events, *done.events)]
        assert tried == tries
        assert told == ["CorrectionFailed"]
        (entry,) = twin.state.corrections
        assert (entry.outcome, entry.reason, entry.attempts) == (Outcome.FAILED, reason, len(tries))
        assert twin.state.saved_values == ()
        twin.state = dataclasses.replace(twin.state, observed_generation=1)
        blocked = await twin.plan()
        assert (blocked.decision.reason, blocked.writes) == (reason, False)
        for generation, asked in ((2, False), (1, True)):
            again = await twin.plan(generation=generation, asked=asked)
            assert again.writes

    check()


class TestLate:
    """Requests that are carried out after they were given up."""

    @in_fake_time
    async def test_a_raise_is_held_and_given_back(self) -> None:
        twin = Twin(KUBECTL)
        twin.levers.faults = [DOWN]
        await twin.sync()
        twin.risks, twin.cpu = [], 20.0
        await asyncio.sleep(5)
        await twin.sync()
        assert twin.outcomes == ["Raise 4 Failed"]
        assert twin.state.saved_values
        twin.levers.edit(HPA, value=4, owners=(OURS,))
        for _ in range(12):
            await asyncio.sleep(60)
            await twin.sync()
        assert twin.outcomes == ["Raise 4 Applied", "GiveBack 2 Applied"]
        assert twin.live == (2, (KUBECTL,))
        assert not twin.state.saved_values

    @in_fake_time
    async def test_one_that_never_arrives_is_forgotten(self) -> None:
        twin = Twin(KUBECTL)
        twin.levers.faults = [DOWN]
        await twin.sync()
        twin.risks, twin.cpu = [], 20.0
        for _ in range(3):
            await asyncio.sleep(60)
            await twin.sync()
        assert twin.outcomes == ["Raise 4 Failed"]
        assert not twin.state.saved_values

    @in_fake_time
    async def test_one_that_arrives_instead_of_the_next(self) -> None:
        twin = Twin(KUBECTL)
        twin.levers.faults = [DOWN]
        await twin.sync()
        twin.risks = [risk(upper=190)]
        await asyncio.sleep(5)
        twin.levers.meddle = lambda: twin.levers.edit(HPA, value=4, owners=(OURS,))
        await twin.sync()
        twin.levers.meddle = None
        assert twin.outcomes == ["Raise 4 Failed", "Raise 6 Failed"]
        await asyncio.sleep(5)
        await twin.sync()
        assert twin.outcomes[0] == "Raise 4 Applied"
        assert [(held.value, held.manager) for held in twin.state.saved_values] == [(2, "kubectl-client-side-apply")]

    @in_fake_time
    async def test_a_deletion_waits_until_it_cannot_arrive_any_more(self) -> None:
        twin = Twin(KUBECTL)
        twin.levers.faults = [DOWN]
        await twin.sync()
        assert not (await TestRestore.restore(twin)).complete
        twin.levers.edit(HPA, value=4, owners=(OURS,))
        assert (await TestRestore.restore(twin)).complete
        assert twin.live == (2, (KUBECTL,))

    @in_fake_time
    async def test_a_deletion_does_not_wait_for_ever(self) -> None:
        twin = Twin(KUBECTL)
        twin.levers.faults = [DOWN]
        await twin.sync()
        await asyncio.sleep(100)
        assert (await TestRestore.restore(twin)).complete


class TestLostStatus:
    """The original stands beside the value, for a status that does not survive."""

    @pytest.mark.parametrize(
        "owner", [KUBECTL, FieldOwner("kustomize-controller", "Apply"), FieldOwner("helm-v3.12.0", "Update")]
    )
    def test_of_an_hpa(self, owner: FieldOwner) -> None:
        @in_fake_time
        async def check() -> None:
            twin = Twin(owner, spec_=spec({"ownershipPolicy": "Force"}, **LIMITS))
            await twin.sync()
            known = twin.state.saved_values[0]
            twin.state, twin.risks, twin.cpu = TwinState(), [], 20.0
            await twin.sync()
            (held,) = twin.state.saved_values
            assert held.model_copy(update={"time": known.time}) == known
            assert "CorrectionTakenUp" in {event.reason for event in twin.events}
            for _ in range(11):
                await asyncio.sleep(60)
                await twin.sync()
            assert twin.live == (2, (owner,))
            assert twin.levers.levers[HPA].original_annotation == ""

        check()

    @in_fake_time
    async def test_of_scale_it_stands_on_the_twin(self) -> None:
        twin = Twin(KUBECTL, spec_=spec({"bounds": {"minReplicas": 1, "maxReplicas": 9}}, **LIMITS))
        twin.levers = FakeLevers(scale(3, KUBECTL))
        twin.service = CorrectionService(twin.levers, twin.clock)
        seen = dataclasses.replace(observation(scale(3, KUBECTL), cpuUsage=70), now=NOW)
        plan = await twin.plan(seen, state())
        noted_on_twin = annotation_on_twin(plan.state, "checkout")
        await twin.carry_out(plan)
        lever = twin.levers.levers[SCALE]
        assert (lever.value, lever.original_annotation) == (4, "")
        lost = dataclasses.replace(observation(lever, ready=4, cpuUsage=20), now=NOW)
        again = await twin.plan(lost, TwinState(), risks=[], annotation=noted_on_twin)
        assert [(held.value, held.manager, held.ours) for held in again.state.saved_values] == [
            (3, "kubectl-client-side-apply", 4)
        ]

    @pytest.mark.parametrize("edit", [{"value": 3, "owners": (KUBECTL,)}, {"value": 9, "owners": (KUBECTL,)}])
    def test_what_is_not_true_any_more_is_taken_off(self, edit: dict[str, Any]) -> None:
        @in_fake_time
        async def check() -> None:
            twin = Twin(KUBECTL)
            await twin.sync()
            assert twin.levers.levers[HPA].original_annotation
            twin.levers.edit(HPA, **edit)
            twin.risks, twin.cpu = [], 20.0
            plan = await twin.plan()
            await twin.service.remove_stale_annotations(REF, plan)
            assert twin.levers.levers[HPA].original_annotation == ""
            assert twin.live == (edit["value"], (KUBECTL,))

        check()

    @in_fake_time
    async def test_while_another_twin_holds_it_nothing_is_taken_up(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        for seen in (
            dataclasses.replace(twin.seen(), holder="other"),
            dataclasses.replace(twin.seen(), rival="other"),
        ):
            plan = await twin.plan(seen, TwinState(), risks=[])
            assert plan.state.saved_values == ()


class TestUnread:
    """What cannot be read is neither gone nor given back."""

    @in_fake_time
    async def test_a_held_hpa_that_may_not_be_read(self) -> None:
        class Blind(FakeLevers):
            async def read(self, *_: Any) -> Any:
                raise Refused("GET /apis/x: 403", status=403)

        twin = Twin(KUBECTL)
        await twin.sync()
        held = twin.state.saved_values
        twin.levers = Blind(*twin.levers.levers.values())
        twin.service = CorrectionService(twin.levers, twin.clock)
        for reason in ("Forbidden", "LeverUnavailable", "HPANotFound"):
            seen = dataclasses.replace(twin.seen(), lever=None, no_lever_reason=reason, no_lever_message="told")
            plan = await twin.plan(seen, twin.state, risks=[])
            assert (plan.decision.reason, plan.decision.blocked, plan.writes) == (reason, True, False)
            assert plan.state.saved_values == held
        assert not (await TestRestore.restore(twin)).complete

    @in_fake_time
    async def test_a_lever_that_cannot_be_found_now_is_not_one_that_changed(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        seen = dataclasses.replace(twin.seen(), lever=None, no_lever_reason="Forbidden", no_lever_message="told")
        plan = await twin.plan(seen, twin.state, risks=[])
        assert not plan.writes
        assert plan.state.saved_values


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(
            NO_RIGHT,
            "the operator may not patch horizontalpodautoscalers.autoscaling in namespace shop: "
            "set rbac.correct of the chart to true, or spec.autoCorrection.mode of the twin to Preview",
            id="a right is missing",
        ),
        pytest.param(
            NO_RIGHT.partition(": 403 ")[0] + ': 403 admission webhook "policy" denied the request',
            NO_RIGHT.partition(": 403 ")[0] + ': 403 admission webhook "policy" denied the request',
            id="a policy is against it",
        ),
    ],
)
def test_what_is_told_of_a_refusal(said: str, told: str) -> None:
    @in_fake_time
    async def check() -> None:
        twin = Twin()
        twin.levers.faults = [Refused(said, status=403)]
        await twin.sync()
        (entry,) = twin.state.corrections
        assert (entry.reason, entry.message) == ("Forbidden", told)

    check()


@in_fake_time
async def test_the_owner_of_an_hpa_is_told_how_to_lower_its_maximum() -> None:
    _, done = await Twin(KUBECTL).sync()
    (told,) = [event.message for event in done.events if event.about.kind == "HorizontalPodAutoscaler"]
    for words in ("refuses maxReplicas below 4", "spec.autoCorrection.bounds.maxReplicas of DigitalTwin checkout"):
        assert words in told
    assert len(told) <= 1024


@in_fake_time
async def test_a_status_that_moves_meanwhile_does_not_stop_it() -> None:
    twin = Twin(KUBECTL)
    moves = iter(range(2))
    twin.levers.meddle = lambda: twin.levers.edit(HPA) if next(moves, None) is not None else None
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Applied"]


@in_fake_time
async def test_a_status_that_moves_for_a_second_stops_neither_a_raise_nor_a_restore() -> None:
    twin = Twin(KUBECTL)

    def move() -> None:
        if twin.clock.monotonic() < began + 1:
            twin.levers.edit(HPA)

    twin.levers.meddle = move
    began = twin.clock.monotonic()
    await twin.sync()
    assert twin.outcomes == ["Raise 4 Applied"]
    began = twin.clock.monotonic()
    assert (await TestRestore.restore(twin)).complete
    assert twin.live == (2, (KUBECTL,))
    assert twin.clock.monotonic() - began < 2


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
        assert twin.state.saved_values == ()

    check()


@in_fake_time
async def test_an_hpa_deleted_meanwhile_is_a_failure_like_others() -> None:
    twin = Twin()
    plan = await twin.plan()
    twin.levers.levers.clear()
    done = await twin.carry_out(plan)
    assert done.state.corrections[-1].outcome is Outcome.FAILED
    assert done.state.saved_values == ()


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
    assert not twin.state.saved_values
    assert twin.state.need_below_since is None
    assert {event.reason for event in done.events} == {"CorrectionGivenBack"}


@in_fake_time
async def test_an_operator_that_was_away_for_an_hour_looks_for_ten_minutes_first() -> None:
    twin = Twin(KUBECTL)
    await twin.sync()
    twin.risks, twin.cpu = [], 20.0
    await asyncio.sleep(60)
    await twin.sync()
    before = dataclasses.replace(twin.state, last_sync_time=utc(twin.clock.now()))
    await asyncio.sleep(3600)
    plan = await twin.plan(state=before, risks=[])
    assert not plan.writes
    assert plan.state.need_below_since == utc(twin.clock.now())


@in_fake_time
async def test_a_value_put_back_is_answered_at_the_next_sync_and_a_fight_is_left() -> None:
    twin = Twin(KUBECTL)
    await twin.sync()
    for expected in (["CorrectionReverted"], ["CorrectionReverted", "CorrectionFight"]):
        await asyncio.sleep(60)
        twin.levers.edit(HPA, value=2, owners=(KUBECTL,))
        plan, done = await twin.sync()
        assert plan.reversions == 1
        reasons = [event.reason for event in twin.events if event.about.kind == "DigitalTwin"]
        assert reasons == expected
        assert plan.writes is (len(expected) == 1)
        assert len(done.events) in (0, 3)
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
    await twin.sync()
    assert [event.reason for event in twin.events] == ["CorrectionPreviewed"]
    await twin.sync()
    assert twin.events == ()
    assert twin.outcomes == ["Raise 4 Previewed"]
    assert twin.levers.written == []
    assert twin.state.recommended_replicas == 4


@in_fake_time
async def test_lasting_drift_that_is_not_eligible_asks_for_a_person_once() -> None:
    twin = Twin()
    twin.risks = []
    found = drift(alert("memoryUsage", eligible=False, not_eligible_reason="replicas do not help", recommendation="x"))
    plan = await twin.plan(drift=found)
    assert [event.reason for event in twin.events] == ["ReviewNeeded"]
    twin.state = dataclasses.replace(plan.state, drift=found)
    await twin.plan(drift=found)
    assert twin.events == ()


class TestRestore:
    """Giving back outside a sync: suspend, deletion, uninstall."""

    @staticmethod
    async def restore(twin: Twin, trigger: RestoreTrigger = RestoreTrigger.DELETED, deadline: float = 20) -> Done:
        return await twin.service.restore_all(
            REF, twin.state, trigger=trigger, now=twin.clock.now(), deadline_seconds=deadline
        )

    @in_fake_time
    async def test_everything_goes_back(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        done = await self.restore(twin, RestoreTrigger.SUSPENDED)
        assert done.complete
        assert twin.live == (2, (KUBECTL,))
        record = done.state.corrections[-1]
        assert (record.action, record.trigger, record.outcome) == (
            CorrectionAction.GIVE_BACK,
            "Suspended",
            Outcome.APPLIED,
        )
        assert not done.state.saved_values
        twin.state = done.state
        again = await self.restore(twin)
        assert (again.state, again.events, again.complete) == (done.state, (), True)

    @in_fake_time
    async def test_an_intent_that_was_interrupted_is_settled_first(self) -> None:
        twin = Twin(KUBECTL)
        plan = await twin.plan()
        await twin.carry_out(plan)
        twin.state = plan.state
        assert (await self.restore(twin)).complete
        assert twin.live == (2, (KUBECTL,))

    @in_fake_time
    async def test_somebody_elses_value_stays(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        twin.levers.edit(HPA, value=5, owners=(KUBECTL,))
        done = await self.restore(twin)
        assert done.complete
        assert twin.live == (5, (KUBECTL,))

    @in_fake_time
    async def test_an_object_that_is_gone_holds_nothing_up(self) -> None:
        twin = Twin(KUBECTL)
        await twin.sync()
        twin.levers.levers.clear()
        done = await self.restore(twin)
        assert done.complete
        assert not done.state.saved_values

    @pytest.mark.parametrize("fault", [DOWN, Refused("403", status=403)])
    def test_what_could_not_be_given_back_is_tried_again(self, fault: ClusterError) -> None:
        @in_fake_time
        async def check() -> None:
            twin = Twin(KUBECTL)
            await twin.sync()
            twin.levers.faults = [fault]
            done = await self.restore(twin)
            assert not done.complete
            assert done.state.saved_values
            twin.state = done.state
            assert (await self.restore(twin)).complete

        check()

    @in_fake_time
    async def test_a_deadline_ends_an_api_server_that_never_answers(self) -> None:
        class Silent(FakeLevers):
            async def read(self, *_: Any) -> Any:
                await asyncio.sleep(3600)

        twin = Twin()
        held = state(originals=[original(2)])
        before = twin.clock.monotonic()
        service = CorrectionService(Silent(), twin.clock)
        done = await service.restore_all(REF, held, trigger=RestoreTrigger.DELETED, now=NOW, deadline_seconds=20)
        assert not done.complete
        assert twin.clock.monotonic() - before <= 21

    @in_fake_time
    async def test_a_hand_over_that_was_interrupted_is_finished(self) -> None:
        twin = Twin(FieldOwner("kubectl", "Apply"), spec_=spec({"ownershipPolicy": "Force"}, **LIMITS))
        await twin.sync()
        twin.levers.faults = [None, DOWN]
        done = await self.restore(twin)
        assert not done.complete
        assert twin.live == (2, (OURS,))
        twin.state = done.state
        assert (await self.restore(twin)).complete
        assert twin.live == (2, (FieldOwner("kubectl", "Apply"),))
