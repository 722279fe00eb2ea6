"""One sync's decision, and how it stands in status."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from support.correcting import (
    HPA,
    KUBECTL,
    NOW,
    OURS,
    SERVER_SIDE,
    alert,
    drift,
    hpa,
    observation,
    original,
    risk,
    scale,
    spec,
    state,
    workload,
)
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Fight, Outcome
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction.decide import DecisionResult, decide
from twinops.core.correction.decision_record import record_decision
from twinops.core.correction.need import demand
from twinops.core.correction.records import CHANGED, INTERRUPTED
from twinops.core.observation import Observation, Sample
from twinops.core.state import TwinState

LIMITS = {"limits": {"cpuUsage": 95}}


def record(outcome: Outcome = Outcome.APPLIED, *, age: float = 60, **more: Any) -> CorrectionRecord:
    known: dict[str, Any] = {
        "id": f"{outcome}-{age}",
        "time": utc(NOW - age),
        "action": CorrectionAction.RAISE,
        "mode": CorrectionMode.APPLY,
        "object": HPA,
        "field": "spec.minReplicas",
        "from_": 2,
        "to": 4,
        "trigger": "Risk/cpuUsage",
        "why": "",
        "outcome": outcome,
        "outcome_time": utc(NOW - age),
    }
    return CorrectionRecord(**(known | more))


def decided(
    twin: DigitalTwinSpec | None = None,
    seen: Observation | None = None,
    previous: TwinState | None = None,
    risks: Any = None,
) -> DecisionResult:
    twin, seen = twin or spec(**LIMITS), seen or observation(cpuUsage=70)
    needed = demand(twin, seen, Drift(), [risk()] if risks is None else risks)
    return decide(twin, seen, previous or state(), needed)


def test_a_lasting_risk_raises_the_minimum() -> None:
    decision = decided().decision
    assert decision.writes
    assert (decision.action, decision.current, decision.to) == (CorrectionAction.RAISE, 2, 4)
    assert decision.trigger == "Risk/cpuUsage"
    assert decision.why == "CPU is foreseen at 118% in 1 minute (limit 95%): ceil(3 x 118/95) = 4 replicas"
    assert not decision.blocked


STALE = dataclasses.replace(observation(), samples={"cpuUsage": Sample("cpuUsage", Quality.HELD, 70.0)})


@pytest.mark.parametrize(
    ("twin", "seen", "previous", "reason", "blocked"),
    [
        pytest.param(spec({"enabled": False}, **LIMITS), None, None, "Disabled", False, id="switched off"),
        pytest.param(spec(suspend=True, **LIMITS), None, None, "Suspended", False, id="suspended"),
        pytest.param(
            DigitalTwinSpec.from_wire({"source": {"systemType": "WebService"}}),
            Observation(now=NOW, samples={}),
            None,
            "NoTarget",
            False,
            id="a system outside the cluster",
        ),
        pytest.param(
            None, Observation(now=NOW, samples={}), None, "TargetNotFound", True, id="the target could not be read"
        ),
        pytest.param(
            None,
            dataclasses.replace(observation(cpuUsage=70), workload=workload(0, 0)),
            None,
            "ScaledToZero",
            False,
            id="a person scaled it to zero",
        ),
        pytest.param(
            None,
            dataclasses.replace(observation(cpuUsage=70), rival="older"),
            None,
            "AnotherTwin",
            True,
            id="an older twin corrects the target",
        ),
        pytest.param(
            None,
            dataclasses.replace(observation(cpuUsage=70), holder="younger"),
            None,
            "AnotherTwin",
            True,
            id="another twin still holds the field",
        ),
        pytest.param(
            None,
            dataclasses.replace(observation(cpuUsage=70), lever=None, no_lever_reason="AmbiguousHPA"),
            None,
            "AmbiguousHPA",
            True,
            id="two HPAs",
        ),
        pytest.param(None, observation(scale(3), cpuUsage=70), None, "NoBounds", True, id="no HPA, no bounds"),
        pytest.param(
            None, observation(hpa(2, SERVER_SIDE), cpuUsage=70), None, "OwnedByServerSideApply", True, id="owned"
        ),
        pytest.param(
            None,
            None,
            state(fight=Fight(manager="argo", generation=1, cycles=1, until=utc(NOW + 60))),
            "BackedOff",
            True,
            id="backed off",
        ),
        pytest.param(
            None, None, state(fight=Fight(manager="argo", generation=1, cycles=4)), "GaveUp", True, id="gave up"
        ),
        pytest.param(
            None,
            None,
            state(corrections=[record(Outcome.FAILED, age=59, message="no", retry_time=utc(NOW + 1))]),
            "WriteFailed",
            True,
            id="refused a moment ago",
        ),
        pytest.param(
            None,
            None,
            state(
                corrections=[
                    record(Outcome.FAILED, age=59, message="no right", reason="Forbidden", retry_time=utc(NOW + 3600))
                ]
            ),
            "Forbidden",
            True,
            id="a right is missing",
        ),
        pytest.param(None, STALE, None, "NoFreshMetrics", True, id="the value is held, not fresh"),
        pytest.param(None, observation(hpa(4), cpuUsage=70), None, "InPlace", False, id="there already"),
        pytest.param(
            None, None, state(corrections=[record(age=299)]), "Cooldown", False, id="the last raise is too young"
        ),
        pytest.param(
            None, observation(hpa(3, maximum=3), cpuUsage=70), None, "AtMaximum", True, id="the bounds end here"
        ),
        pytest.param(
            None,
            observation(hpa(3), ready=1, cpuUsage=400),
            None,
            "WaitingForReplicas",
            False,
            id="one of three asked for is ready",
        ),
    ],
)
def test_guards(twin: Any, seen: Any, previous: Any, reason: str, *, blocked: bool) -> None:
    decision = decided(twin, seen, previous).decision
    assert (decision.action, decision.reason, decision.blocked) == (None, reason, blocked)
    assert decision.message or reason == "AmbiguousHPA"
    assert not decision.writes


@pytest.mark.parametrize(
    "previous",
    [
        pytest.param(state(corrections=[record(age=300)]), id="the cooldown is over"),
        pytest.param(state(corrections=[record(Outcome.REVERTED, age=5)]), id="the last raise was put back"),
        pytest.param(state(corrections=[record(Outcome.PREVIEWED, age=5)]), id="the last raise was a preview"),
        pytest.param(state(corrections=[record(age=-100)]), id="the clock was set back"),
        pytest.param(
            state(corrections=[record(Outcome.FAILED, age=61, message="403", retry_time=utc(NOW - 1))]),
            id="refused a minute ago",
        ),
        pytest.param(
            state(corrections=[record(Outcome.FAILED, age=5, message="403", retry_time=utc(NOW + 86_400))]),
            id="refused before the clock was set back",
        ),
        pytest.param(state(corrections=[record(Outcome.FAILED, age=5, message=CHANGED)]), id="changed meanwhile"),
        pytest.param(state(corrections=[record(Outcome.FAILED, age=5, message=INTERRUPTED)]), id="interrupted"),
        pytest.param(
            state(fight=Fight(manager="argo", generation=1, cycles=1, until=utc(NOW - 1))), id="the back-off is over"
        ),
    ],
)
def test_what_does_not_stop_a_raise(previous: TwinState) -> None:
    assert decided(previous=previous).decision.to == 4


def test_a_raise_that_was_settled_in_this_very_sync_starts_the_cooldown() -> None:
    # Times are kept in microseconds: this one rounds up, to after the moment it was taken from.
    now = 1_700_000_000.1234567
    assert utc(now).timestamp() > now
    previous = state(corrections=[record(time=utc(now), outcome_time=utc(now))])
    seen = dataclasses.replace(observation(cpuUsage=70), now=now)
    assert decided(seen=seen, previous=previous).decision.reason == "Cooldown"


def test_nothing_drives_it() -> None:
    decision = decided(risks=[]).decision
    assert (decision.reason, decision.blocked, decision.trigger) == ("NotNeeded", False, "")


def test_scale_is_raised_between_given_bounds() -> None:
    twin = spec({"bounds": {"minReplicas": 1, "maxReplicas": 9}}, **LIMITS)
    assert decided(twin, observation(scale(3, KUBECTL), cpuUsage=70)).decision.to == 4


def test_a_stale_metric_does_not_hide_a_smaller_need_that_is_fresh() -> None:
    twin = spec(expectedState={"metrics": {"latencyMs": 100}}, **LIMITS)
    samples = {"cpuUsage": Sample("cpuUsage", Quality.STALE, 70.0), "latencyMs": Sample("latencyMs", Quality.GOOD, 300)}
    seen = dataclasses.replace(observation(), samples=samples)
    needed = demand(twin, seen, drift(alert("latencyMs")), [risk(upper=300)])
    decision = decide(twin, seen, state(), needed).decision
    assert (decision.trigger, decision.to) == ("Drift/latencyMs", 4)


@pytest.mark.parametrize(
    ("risks", "recommended"),
    [pytest.param(None, 4, id="driven"), pytest.param([risk(upper=5000)], 20, id="bounded"), ([], 3)],
)
def test_recommended_replicas(risks: Any, recommended: int) -> None:
    for twin in (spec(**LIMITS), spec({"mode": "Preview"}, **LIMITS), spec({"enabled": False}, **LIMITS)):
        assert decided(twin, risks=risks).recommended == recommended


def test_intent_and_original_are_written_down_before_anything_is_sent() -> None:
    seen = observation(hpa(2, KUBECTL), cpuUsage=70)
    written = record_decision(state(), decided(seen=seen), seen.lever, NOW)
    (entry,) = written.corrections
    assert (entry.outcome, entry.from_, entry.to, entry.limited_by) == (Outcome.PENDING, 2, 4, [])
    (held,) = written.saved_values
    assert (held.value, held.ours, held.manager, held.operation) == (2, None, "kubectl-client-side-apply", "Update")
    assert (held.bounds_min, held.bounds_max) == (2, 20)
    assert written.recommended_replicas == 4


def test_a_second_raise_keeps_the_first_original() -> None:
    seen = observation(hpa(3, OURS), cpuUsage=70)
    previous = state(originals=[original(2, ours=3)], corrections=[record(age=400)])
    written = record_decision(previous, decided(seen=seen, previous=previous), seen.lever, NOW)
    assert [(held.value, held.ours) for held in written.saved_values] == [(2, 3)]
    assert [entry.outcome for entry in written.corrections] == [Outcome.APPLIED, Outcome.PENDING]


def test_a_preview_is_recorded_once_and_holds_nothing() -> None:
    twin, seen = spec({"mode": "Preview"}, **LIMITS), observation(cpuUsage=70)
    first = record_decision(state(), decided(twin, seen), seen.lever, NOW)
    again = record_decision(first, decided(twin, seen, first), seen.lever, NOW + 60)
    assert [(r.outcome, r.to) for r in again.corrections] == [(Outcome.PREVIEWED, 4)]
    assert again.saved_values == ()
    later = dataclasses.replace(seen, now=NOW + 300)
    more = record_decision(again, decided(twin, later, again, [risk(upper=190)]), seen.lever, NOW + 300)
    assert [r.to for r in more.corrections] == [4, 6]


def test_previews_are_as_far_apart_as_corrections_would_be() -> None:
    twin, seen, last = spec({"mode": "Preview"}, **LIMITS), observation(cpuUsage=70), state()
    for sync in range(20):
        now = NOW + 60 * sync
        need = risk(upper=150 + 40 * (sync % 2))
        last = record_decision(last, decided(twin, dataclasses.replace(seen, now=now), last, [need]), seen.lever, now)
    assert [r.time.timestamp() - NOW for r in last.corrections] == [0, 300, 600, 900]


def test_a_preview_is_made_while_another_twin_holds_the_field() -> None:
    seen = dataclasses.replace(observation(cpuUsage=70), holder="younger")
    assert decided(spec({"mode": "Preview"}, **LIMITS), seen).decision.reason == "Preview"


def test_a_blocked_need_is_recorded_once_per_reason() -> None:
    seen = observation(hpa(2, SERVER_SIDE), cpuUsage=70)
    first = record_decision(state(), decided(seen=seen), seen.lever, NOW)
    again = record_decision(first, decided(seen=seen, previous=first, risks=[risk(upper=190)]), seen.lever, NOW + 60)
    assert [(r.outcome, r.to) for r in again.corrections] == [(Outcome.BLOCKED, 4)]
    assert again.corrections[0].message.startswith("OwnedByServerSideApply: ")


def test_being_blocked_without_a_need_is_no_record() -> None:
    seen = observation(hpa(2, SERVER_SIDE), cpuUsage=70)
    assert record_decision(state(), decided(seen=seen, risks=[]), seen.lever, NOW).corrections == ()


def test_the_list_keeps_ten_and_drops_what_changed_nothing_first() -> None:
    done = [record(age=5000 - place) for place in range(3)]
    previews = [record(Outcome.PREVIEWED, age=1000 - place, to=5 + place) for place in range(7)]
    full = state(corrections=[done[0], previews[0], *done[1:], *previews[1:]])
    written = record_decision(full, decided(previous=full), hpa(2), NOW)
    assert len(written.corrections) == 10
    assert [r for r in written.corrections if r.outcome is Outcome.APPLIED] == done
    assert written.corrections[-1].outcome is Outcome.PENDING
    assert previews[0] not in written.corrections


def test_giving_back_is_decided_before_raising() -> None:
    previous = state(originals=[original(2)], need_below_since=utc(NOW - 700))
    seen = observation(hpa(6, OURS), cpuUsage=20)
    decision = decided(seen=seen, previous=previous, risks=[]).decision
    assert (decision.action, decision.current, decision.to) == (CorrectionAction.GIVE_BACK, 6, 2)
    assert decision.trigger == "NeedPassed"
    assert decision.writes


def test_what_is_held_goes_back_in_preview_too() -> None:
    previous, seen = state(originals=[original(2)]), observation(hpa(6, OURS), cpuUsage=70)
    decision = decided(spec({"mode": "Preview"}, **LIMITS), seen, previous).decision
    assert decision.action is CorrectionAction.GIVE_BACK
    assert decision.writes


def test_a_refused_give_back_waits_before_it_tries_again() -> None:
    refused = record(Outcome.FAILED, age=10, action=CorrectionAction.GIVE_BACK, message="403", retry_time=utc(NOW + 50))
    previous = state(originals=[original(2)], corrections=[refused])
    decision = decided(spec({"enabled": False}), observation(hpa(6, OURS)), previous).decision
    assert (decision.action, decision.reason, decision.blocked) == (None, "WriteFailed", True)


def test_a_maximum_that_a_person_raised_on_our_word_counts_at_once() -> None:
    previous = state(originals=[original(2, ours=10, bounds_max=10)])
    blocked = decided(seen=observation(hpa(10, OURS, maximum=10), ready=10, cpuUsage=190), previous=previous, risks=[])
    assert blocked.recommended == 10
    twin, raised = spec(**LIMITS), [risk(upper=190, current=True)]
    at_maximum = decided(twin, observation(hpa(10, OURS, maximum=10), ready=10, cpuUsage=190), previous, raised)
    assert (at_maximum.decision.reason, at_maximum.decision.current, at_maximum.decision.to) == ("AtMaximum", 10, 20)
    freed = decided(twin, observation(hpa(10, OURS, maximum=50), ready=10, cpuUsage=190), previous, raised)
    assert (freed.decision.action, freed.decision.to, freed.recommended) == (CorrectionAction.RAISE, 20, 20)
