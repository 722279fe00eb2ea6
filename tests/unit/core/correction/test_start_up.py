"""Pods that start up keep CPU and latency from being acted on, by the HPA's rules, and not for ever."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from support.correcting import (
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
    state,
    workload,
)
from support.virtual_twin import VirtualTwin, World
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, StartUp
from twinops.api.twin.drift import Drift
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.correction.decide import DecisionResult, decide
from twinops.core.correction.decision_record import record_decision
from twinops.core.correction.need import demand
from twinops.core.correction.start_up import LONGEST_ROLLOUT_SECONDS, LONGEST_SECONDS, STUCK_SECONDS, starting
from twinops.core.observation import Observation, Pod
from twinops.core.state import TwinState

CPU = spec(expectedState={"metrics": {"cpuUsage": 50}})
BOTH = spec(expectedState={"metrics": {"cpuUsage": 50, "latencyMs": 100}}, limitsPerReplica={"throughputRps": 50})
OLD = Pod("old", NOW - 3600, NOW - 3500)
YOUNG = Pod("young", NOW - 40, NOW - 20)


def seen(*pods: Pod, rollout: str = "", known: bool = True, desired: int | None = None, **values: float) -> Observation:
    looked = observation(hpa(2, KUBECTL), ready=3, **(values or {"cpuUsage": 90.0}))
    target = dataclasses.replace(workload(3, desired), pods=pods if known else None, rollout=rollout)
    return dataclasses.replace(looked, workload=target)


def decided(looked: Observation, previous: TwinState | None = None, **more: Any) -> DecisionResult:
    needed = demand(more.get("twin", CPU), looked, drift(alert("cpuUsage"), alert("latencyMs")), more.get("risks", []))
    return decide(more.get("twin", CPU), looked, previous or state(), needed)


@pytest.mark.parametrize(
    ("pods", "holds"),
    [
        pytest.param([OLD, OLD], False, id="all have run for long"),
        pytest.param([OLD, YOUNG], True, id="ready, and its samples begin before that"),
        pytest.param([OLD, Pod("p", NOW - 100, NOW - 61)], False, id="a whole window since it was ready"),
        pytest.param([OLD, Pod("p", NOW - 299, None)], True, id="not ready yet"),
        pytest.param([OLD, Pod("p", NOW - 300, None)], False, id="not ready after five minutes"),
        pytest.param([OLD, Pod("p", NOW - 3600, NOW - 5)], False, id="an old one that was not ready for a while"),
        pytest.param([OLD, Pod("p")], False, id="waits for a node, and uses nothing"),
        pytest.param([OLD, dataclasses.replace(YOUNG, terminating=True)], False, id="on its way out"),
        pytest.param([], False, id="none"),
    ],
)
def test_pods_that_start_up(pods: list[Pod], *, holds: bool) -> None:
    decision = decided(seen(*pods)).decision
    assert decision.reason == ("StartingUp" if holds else "Correcting")
    assert not decision.blocked


def test_a_window_is_as_long_as_that_of_the_queries_and_ends_with_the_samples() -> None:
    ready = seen(OLD, Pod("p", NOW - 200, NOW - 100))
    assert starting(ready) == ""
    assert starting(dataclasses.replace(ready, windows={"cpuUsage": 120})) == "1 of 2 pods are starting up"
    assert starting(dataclasses.replace(seen(OLD, YOUNG), windows={"cpuUsage": 0})) == "", "a value of this very moment"
    late = {"cpuUsage": dataclasses.replace(ready.samples["cpuUsage"], time=NOW - 50)}
    assert starting(dataclasses.replace(ready, samples=late)) != ""


@pytest.mark.parametrize(
    ("looked", "words"),
    [
        pytest.param(
            seen(OLD, rollout="1 of 3 updated"), "a rollout is under way (1 of 3 updated)", id="no new pod has begun"
        ),
        pytest.param(
            seen(OLD, Pod("p", NOW - STUCK_SECONDS + 1, NOW - 500), rollout="1 of 3 updated"),
            "a rollout is under way (1 of 3 updated)",
            id="on its way",
        ),
        pytest.param(seen(known=False, rollout="x"), "a rollout is under way (x)", id="pods not known"),
        pytest.param(seen(known=False, desired=4), "3 of 4 replicas are ready", id="pods not known, one not ready"),
        pytest.param(seen(known=False), "", id="pods not known, all ready"),
    ],
)
def test_rollouts(looked: Observation, words: str) -> None:
    assert starting(looked) == words


def test_offered_load_goes_on_and_the_rest_is_not_known() -> None:
    looked = seen(OLD, YOUNG, cpuUsage=300.0, latencyMs=900.0, throughputRps=190.0)
    found = decided(looked, twin=BOTH, risks=[risk("throughputRps", limit=150, upper=190, current=True)])
    assert (found.decision.trigger, found.decision.to, found.recommended) == ("Risk/throughputRps", 4, 4)
    alone = decided(seen(OLD, YOUNG, cpuUsage=300.0, latencyMs=900.0, throughputRps=100.0), twin=BOTH)
    assert (alone.decision.reason, alone.recommended) == ("StartingUp", 3)


def test_nothing_is_given_back_on_what_pods_use_that_start_up() -> None:
    looked = dataclasses.replace(seen(OLD, YOUNG, cpuUsage=5.0), lever=hpa(6, OURS))
    previous = state(originals=[original(2)], need_below_since=utc(NOW - 900))
    found = decide(CPU, looked, previous, demand(CPU, looked, Drift(), []))
    assert (found.decision.action, found.below_since) == (None, None)


def until(pods_known: bool, *, rollout: str, fresh_pods: bool) -> float | None:  # noqa: FBT001 - a fact of the case
    """Return the seconds until the need is met although pods start up, None when it never is in two hours."""
    last = state(last_sync_time=None)
    for minute in range(120):
        now = NOW + 60 * minute
        newest = Pod("new", now - 30 if fresh_pods else NOW - 30, None)
        looked = dataclasses.replace(seen(OLD, newest, rollout=rollout, known=pods_known, desired=4), now=now)
        found = decided(looked, last)
        if found.decision.action is CorrectionAction.RAISE:
            return 60.0 * minute
        last = dataclasses.replace(record_decision(last, found, looked.lever, now), last_sync_time=utc(now))
        # As it comes back from the API server, so that nothing lives in memory alone.
        last = TwinState.from_status(DigitalTwinStatus.from_wire(last.to_status(DigitalTwinStatus()).to_wire()))
    return None


@pytest.mark.parametrize(
    ("case", "seconds"),
    [
        pytest.param({"pods_known": False, "rollout": "x", "fresh_pods": False}, LONGEST_SECONDS, id="not known"),
        pytest.param({"pods_known": False, "rollout": "", "fresh_pods": False}, LONGEST_SECONDS, id="one never ready"),
        pytest.param({"pods_known": True, "rollout": "x", "fresh_pods": False}, STUCK_SECONDS, id="stuck"),
        pytest.param({"pods_known": True, "rollout": "", "fresh_pods": True}, LONGEST_SECONDS, id="one after another"),
        pytest.param(
            {"pods_known": True, "rollout": "x", "fresh_pods": True}, LONGEST_ROLLOUT_SECONDS, id="a long rollout"
        ),
    ],
)
def test_a_real_need_is_not_held_back_for_ever(case: dict[str, Any], seconds: float) -> None:
    assert until(**case) == pytest.approx(seconds, abs=60)


def test_where_pods_are_not_known_their_last_samples_are_waited_for() -> None:
    previous = state(start_up=StartUp(since=utc(NOW - 300), changed=utc(NOW - 300), last=utc(NOW - 100)))
    assert decided(seen(known=False), previous).decision.reason == "StartingUp"
    later = dataclasses.replace(seen(known=False), now=NOW + 20)
    found = decided(later, previous)
    assert (found.decision.reason, found.start_up) == ("Correcting", None)


@pytest.mark.parametrize("pods_known", [True, False])
def test_a_deploy_raises_nothing(pods_known: bool) -> None:  # noqa: FBT001 - a fact of the case
    world = World(
        lambda _: 90, start_cpu=300, rollout=lambda at: 1200 <= at < 1800, pods_known=pods_known, start_seconds=45
    )
    seen_all = VirtualTwin(world, CPU, floor=6).run(2)
    assert not any(sync.acted for sync in seen_all)
    assert {sync.recommended for sync in seen_all if 20 <= sync.minute < 30} == {6}
    assert "StartingUp" in {sync.decision.reason for sync in seen_all}


def test_load_that_grows_during_a_deploy_is_followed_after_it() -> None:
    world = World(lambda at: 90 if at < 1200 else 600, start_cpu=300, rollout=lambda at: 1200 <= at < 1800)
    raised = [sync.minute for sync in VirtualTwin(world, CPU, floor=6).run(2) if sync.raised]
    assert raised
    assert 30 <= raised[0] <= 34


@pytest.mark.parametrize(("away", "holds"), [(300, False), (3600, True)])
def test_a_start_that_nobody_saw_end_does_not_wear_out_the_next_one(away: float, *, holds: bool) -> None:
    """Suspended, or without metrics, a twin looks at no pods; what starts up after that is something else."""
    before = StartUp(since=utc(NOW - 7200), changed=utc(NOW - 7200), last=utc(NOW - away))
    forecast_result = decided(seen(OLD, YOUNG), state(start_up=before))
    assert (forecast_result.decision.reason == "StartingUp") is holds
    assert forecast_result.start_up is not None
    assert (forecast_result.start_up.since == utc(NOW)) is holds
