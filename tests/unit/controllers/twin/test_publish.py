"""What is written, posted and published of a sync; the finalizer and annotation of a twin that holds something."""

from __future__ import annotations

import asyncio
import copy
import json

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.events import FakeEvents
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, NOW, SCALE, hpa, original, status
from support.writers import twin_writer
from twinops.api import GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.status_kind import Purpose
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.publish import MAX_PENDING_EVENTS, Publisher
from twinops.controllers.twin.twin_at_sync import TwinAtSync
from twinops.core.events import NORMAL, TWIN, WARNING, Event, InvolvedObject, about_lever, about_twin
from twinops.core.status.base import Sync
from twinops.errors import ClusterError, Conflict, LeadershipLost, NotFound, Refused, Unavailable

FIELDS = {HPA.kind: "spec.minReplicas", SCALE.kind: "spec.replicas"}


UNHEALTHY = Condition(
    type=ConditionType.HEALTHY,
    status=ConditionStatus.FALSE,
    reason="LimitCrossed",
    message="it is not well",
    last_transition_time=utc(NOW),
)


class Scene:
    """A twin, and what publishes about it."""

    def __init__(self) -> None:
        self.twins = FakeTwins()
        self.ref = self.twins.add("checkout")
        self.events = FakeEvents()
        self.telemetry = FakeTelemetry()
        self.leads = True
        clock, telemetry = FakeClock(NOW), self.telemetry
        writer = twin_writer(self.twins, clock, telemetry, self._fence)
        self.store = TwinStore()
        self.publisher = Publisher(self.store, self.twins, writer, self.events, telemetry)

    def twin(self) -> TwinAtSync:
        seen = self.store.put(copy.deepcopy(self.twins.bodies[self.ref.uid]))
        record = self.store.get(self.ref.uid)
        assert record is not None
        sync = Sync(generation=1, now=NOW, request=None)
        return TwinAtSync(record, seen, sync, DigitalTwinStatus(), DigitalTwinStatus())

    def add_finalizers(self, *names: str) -> None:
        self.twins.bodies[self.ref.uid]["metadata"]["finalizers"] = list(names)
        self.twins.edit(self.ref)

    @property
    def finalizers(self) -> list[str]:
        return list(self.twins.bodies[self.ref.uid]["metadata"].get("finalizers", ()))

    def _fence(self) -> None:
        if not self.leads:
            raise LeadershipLost("another process leads")

    @property
    def guarded(self) -> bool:
        return GIVE_BACK_FINALIZER in self.twins.bodies[self.ref.uid]["metadata"].get("finalizers", ())

    @property
    def annotation(self) -> str | None:
        found: str | None = self.twins.bodies[self.ref.uid]["metadata"].get("annotations", {}).get(ORIGINAL_ANNOTATION)
        return found


def intent(reference: ObjectRef, to: int) -> DigitalTwinStatus:
    field = FIELDS[reference.kind]
    record = CorrectionRecord(
        id=f"raise-{to}",
        time=utc(NOW),
        action=CorrectionAction.RAISE,
        mode=CorrectionMode.APPLY,
        object=reference,
        field=field,
        to=to,
        trigger="Risk/cpuUsage",
        why="",
        outcome=Outcome.PENDING,
    )
    return status(corrections=[record], originals=[original(3, ours=None, object=reference, field=field)])


@pytest.mark.parametrize(("reference", "noted"), [(SCALE, True), (HPA, False)])
def test_what_is_set_before_a_raise_goes_when_nothing_is_held(reference: ObjectRef, *, noted: bool) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        for to in (6, 9):
            outcome, twin = await scene.publisher.intend(scene.twin(), intent(reference, to))
            assert outcome is WriteOutcome.WRITTEN
            assert GIVE_BACK_FINALIZER in twin.object.finalizers
            assert scene.guarded
            assert (json.loads(scene.annotation or "{}").get("ours") == to) is noted
        await scene.publisher.publish(scene.twin(), status(), holds=True, purpose=Purpose.OUTCOME)
        assert (scene.guarded, scene.annotation is not None) == (True, noted)
        await scene.publisher.publish(scene.twin(), status(), holds=False, purpose=Purpose.OUTCOME)
        assert (scene.guarded, scene.annotation) == (False, None)

    check()


@in_fake_time
async def test_events_are_posted_about_the_twin_as_it_was_read_and_about_objects_of_its_namespace() -> None:
    scene = Scene()
    twin = scene.twin()
    new = status(conditions=[UNHEALTHY])
    event = Event(about_lever(hpa(6)), NORMAL, "CorrectionApplied", "raised")
    assert await scene.publisher.publish(twin, new, [event], holds=True) is WriteOutcome.WRITTEN
    version = twin.object.resource_version
    assert [(posted.about, posted.type, posted.reason) for posted in scene.events.posted] == [
        (about_twin("shop", "checkout", "uid-checkout", version), WARNING, "Unhealthy"),
        (InvolvedObject(HPA.api_version, HPA.kind, HPA.name, "shop", "hpa-uid"), NORMAL, "CorrectionApplied"),
    ]


