"""One sync as a pure function: what is decided when something is missing, and that nothing else decides."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.correcting import HPA, KUBECTL, NOW, OURS, hpa, original, spec, workload
from support.correcting import state as state_of
from support.twin_strategies import REFUSED, observations, specs, states
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, Outcome
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import limits_in_force
from twinops.core.correction.plan import Plan
from twinops.core.correction.saved_values import key_of
from twinops.core.lever import Lever
from twinops.core.observation import Held, Observation, Sample
from twinops.core.state import TwinState
from twinops.core.twin import NOT_DECIDED, Step, step

TWIN = spec(limits={"cpuUsage": 95})
HELD = state_of(originals=[original(2)], observed_generation=1)
ANNOTATED: dict[str, Any] = {"original_annotation": "told"}


def seen(cpu: float | None = 190.0, lever: Lever | None = None, **more: Any) -> Observation:
    quality = Quality.MISSING if cpu is None else Quality.GOOD
    target = workload(3)
    known: dict[str, Any] = {
        "now": NOW,
        "samples": {"cpuUsage": Sample("cpuUsage", quality, cpu, time=NOW)},
        "limits": limits_in_force(TWIN, target),
        "workload": target,
        "lever": hpa(2, KUBECTL) if lever is None else lever,
    }
    return Observation(**(known | more))


def synced(observation: Observation, state: TwinState | None = None, twin: DigitalTwinSpec = TWIN) -> Step:
    return step(twin, TwinState() if state is None else state, observation, generation=1)


def lasting(observation: Observation, state: TwinState | None = None, twin: DigitalTwinSpec = TWIN) -> Step:
    """Return the third of three syncs that see the same: a risk then lasts."""
    for minute in range(3):
        now = observation.now + 60 * minute
        fresh = {name: dataclasses.replace(each, time=now) for name, each in observation.samples.items()}
        done = synced(dataclasses.replace(observation, now=now, samples=fresh), state, twin)
        state = done.state
    return done


def said(done: Step) -> tuple[Any, ...]:
    """Return everything that a step says, in a form that can be compared."""
    assessed = {field.name: getattr(done.assessment, field.name) for field in dataclasses.fields(done.assessment)}
    planned = {field.name: getattr(done.plan, field.name) for field in dataclasses.fields(Plan)}
    return done.state, assessed, planned


def reread(state: TwinState) -> TwinState:
    """Return the state as it comes back from the API server."""
    wire = json.loads(json.dumps(state.to_status(DigitalTwinStatus()).to_wire()))
    return TwinState.from_status(DigitalTwinStatus.from_wire(wire))


def test_a_risk_that_lasts_is_answered_by_an_intent_that_is_written_down() -> None:
    done = lasting(seen())
    assert (done.decision.action, done.decision.to, done.plan.writes) == (CorrectionAction.RAISE, 6, True)
    assert done.plan.lever == hpa(2, KUBECTL)
    assert [(record.outcome, record.to) for record in done.state.corrections] == [(Outcome.PENDING, 6)]
    assert [(held.value, held.ours) for held in done.state.saved_values] == [(2, None)]
    assert done.state.recommended_replicas == 6


def test_the_next_state_holds_what_was_seen_and_judged() -> None:
    done = synced(seen())
    assert [(metric.name, metric.value) for metric in done.state.observed] == [("cpuUsage", 190.0)]
    assert (done.state.risks, done.state.drift) == (done.assessment.risks, done.assessment.drift)
    assert done.state.health == done.assessment.health
    assert (done.state.observed_generation, done.state.last_sync_time) == (1, utc(NOW))


def test_limits_are_those_of_the_observation() -> None:
    assert [risk.limit for risk in synced(seen(limits={"cpuUsage": 180.0})).assessment.risks] == [180.0]
    assert synced(seen(limits={})).assessment.risks == ()


@pytest.mark.parametrize(
    ("observation", "reason", "blocked"),
    [
        pytest.param(
            {"lever": None, "no_lever_reason": "AmbiguousHPA", "no_lever_message": "two"},
            "AmbiguousHPA",
            True,
            id="no lever",
        ),
        pytest.param({"rival": "older"}, "AnotherTwin", True, id="another twin corrects it"),
        pytest.param({"holder": "younger"}, "AnotherTwin", True, id="another twin still holds it"),
        pytest.param({"workload": None}, "TargetNotFound", True, id="no target"),
    ],
)
def test_what_is_missing_stops_a_correction_and_nothing_else(
    observation: dict[str, Any],
    reason: str,
    blocked: bool,  # noqa: FBT001 - a table's answer
) -> None:
    done = lasting(dataclasses.replace(seen(), **observation))
    assert (done.decision.reason, done.decision.blocked, done.plan.writes) == (reason, blocked, False)
    assert [risk.persistent for risk in done.assessment.risks] == [True]


def test_without_metrics_nothing_is_known_and_nothing_is_done() -> None:
    done = lasting(seen(None))
    assert done.assessment.data_incomplete
    assert (done.assessment.health_score, done.assessment.risks) == (None, ())
    assert (done.decision.action, done.state.corrections) == (None, ())


def test_a_twin_without_target_and_metrics() -> None:
    bare = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom"}})
    done = step(bare, TwinState(), Observation(NOW, {}, no_lever_reason="NoTarget"), generation=1)
    assert (done.decision.action, done.state.recommended_replicas, done.state.observed) == (None, None, ())


def test_of_a_suspended_twin_everything_held_is_given_back() -> None:
    done = synced(seen(lever=hpa(6, OURS)), HELD, spec(limits={"cpuUsage": 95}, suspend=True))
    assert (done.decision.action, done.decision.trigger) == (CorrectionAction.GIVE_BACK, "Suspended")


def test_where_nothing_held_could_be_read_everything_stays_as_it_is() -> None:
    before = dataclasses.replace(HELD, need_below_since=utc(NOW - 900))
    done = synced(seen(20.0, held=Held(refusal=REFUSED)), before)
    assert (done.decision.reason, done.decision.message, done.decision.blocked) == (
        "Forbidden",
        REFUSED.message,
        True,
    )
    assert (done.state.saved_values, done.state.corrections) == (before.saved_values, before.corrections)
    assert done.state.need_below_since is None
    assert (done.plan.events, done.plan.settled, done.plan.writes) == ((), None, False)
    assert done.assessment.health_score is not None


def test_the_reason_why_there_is_no_lever_comes_first() -> None:
    blind = dataclasses.replace(seen(), lever=None, no_lever_reason="LeverUnavailable", held=Held(refusal=REFUSED))
    assert synced(blind, HELD).decision.reason == "LeverUnavailable"


def test_one_held_value_that_may_not_be_read_is_neither_gone_nor_given_back() -> None:
    other = original(3, object=HPA.model_copy(update={"name": "other"}))
    before = dataclasses.replace(HELD, saved_values=(other, *HELD.saved_values))
    key = key_of(other)
    done = synced(seen(20.0, hpa(6, OURS), held=Held(unread=frozenset({key}))), before)
    assert done.state.saved_values == before.saved_values
    gone = synced(seen(20.0, hpa(6, OURS)), before)
    assert gone.state.saved_values == HELD.saved_values


def test_a_value_that_the_state_had_lost_is_taken_up() -> None:
    lever = hpa(6, OURS)
    done = synced(seen(20.0, lever, held=Held({lever.key: lever}, recovered=original(2))))
    assert done.state.saved_values == (original(2),)
    assert [note.reason for note in done.plan.events] == ["CorrectionTakenUp"]


def test_an_annotation_beside_a_value_that_is_not_ours_any_more_is_stale() -> None:
    adopted = hpa(6, KUBECTL, **ANNOTATED)
    done = synced(seen(20.0, adopted), HELD)
    assert (done.plan.stale, done.state.saved_values) == ((adopted,), ())
    assert synced(seen(20.0, hpa(6, OURS, **ANNOTATED)), HELD).plan.stale == ()


def test_what_others_put_back_is_counted() -> None:
    raised = lasting(seen()).state
    applied = tuple(record.model_copy(update={"outcome": Outcome.APPLIED}) for record in raised.corrections)
    state = dataclasses.replace(raised, corrections=applied, saved_values=(original(2, ours=6, time=utc(NOW)),))
    done = synced(seen(20.0, hpa(2, KUBECTL), now=NOW + 300), state)
    assert done.plan.reversions == 1
    assert [record.outcome for record in done.state.corrections] == [Outcome.REVERTED]


def test_with_corrections_left_out_their_state_stays_as_it_is() -> None:
    done = step(TWIN, HELD, seen(20.0, hpa(6, KUBECTL)), generation=1, corrections=False)
    assert (done.decision.reason, done.plan.writes) == (NOT_DECIDED, False)
    assert (done.state.saved_values, done.state.corrections) == (HELD.saved_values, HELD.corrections)
    assert done.state.observed


def test_who_asks_for_a_sync_forgives_failures() -> None:
    refused = lasting(seen()).state.corrections[0].model_copy(
        update={"outcome": Outcome.FAILED, "retry_time": utc(NOW + 600), "attempts": 2}
    )  # fmt: skip
    state = dataclasses.replace(HELD, saved_values=(), corrections=(refused,))
    for asked, attempts in ((False, 2), (True, 0)):
        done = step(TWIN, state, seen(20.0), generation=1, asked=asked)
        assert [record.attempts for record in done.state.corrections] == [attempts]


@settings(max_examples=30, deadline=None)
@given(specs(), states(), observations())
def test_a_step_is_pure(twin: DigitalTwinSpec, state: TwinState, observation: Observation) -> None:
    before = repr((twin, state, observation))
    first = step(twin, state, observation, generation=1)
    assert said(step(twin, state, observation, generation=1)) == said(first)
    assert repr((twin, state, observation)) == before


@settings(max_examples=20, deadline=None)
@given(specs(), states(), st.lists(st.booleans(), min_size=1, max_size=4), st.data())
def test_a_restart_changes_nothing(
    twin: DigitalTwinSpec, state: TwinState, restarts: list[bool], data: st.DataObject
) -> None:
    in_memory, restarted = state, state
    for number, restart in enumerate(restarts):
        observation = data.draw(observations(NOW + 60 * number))
        first = step(twin, in_memory, observation, generation=1)
        again = step(twin, reread(restarted) if restart else restarted, observation, generation=1)
        assert said(again) == said(first)
        in_memory, restarted = first.state, again.state


@settings(max_examples=30, deadline=None)
@given(specs(), states(), observations())
def test_assessing_does_not_depend_on_corrections(
    twin: DigitalTwinSpec, state: TwinState, observation: Observation
) -> None:
    _, whole, _ = said(step(twin, state, observation, generation=1))
    _, assessed, _ = said(step(twin, state, observation, generation=1, corrections=False))
    assert assessed == whole


@settings(max_examples=30, deadline=None)
@given(specs(), states(), observations())
def test_what_is_written_is_held_and_pending(twin: DigitalTwinSpec, state: TwinState, observation: Observation) -> None:
    done = step(twin, state, observation, generation=1)
    if done.plan.writes:
        assert done.plan.lever is not None
        assert done.state.corrections[-1].outcome is Outcome.PENDING
        assert done.plan.lever.key in {(held.object, held.field) for held in done.state.saved_values}
    if observation.held.refusal is not None:
        assert (done.state.saved_values, done.plan.writes) == (state.saved_values, False)
