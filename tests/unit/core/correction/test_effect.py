"""No further step on a metric that did not answer to the last one; and as many as it takes where it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from support.correcting import HPA, NOW, alert, drift, hpa, observation, original, spec, state
from support.virtual_twin import Seen, VirtualTwin, World
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome, ReplicaStep
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction.decide import decide
from twinops.core.correction.need import demand

CPU = spec(expectedState={"metrics": {"cpuUsage": 50}})
LATENCY = spec(expectedState={"metrics": {"latencyMs": 100}})
THROUGHPUT = spec(expectedState={"metrics": {"throughputRps": 100}})
LIMITS = spec(limits={"throughputRps": 120})

ALONE = ("latencyMs",)
CPU_ALONE = ("cpuUsage",)


def raises(seen: Sequence[Seen]) -> list[tuple[str, int | None, int | None]]:
    return [(sync.metric, sync.decision.current, sync.decision.to) for sync in seen if sync.raised]


@pytest.mark.parametrize(
    ("twin", "world", "more", "metric", "reason"),
    [
        pytest.param(THROUGHPUT, World(lambda _: 150), {}, "throughputRps", "limitsPerReplica", id="offered load"),
        pytest.param(LIMITS, World(lambda _: 130), {}, "throughputRps", "limitsPerReplica", id="beyond its limit"),
        pytest.param(
            LATENCY, World(lambda _: 150, dependency=lambda _: 600), {}, "latencyMs", "dependency", id="dependency"
        ),
        pytest.param(
            LATENCY,
            World(lambda _: 150, dependency=lambda at: 200 + at / 10),
            {},
            "latencyMs",
            "dependency",
            id="a dependency that gets slower",
        ),
        pytest.param(
            LATENCY,
            World(lambda _: 150, dependency=lambda _: 600),
            {"metrics": ALONE},
            "latencyMs",
            "dependency",
            id="dependency, and nothing tells the load",
        ),
        pytest.param(
            CPU, World(lambda _: 10, busy=lambda _: 90), {}, "cpuUsage", "whether or not", id="pods busy by themselves"
        ),
        pytest.param(
            CPU,
            World(lambda _: 10, busy=lambda _: 90),
            {"metrics": CPU_ALONE},
            "cpuUsage",
            "whether or not",
            id="pods busy by themselves, and nothing tells the load",
        ),
        pytest.param(
            LATENCY,
            World(lambda _: 150, dependency=lambda _: 600),
            {"step": 600},
            "latencyMs",
            "dependency",
            id="syncs ten minutes apart",
        ),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_after_a_step_without_effect_there_is_no_further_one(
    twin: DigitalTwinSpec, world: World, more: dict[str, Any], metric: str, reason: str, noise: float
) -> None:
    seen = VirtualTwin(dataclasses.replace(world, noise=noise), twin, **more).run(3)
    assert [one[0] for one in raises(seen)] == [metric]
    last = seen[-1]
    assert (last.decision.reason, last.decision.blocked) == ("NoEffect", True)
    assert reason in last.decision.message
    # Whoever scales by what is recommended does not run away, either.
    assert last.recommended == last.value <= 4


@pytest.mark.parametrize("metrics", [CPU_ALONE, ("cpuUsage", "throughputRps", "latencyMs")])
@pytest.mark.parametrize("target", [0.0, 80.0])
def test_load_that_grows_while_replicas_grow_is_no_step_without_effect(metrics: tuple[str, ...], target: float) -> None:
    world = World(lambda at: 100 + at / 6, most=30, target=target)
    seen = VirtualTwin(world, CPU, metrics=metrics).run(1.5)
    assert len(raises(seen)) >= 8
    assert seen[-1].value >= 16
    assert max(s.observation.samples["cpuUsage"].value or 0 for s in seen[30:]) < 80


def test_load_that_jumps_is_followed_in_several_steps() -> None:
    seen = VirtualTwin(World(lambda at: 100 if at < 600 else 1100), CPU).run(2)
    assert [to for _, _, to in raises(seen)][:3] == [4, 8, 16]
    assert (seen[-1].observation.samples["cpuUsage"].value or 99) <= 60


@pytest.mark.parametrize(
    "goal", [{"limits": {"throughputRps": 120}}, {"expectedState": {"metrics": {"throughputRps": 90}}}]
)
def test_load_that_can_be_counted_in_replicas_is_followed_however_many_steps_it_takes(goal: dict[str, Any]) -> None:
    counted = spec(limitsPerReplica={"throughputRps": 60}, **goal)
    seen = VirtualTwin(World(lambda at: 100 if at < 600 else 300 if at < 3600 else 600), counted).run(2)
    assert [to for _, _, to in raises(seen)] == [4, 5, 10]
    assert not {"NoEffect", "Verifying"} & {sync.decision.reason for sync in seen}
    assert seen[-1].recommended == 10
    assert seen[-1].state.replica_steps == ()


@pytest.mark.parametrize("metrics", [("latencyMs", "throughputRps"), ("latencyMs", "cpuUsage")])
def test_what_latency_answered_to_is_kept_while_its_load_lasts(metrics: tuple[str, ...]) -> None:
    world = World(lambda at: 185 if at < 4 * 3600 else 100)
    seen = VirtualTwin(world, LATENCY, metrics=metrics).run(5)
    acted = [(sync.decision.action, sync.minute < 240) for sync in seen if sync.acted]
    assert [str(action) for action, _ in acted] == ["Raise", "GiveBack"]
    assert [early for _, early in acted] == [True, False]


def test_without_a_known_load_it_is_tried_ever_more_rarely_whether_fewer_do() -> None:
    seen = VirtualTwin(World(lambda _: 185), LATENCY, metrics=ALONE).run(12)
    back = [sync.minute for sync in seen if sync.acted and not sync.raised]
    assert 60 <= back[0] <= 90
    waits = [later - earlier for earlier, later in pairwise([0, *back])]
    assert all(later >= 1.5 * earlier for earlier, later in pairwise(waits))


def test_a_raise_that_was_given_back_may_be_made_again() -> None:
    world = World(lambda at: 150 if at % 7200 < 3600 else 50)
    seen = VirtualTwin(world, THROUGHPUT).run(3)
    assert [sync.raised for sync in seen if sync.acted] == [True, False, True]


def test_another_generation_starts_afresh() -> None:
    virtual = VirtualTwin(World(lambda _: 150), THROUGHPUT, state=state(last_sync_time=None, observed_generation=1))
    virtual.run(1)
    assert [step.generation for step in virtual.state.replica_steps] == [1]
    virtual.generation, virtual.state = 2, dataclasses.replace(virtual.state, observed_generation=2)
    assert virtual._sync(3600).decision.action is not None


def test_a_replica_that_crashes_and_comes_back_is_no_new_step() -> None:
    virtual = VirtualTwin(World(lambda _: 150, dependency=lambda _: 600), LATENCY)
    seen = virtual.run(1)
    assert seen[-1].decision.reason == "NoEffect"
    virtual._pods[-1] = dataclasses.replace(virtual._pods[-1], ready_since=None, started=NOW + 3600)
    after = [virtual._sync(3600 + 60 * minute) for minute in range(30)]
    assert raises(after) == []
    assert after[-1].decision.reason == "NoEffect"


def step(**more: Any) -> ReplicaStep:
    known: dict[str, Any] = {
        "metric": "latencyMs",
        "generation": -1,
        "replicas": 3,
        "value": 600.0,
        "beyond": True,
        "asked": utc(NOW - 60),
        "grown": utc(NOW - 300),
        "effects": [0.0, 0.1, 0.0],
    }
    return ReplicaStep(**(known | more))


@pytest.mark.parametrize(
    ("known", "value", "load", "reason"),
    [
        pytest.param(step(), 600, None, "NoEffect", id="no effect"),
        pytest.param(step(effects=[0.5, 0.5, 0.5]), 600, None, "Correcting", id="half of the fall came"),
        pytest.param(step(effects=[0.9], grown=utc(NOW - 601)), 600, None, "Correcting", id="one after ten minutes"),
        pytest.param(step(load=100, load_metric="throughputRps"), 900, 200, "Correcting", id="worse, as much to do"),
        pytest.param(step(load=100, load_metric="throughputRps"), 600, 200, "NoEffect", id="as much to do, not worse"),
        pytest.param(step(load=100, load_metric="throughputRps"), 900, 110, "NoEffect", id="worse, less to do"),
        pytest.param(step(), 1500, None, "NoEffect", id="worse, and nothing tells the load"),
        pytest.param(step(beyond=False), 600, None, "Correcting", id="it was only foreseen, and now it is seen"),
        pytest.param(step(generation=7), 600, None, "Correcting", id="of another spec"),
        pytest.param(step(replicas=4), 600, None, "Correcting", id="the replicas are gone again"),
        pytest.param(step(asked=utc(NOW - 601)), 600, None, "Correcting", id="it has asked for nothing for long"),
    ],
)
def test_when_a_further_step_may_be_taken(known: ReplicaStep, value: float, load: float | None, reason: str) -> None:
    values = {"latencyMs": value} | ({} if load is None else {"throughputRps": load})
    seen = observation(hpa(4), ready=4, **values)
    needed = demand(LATENCY, seen, drift(alert("latencyMs")), [])
    assert decide(LATENCY, seen, state(replica_steps=[known]), needed).decision.reason == reason


@pytest.mark.parametrize(
    ("effects", "decided"),
    [
        pytest.param([], ("Correcting", 5), id="not known yet, and nothing of ours stands"),
        pytest.param([0.0, 0.0, 0.0], ("NoEffect", 5), id="in vain: left as it is, and told"),
    ],
)
def test_a_floor_that_was_put_back_is_answered_unless_it_was_in_vain(
    effects: list[float], decided: tuple[str, int]
) -> None:
    seen = observation(hpa(2), ready=4, latencyMs=600.0)
    needed = demand(LATENCY, seen, drift(alert("latencyMs")), [])
    decision = decide(LATENCY, seen, state(replica_steps=[step(effects=effects)]), needed).decision
    assert (decision.reason, decision.to) == decided


def test_one_sample_tells_nothing_of_what_we_raised() -> None:
    done = CorrectionRecord(
        id="raise",
        time=utc(NOW - 400),
        action=CorrectionAction.RAISE,
        mode=CorrectionMode.APPLY,
        object=HPA,
        field="spec.minReplicas",
        trigger="Drift/latencyMs",
        why="",
        outcome=Outcome.APPLIED,
        outcome_time=utc(NOW - 400),
    )
    previous = state(replica_steps=[step(effects=[0.9])], corrections=[done], originals=[original(3, ours=4)])
    seen = observation(hpa(4), ready=4, latencyMs=600.0)
    needed = demand(LATENCY, seen, drift(alert("latencyMs")), [])
    assert decide(LATENCY, seen, previous, needed).decision.reason == "Verifying"