@in_fake_time
async def test_what_was_done_is_told_once_the_status_can_be_written() -> None:
    scene = Scene()
    event = Event(TWIN, NORMAL, "CorrectionApplied", "raised")
    scene.twins.faults = [Refused("422", status=422)]
    assert await scene.publisher.publish(scene.twin(), status(), [event], holds=True) is WriteOutcome.REFUSED
    assert scene.events.reasons == ["StatusRefused"]
    assert await scene.publisher.publish(scene.twin(), status(), holds=True) is WriteOutcome.WRITTEN
    assert scene.events.reasons == ["StatusRefused", "CorrectionApplied"]


@in_fake_time
async def test_of_a_twin_that_cannot_be_written_the_newest_events_are_kept() -> None:
    scene = Scene()
    scene.twins.faults = [Unavailable("429", retry_after=60.0)]
    for number in range(2 * MAX_PENDING_EVENTS):
        event = Event(TWIN, NORMAL, "CorrectionApplied", str(number))
        await scene.publisher.publish(scene.twin(), status(), [event], holds=True)
    assert scene.events.posted == []
    await asyncio.sleep(60)
    await scene.publisher.publish(scene.twin(), status(), holds=True)
    newest = range(MAX_PENDING_EVENTS, 2 * MAX_PENDING_EVENTS)
    assert [event.message for event in scene.events.posted] == [str(n) for n in newest]


@in_fake_time
async def test_a_status_is_known_and_published_as_metrics_whether_or_not_it_is_written() -> None:
    scene = Scene()
    scene.leads = False
    twin, new = scene.twin(), status(health_score=42)
    assert await scene.publisher.publish(twin, new, holds=False) is WriteOutcome.FENCED
    assert scene.telemetry.twins[scene.ref].health_score == 42
    assert twin.record.daemon.computed is new


@in_fake_time
async def test_the_store_takes_what_a_write_returns_and_what_a_conflict_does() -> None:
    scene = Scene()
    twin = scene.twin()
    await scene.publisher.publish(twin, status(health_score=42), holds=True)
    assert twin.record.object.resource_version == scene.twins.bodies[scene.ref.uid]["metadata"]["resourceVersion"]
    assert twin.record.written().health_score == 42
    scene.twins.edit(scene.ref, status={"healthScore": 1})
    outcome = await scene.publisher.publish(twin, status(health_score=43), holds=True)
    assert outcome is WriteOutcome.CONFLICT
    assert twin.record.written().health_score == 1


@in_fake_time
async def test_after_a_conflict_the_finalizer_stays() -> None:
    """What stands in status now may say that something is held."""
    scene = Scene()
    scene.add_finalizers(GIVE_BACK_FINALIZER)
    twin = scene.twin()
    scene.twins.edit(scene.ref, status={"healthScore": 1})
    assert await scene.publisher.publish(twin, status(), holds=False) is WriteOutcome.CONFLICT
    assert scene.guarded


@pytest.mark.parametrize("fault", [Unavailable("503", status=503), Refused("403", status=403)])
def test_a_finalizer_that_cannot_be_taken_off_is_tried_again(fault: ClusterError) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.add_finalizers("other", GIVE_BACK_FINALIZER)
        scene.twins.finalizer_faults = [fault]
        assert await scene.publisher.publish(scene.twin(), status(), holds=False) is WriteOutcome.WRITTEN
        assert scene.finalizers == ["other", GIVE_BACK_FINALIZER]
        await scene.publisher.publish(scene.twin(), status(), holds=False)
        assert scene.finalizers == ["other"], "those of others stay"

    check()


@pytest.mark.parametrize(
    "fault", [Unavailable("503", status=503), Refused("403", status=403), NotFound("gone", status=404)]
)
def test_without_the_finalizer_no_intent_is_written(fault: ClusterError) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.twins.finalizer_faults = [fault]
        with pytest.raises(type(fault)):
            await scene.publisher.intend(scene.twin(), intent(HPA, 6))
        assert (scene.guarded, scene.twins.attempts) == (False, 0)

    check()


@in_fake_time
async def test_a_finalizer_that_conflicts_lets_the_store_take_what_stands_there() -> None:
    scene = Scene()
    twin = scene.twin()
    scene.twins.edit(scene.ref, spec=True)
    with pytest.raises(Conflict):
        await scene.publisher.intend(twin, intent(HPA, 6))
    assert (twin.record.object.generation, scene.twins.attempts) == (2, 0)


@pytest.mark.parametrize("how", ["deleted", "finalizer taken off"])
def test_an_intent_is_not_written_onto_a_twin_that_would_go_without_giving_back(how: str) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.add_finalizers(GIVE_BACK_FINALIZER)
        twin = scene.twin()
        if how == "deleted":
            scene.twins.bodies[scene.ref.uid]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            scene.twins.edit(scene.ref)
        else:
            scene.add_finalizers()
        outcome, now = await scene.publisher.intend(twin, intent(HPA, 6))
        assert outcome is WriteOutcome.CONFLICT
        assert scene.twins.bodies[scene.ref.uid]["status"] == {}
        assert now.object.deleting is (how == "deleted"), "the twin as it stands after that"

    check()


@in_fake_time
async def test_a_refused_status_is_told_once_until_one_is_taken() -> None:
    scene = Scene()
    for taken in (False, False, True, False):
        scene.twins.faults = [] if taken else [Refused("422", status=422)]
        await scene.publisher.publish(scene.twin(), status(), holds=True, purpose=Purpose.OUTCOME)
    assert scene.events.reasons.count("StatusRefused") == 2
