"""A state is what a status remembers: nothing is lost on the way there and back."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given, settings

from support.correcting import NOW
from support.twin_strategies import states
from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.api.twin.status import DigitalTwinStatus, Summary
from twinops.core.state import TwinState


def test_a_new_status_holds_the_state_before_the_first_sync() -> None:
    assert TwinState.from_status(DigitalTwinStatus()) == TwinState()


@settings(max_examples=50, deadline=None)
@given(states())
def test_there_and_back_loses_nothing(state: TwinState) -> None:
    assert TwinState.from_status(state.to_status(DigitalTwinStatus())) == state


@settings(max_examples=50, deadline=None)
@given(states())
def test_nor_does_the_way_through_json(state: TwinState) -> None:
    wire = json.loads(json.dumps(state.to_status(DigitalTwinStatus()).to_wire()))
    assert TwinState.from_status(DigitalTwinStatus.from_wire(wire)) == state


@settings(max_examples=50, deadline=None)
@given(states(), states())
def test_all_else_in_a_status_stays_as_it_is(before: TwinState, after: TwinState) -> None:
    condition = Condition(
        type=ConditionType.READY,
        status=ConditionStatus.TRUE,
        reason="Synced",
        message="well",
        last_transition_time=utc(NOW),
    )
    base = before.to_status(DigitalTwinStatus(conditions=[condition], summary=Summary(target="checkout"), replicas=3))
    status = after.to_status(base)
    assert TwinState.from_status(status) == after
    assert (status.conditions, status.summary, status.replicas) == ([condition], base.summary, 3)


def test_every_field_stands_in_status_under_the_same_name_but_saved_values() -> None:
    renamed = {"saved_values": "originals"}
    names = {renamed.get(field.name, field.name) for field in dataclasses.fields(TwinState)}
    assert names <= DigitalTwinStatus.model_fields.keys()
    assert names == TwinState().to_status(DigitalTwinStatus()).model_fields_set
