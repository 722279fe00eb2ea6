"""What came of earlier decisions, told from the live objects."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from support.correcting import HPA, KUBECTL, NOW, OURS, SERVER_SIDE, hpa, original, state
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.core.correction.records import IN_FLIGHT_SECONDS, INTERRUPTED, last_raise
from twinops.core.correction.settle import Settled, settle
from twinops.core.events import TWIN, InvolvedObject, about_lever
from twinops.core.lever import FieldOwner, Lever, LeverKey


def record(action: CorrectionAction, to: int, outcome: Outcome = Outcome.PENDING, **more: Any) -> CorrectionRecord:
    return CorrectionRecord(
        id=f"{action}-{to}",
        time=utc(NOW - 5),
        action=action,
        mode=CorrectionMode.APPLY,
        object=HPA,
        field="spec.minReplicas",
        to=to,
        trigger="Risk/cpuUsage",
        why="",
        outcome=outcome,
        **more,
    )


RAISE, BACK = record(CorrectionAction.RAISE, 6), record(CorrectionAction.GIVE_BACK, 2)
RAISED = record(CorrectionAction.RAISE, 6, Outcome.APPLIED)
APPLIED_BEFORE: dict[str, Any] = {"manager": "kubectl", "operation": "Apply"}


def settled(lever: Lever | None, corrections: list[CorrectionRecord], originals: list[Any]) -> Settled:
    levers = {} if lever is None else {lever.key: lever}
    given = state(corrections=corrections, originals=originals, need_below_since=utc(NOW - 60))
    return settle(given, levers, now=NOW, generation=1, cooldown_seconds=300)


def reasons(found: Settled) -> list[str]:
    """Return the reasons of the Events, each of which is on the twin and on the object whose value it is."""
    about_twin = [event for event in found.events if event.about == TWIN]
    about_object = [event for event in found.events if event.about == about_lever(hpa(2))]
    assert len(about_twin) + len(about_object) == len(found.events)
    assert [replace(event, about=TWIN) for event in about_object] == about_twin
    return [event.reason for event in about_twin]


@pytest.mark.parametrize(
    ("lever", "entry", "held", "outcome", "ours"),
    [
        pytest.param(hpa(6, OURS), RAISE, original(2, ours=None), Outcome.APPLIED, [6], id="raise: it was written"),
        pytest.param(hpa(2, KUBECTL), RAISE, original(2, ours=None), Outcome.FAILED, [None], id="raise: not yet"),
        pytest.param(
            hpa(6, KUBECTL),
            RAISE,
            original(2, ours=None),
            Outcome.FAILED,
            [None],
            id="raise: somebody else wrote the same",
        ),
        pytest.param(hpa(4, OURS), RAISE, original(2, ours=4), Outcome.FAILED, [4], id="second raise: it was not"),
        pytest.param(hpa(6, OURS), RAISE, original(2, ours=4), Outcome.APPLIED, [6], id="second raise: it was"),
        pytest.param(None, RAISE, original(2, ours=None), Outcome.FAILED, [], id="raise: the HPA is gone"),
        pytest.param(hpa(6, OURS), BACK, original(2), Outcome.FAILED, [6], id="give back: it was not written"),
        pytest.param(hpa(2, KUBECTL), BACK, original(2), Outcome.APPLIED, [], id="give back: it was"),
        pytest.param(
            hpa(2, OURS), BACK, original(2, manager="", operation=""), Outcome.APPLIED, [], id="give back: nobody's"
        ),
        pytest.param(
            hpa(2, OURS), BACK, original(2, **APPLIED_BEFORE), Outcome.FAILED, [2], id="give back: not handed over yet"
        ),
        pytest.param(
            hpa(2, SERVER_SIDE), BACK, original(2, **APPLIED_BEFORE), Outcome.APPLIED, [], id="give back: handed over"
        ),
    ],
)
def test_an_interrupted_decision(
    lever: Lever | None, entry: CorrectionRecord, held: Any, outcome: Outcome, ours: list[int]
) -> None:
    found = settled(lever, [entry], [held])
    assert found.state.corrections[0].outcome is outcome
    assert found.state.corrections[0].outcome_time == utc(NOW)
    assert [each.ours for each in found.state.saved_values] == ours
    assert found.reversions == 0


def test_an_intent_without_an_original_was_never_sent() -> None:
    found = settled(hpa(2), [RAISE], [])
    assert found.state.corrections[0].outcome is Outcome.FAILED


def test_a_value_that_is_still_ours_stays_held() -> None:
    found = settled(hpa(6, OURS), [RAISED], [original(2)])
    assert found.state.saved_values == (original(2),)
    assert found.state.corrections == (RAISED,)
    assert found.events == ()


def test_a_value_that_was_put_back_is_not_held_any_more() -> None:
    found = settled(hpa(2, KUBECTL), [RAISED], [original(2)])
    assert found.state.saved_values == ()
    assert found.state.corrections[0].outcome is Outcome.REVERTED
    told = "kubectl-client-side-apply set spec.minReplicas of HorizontalPodAutoscaler/checkout from 6 to 2"
    assert found.state.corrections[0].message == told
    assert found.reversions == 1
    assert found.state.fight is not None
    assert (found.state.fight.manager, found.state.fight.until) == ("kubectl-client-side-apply", None)
    assert [(event.about, event.reason) for event in found.events] == [
        (TWIN, "CorrectionReverted"),
        (InvolvedObject(HPA.api_version, HPA.kind, HPA.name, uid="hpa-uid"), "CorrectionReverted"),
    ]
    assert found.state.need_below_since is None


def test_the_second_time_within_ten_minutes_is_a_fight() -> None:
    first = settled(hpa(2, KUBECTL), [RAISED], [original(2)]).state
    again = dataclasses.replace(first, corrections=(RAISED,), saved_values=(original(2),))
    lever = hpa(2, KUBECTL)
    found = settle(again, {lever.key: lever}, now=NOW + 300, generation=1, cooldown_seconds=300)
    assert found.state.fight is not None
    assert found.state.fight.until == utc(NOW + 300 + 900)
    assert reasons(found) == ["CorrectionReverted", "CorrectionFight"]


def test_our_value_in_somebody_elses_hands_is_theirs_now() -> None:
    found = settled(hpa(6, SERVER_SIDE), [RAISED], [original(2)])
    assert found.state.saved_values == ()
    assert found.state.corrections == (RAISED,)
    assert found.state.fight is None
    assert reasons(found) == ["CorrectionAdopted"]


def test_an_object_that_is_gone_is_not_held_any_more() -> None:
    found = settled(None, [RAISED], [original(2)])
    assert found.state.saved_values == ()
    assert found.reversions == 0
    assert found.state.fight is None


def test_a_raise_does_not_stand_once_its_object_is_gone() -> None:
    gone = settled(None, [RAISED], [original(2)]).state.corrections[0]
    assert gone.outcome is Outcome.REVERTED
    assert gone.message == "HorizontalPodAutoscaler/checkout does not exist any more"
    assert last_raise([gone]) is None  # so that nothing waits for its cooldown


def test_a_change_of_the_spec_ends_a_fight() -> None:
    first = settled(hpa(2, KUBECTL), [RAISED], [original(2)]).state
    assert first.fight is not None
    assert settle(first, {}, now=NOW + 1, generation=2, cooldown_seconds=300).state.fight is None


def interrupted(action: CorrectionAction, to: int, age: float = 5) -> CorrectionRecord:
    return record(action, to, Outcome.FAILED, message=INTERRUPTED, outcome_time=utc(NOW)).model_copy(
        update={"time": utc(NOW - age)}
    )


GIVEN_UP, RETURNED = interrupted(CorrectionAction.RAISE, 6), interrupted(CorrectionAction.GIVE_BACK, 2)
LONG_AGO = interrupted(CorrectionAction.RAISE, 6, IN_FLIGHT_SECONDS)


@pytest.mark.parametrize(
    ("lever", "entry", "held", "outcome", "ours", "told"),
    [
        pytest.param(
            hpa(6, OURS), GIVEN_UP, original(2, ours=None), Outcome.APPLIED, [6], ["CorrectionApplied"], id="a raise"
        ),
        pytest.param(
            hpa(6, OURS), GIVEN_UP, original(2, ours=4), Outcome.APPLIED, [6], ["CorrectionApplied"], id="a second one"
        ),
        pytest.param(
            hpa(5, OURS), GIVEN_UP, original(2, ours=4), Outcome.FAILED, [5], ["CorrectionApplied"], id="one before it"
        ),
        pytest.param(
            hpa(6, OURS),
            LONG_AGO,
            original(2, ours=None),
            Outcome.APPLIED,
            [6],
            ["CorrectionApplied"],
            id="however late",
        ),
        pytest.param(hpa(2, KUBECTL), GIVEN_UP, original(2, ours=None), Outcome.FAILED, [None], [], id="not yet"),
        pytest.param(hpa(2, KUBECTL), LONG_AGO, original(2, ours=None), Outcome.FAILED, [], [], id="never"),
        pytest.param(
            hpa(2, OURS),
            GIVEN_UP,
            original(2, ours=None, manager="", operation=""),
            Outcome.FAILED,
            [None],
            [],
            id="what we gave back before is no raise",
        ),
        pytest.param(hpa(2, KUBECTL), RETURNED, original(2), Outcome.APPLIED, [], [], id="a give back"),
        pytest.param(
            hpa(2, OURS),
            RETURNED,
            original(2, manager="", operation=""),
            Outcome.APPLIED,
            [],
            [],
            id="a give back to nobody",
        ),
        pytest.param(
            hpa(3, KUBECTL),
            RETURNED,
            original(2),
            Outcome.FAILED,
            [],
            ["CorrectionReverted"],
            id="somebody's own value is no give back",
        ),
    ],
)
def test_a_write_that_arrives_after_it_was_given_up(
    lever: Lever, entry: CorrectionRecord, held: Any, outcome: Outcome, ours: list[int | None], told: list[str]
) -> None:
    found = settled(lever, [entry], [held])
    assert found.state.corrections[0].outcome is outcome
    assert [each.ours for each in found.state.saved_values] == ours
    assert reasons(found) == told
    assert found.reversions == told.count("CorrectionReverted")


@pytest.mark.parametrize("lever", [hpa(10, KUBECTL), hpa(7, FieldOwner("argocd-controller", "Update")), hpa(10, OURS)])
def test_more_than_the_twin_set_is_adopted(lever: Lever) -> None:
    found = settled(lever, [RAISED], [original(2)])
    assert found.state.saved_values == ()
    assert found.state.corrections == (RAISED,)
    assert (found.state.fight, found.reversions) == (None, 0)
    assert reasons(found) == ["CorrectionAdopted"]
    assert f"stays {lever.value}" in found.events[0].message


def test_what_cannot_be_read_is_left_as_it_is() -> None:
    given = state(corrections=[BACK], originals=[original(2)])
    key = LeverKey(HPA, "spec.minReplicas")
    assert settle(given, {}, now=NOW, generation=1, cooldown_seconds=300, unread={key}).state == given


def test_answers_that_are_lost_again_and_again_are_one_record() -> None:
    last = settled(hpa(2, KUBECTL), [RAISE], [original(2, ours=None)]).state
    for sync in range(1, 4):
        again = RAISE.model_copy(update={"id": f"again-{sync}"})
        last = settled(hpa(2, KUBECTL), [*last.corrections, again], list(last.saved_values)).state
    (entry,) = last.corrections
    assert (entry.attempts, entry.retry_time) == (4, utc(NOW + 540))
