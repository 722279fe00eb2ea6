"""The finalizer of a twin that holds something, and the original beside it that no other object can hold."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, NOW, SCALE, original, status
from twinops.api import GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.base import utc
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import CorrectionAction, CorrectionRecord, DigitalTwinStatus, ObjectRef, Outcome
from twinops.controllers.shared.status_writer import Purpose, StatusWriter, WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.publish import Publisher, TwinAtSync
from twinops.core.status.render import Sync

FIELDS = {HPA.kind: "spec.minReplicas", SCALE.kind: "spec.replicas"}


class Scene:
    """A twin, and what publishes about it."""

    def __init__(self) -> None:
        self.twins = FakeTwins()
        self.ref = self.twins.add("checkout")
        clock, telemetry = FakeClock(NOW), FakeTelemetry()
        writer = StatusWriter(self.twins, clock, telemetry, fence=lambda: None)
        self.store = TwinStore()
        self.publisher = Publisher(self.store, self.twins, writer, self)

    async def post(self, involved: Mapping[str, Any], *, kind: str, reason: str, message: str) -> None:
        pass

    def twin(self) -> TwinAtSync:
        seen = self.store.put(copy.deepcopy(self.twins.bodies[self.ref.uid]))
        record = self.store.get(self.ref.uid)
        assert record is not None
        sync = Sync(generation=1, now=NOW, request=None)
        return TwinAtSync(record, seen, sync, DigitalTwinStatus(), DigitalTwinStatus())

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
