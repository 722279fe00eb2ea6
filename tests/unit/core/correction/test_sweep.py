"""Random workloads for hours, in virtual time: what must hold of corrections whatever happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from support.correcting import spec
from support.virtual_twin import EACH, Seen, VirtualTwin, World
from twinops.api.twin.corrections import CorrectionAction
from twinops.api.twin.spec import DigitalTwinSpec

HOURS = 5.0
QUIET_FROM = 3.5 * 3600
"""From here on there is no traffic, and everything works."""

SEEDS = range(12)
METRICS = ("cpuUsage", "latencyMs", "throughputRps", "errorRate")


def scenario(seed: int) -> VirtualTwin:
    """Return some workload: what it is asked for, what is wrong with it, and what its twin knows."""
    rng = random.Random(seed)  # noqa: S311 - a scenario, no secret
    load = hills(rng, 0, 1500)
    slow = hills(rng, 0, 900) if rng.random() < 0.5 else (lambda _: 0.0)
    spinning = hills(rng, 0, 90) if rng.random() < 0.3 else (lambda _: 5.0)
    gaps = [rng.uniform(0, QUIET_FROM) for _ in range(rng.randint(0, 3))]
    deploys = [rng.uniform(0, QUIET_FROM) for _ in range(rng.randint(0, 3))]
    world = World(
        load=until_quiet(load),
        dependency=until_quiet(slow),
        busy=until_quiet(spinning),
        start_seconds=rng.uniform(5, 90),
        start_cpu=rng.choice([0, 0, 200]),
        noise=rng.choice([0.0, 0.01, 0.02]),
        lost=lambda at: any(gap <= at < gap + 900 for gap in gaps),
        rollout=lambda at: any(begin <= at < begin + 480 for begin in deploys),
        most=rng.randint(5, 40),
        target=rng.choice([0.0, 70.0, 90.0]),
        pods_known=rng.random() < 0.7,
        seed=seed,
    )
    metrics = tuple(metric for metric in METRICS if metric == "throughputRps" or rng.random() < 0.7)
    return VirtualTwin(world, twin(rng), step=rng.choice([30, 60, 60, 120]), floor=rng.randint(1, 4), metrics=metrics)


def twin(rng: random.Random) -> DigitalTwinSpec:
    expected = {"cpuUsage": 50, "latencyMs": 100, "throughputRps": 400}
    limits = {"cpuUsage": 80, "latencyMs": 300, "throughputRps": 600}
    bounds = {"maxReplicas": rng.randint(3, 30), "maxStepPercent": rng.choice([50, 100])}
    more = {"limitsPerReplica": {"throughputRps": EACH}} if rng.random() < 0.3 else {}
    return spec(
        {"bounds": bounds if rng.random() < 0.5 else {}, "cooldownSeconds": rng.choice([0, 60, 300])},
        expectedState={"metrics": {m: value for m, value in expected.items() if rng.random() < 0.6}},
        limits={m: value for m, value in limits.items() if rng.random() < 0.6},
        **more,
    )


def hills(rng: random.Random, least: float, most: float) -> Callable[[float], float]:
    """Return a line through random points, with jumps."""
    points = [(0.0, rng.uniform(least, most / 4))]
    while points[-1][0] < HOURS * 3600:
        at, value = points[-1]
        later = at + rng.uniform(600, 3600)
        # Half of the time it stays, else it goes somewhere else, slowly or at once.
        other = value if rng.random() < 0.5 else rng.uniform(least, most)
        points += [(later, other)] if rng.random() < 0.5 else [(later, value), (later + 1, other)]

    def value_at(at: float) -> float:
        for (begin, first), (end, last) in pairwise(points):
            if begin <= at < end:
                return first + (last - first) * (at - begin) / (end - begin)
        return points[-1][1]

    return value_at


def until_quiet(value: Callable[[float], float]) -> Callable[[float], float]:
    return lambda at: value(at) if at < QUIET_FROM else 0.0


@pytest.fixture(scope="module", params=SEEDS)
def run(request: pytest.FixtureRequest) -> tuple[VirtualTwin, list[Seen]]:
    virtual = scenario(request.param)
    return virtual, virtual.run(HOURS)


def test_replicas_stay_within_bounds(run: tuple[VirtualTwin, list[Seen]]) -> None:
    virtual, seen = run
    most = min(virtual.world.most, virtual.spec.auto_correction.bounds.max_replicas or virtual.world.most)
    # A floor that was there before stays, whatever the bounds say.
    for sync in seen:
        assert virtual.floor <= sync.value <= max(most, virtual.floor)
        assert 1 <= (sync.recommended or 1) <= max(most, virtual.floor)
        if sync.raised:
            assert (sync.decision.current or 0) < (sync.decision.to or 0) <= most


def test_nothing_is_raised_on_what_is_not_known(run: tuple[VirtualTwin, list[Seen]]) -> None:
    for sync in run[1]:
        if sync.raised:
            assert sync.observation.samples[sync.metric].actionable
        if sync.acted and sync.decision.action is CorrectionAction.GIVE_BACK:
            assert any(sample.actionable for sample in sync.observation.samples.values())


def test_no_metric_is_stepped_on_in_vain_twice(run: tuple[VirtualTwin, list[Seen]]) -> None:
    virtual, seen = run
    for held in periods(seen):
        vain: dict[str, list[float]] = {}
        for sync in held:
            if sync.raised and in_vain(virtual, sync):
                vain.setdefault(sync.metric, []).append(each(virtual, sync))
        assert len(vain.get("throughputRps", ())) <= 1
        # A further one needs a need of its own: more to do for each pod than when the last one was made.
        assert all(later > earlier for loads in vain.values() for earlier, later in pairwise(loads)), vain


def each(virtual: VirtualTwin, sync: Seen) -> float:
    assert sync.observation.workload is not None
    return virtual.world.load(sync.minute * 60) / max(sync.observation.workload.ready, 1)


def periods(seen: Sequence[Seen]) -> list[list[Seen]]:
    """Return the syncs between one giving back and the next."""
    found: list[list[Seen]] = [[]]
    for sync in seen:
        found[-1].append(sync)
        if sync.acted and not sync.raised:
            found.append([])
    return found


def in_vain(virtual: VirtualTwin, sync: Seen) -> bool:
    """Tell whether the replicas that a raise adds cannot lower its metric, as the world is at this moment."""
    world, at, to = virtual.world, sync.minute * 60, sync.decision.to or 1
    ready = sync.observation.workload.ready if sync.observation.workload else 1
    if to <= ready:
        return False
    if sync.metric == "throughputRps":
        return "throughputRps" not in virtual.spec.limits_per_replica

    def value(pods: int) -> float:
        use = world.load(at) / EACH / max(pods, 1)
        if sync.metric == "cpuUsage":
            return world.busy(at) + 100 * use
        return world.dependency(at) + 20 / (1 - min(use, 0.97))

    before, after = value(ready), value(to)
    return before - after < 0.1 * before * (1 - ready / to)


def test_it_comes_to_rest(run: tuple[VirtualTwin, list[Seen]]) -> None:
    """What was given back is not raised again at once, and nothing goes up and down for ever."""
    seen = [sync for sync in run[1] if sync.acted]
    backs = [sync.minute for sync in seen if not sync.raised]
    assert all(later - earlier >= 10 for earlier, later in pairwise(backs))
    assert len(backs) <= 6


def test_what_was_raised_is_given_back_when_the_need_is_gone(run: tuple[VirtualTwin, list[Seen]]) -> None:
    virtual, seen = run
    assert seen[-1].value == virtual.floor
    assert seen[-1].state.saved_values == ()
