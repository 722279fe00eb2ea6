"""How many replicas are needed, and the sentence that says why."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.correcting import alert, drift, observation, risk, spec, state, workload
from twinops.api.twin.drift import Direction, Drift
from twinops.api.twin.observed import Quality
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.correction.decide import decide
from twinops.core.correction.need import demand
from twinops.core.correction.sizing import MAX_REPLICAS, ceil
from twinops.core.forecast.result import ForecastResult
from twinops.core.observation import Observation, Sample

LIMITS = {"limits": {"cpuUsage": 95, "latencyMs": 500, "throughputRps": 200}}
EXPECTED = {"expectedState": {"metrics": {"cpuUsage": 50, "latencyMs": 120, "throughputRps": 100}}}


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        pytest.param(3.0, 3, id="whole"),
        pytest.param(3.0000000004, 3, id="whole but for a float's last digits"),
        pytest.param(3.00001, 4, id="a little more"),
        pytest.param(0.1 * 3 / 0.1, 3, id="0.1 * 3 / 0.1"),
        pytest.param(-1.0, 0, id="never negative"),
        pytest.param(1e300, MAX_REPLICAS, id="never absurd"),
    ],
)
def test_rounding_up(value: float, rounded: int) -> None:
    assert ceil(value) == rounded


@given(replicas=st.integers(1, 2000), each=st.floats(1e-3, 1e6))
def test_exactly_full_replicas_need_no_further_one(replicas: int, each: float) -> None:
    assert ceil(replicas * each / each) == replicas


@pytest.mark.parametrize(
    ("risks", "more", "values", "replicas", "why"),
    [
        pytest.param(
            [risk()],
            {},
            {"cpuUsage": 70},
            4,
            "CPU is foreseen at 118% in 1 minute (limit 95%): ceil(3 x 118/95) = 4 replicas",
            id="cpu by proportion",
        ),
        pytest.param(
            [risk(upper=100)],
            {},
            {"cpuUsage": 130},
            5,
            "CPU is at 130% (limit 95%): ceil(3 x 130/95) = 5 replicas",
            id="observed is larger than foreseen",
        ),
        pytest.param(
            [risk("throughputRps", limit=150, upper=260)],
            {"limitsPerReplica": {"throughputRps": 50}},
            {"throughputRps": 120},
            6,
            "throughput is foreseen at 260 req/s in 1 minute (limit 150 req/s): ceil(260/50 per replica) = 6 replicas",
            id="throughput by what a replica carries",
        ),
        pytest.param(
            [risk("throughputRps", limit=200, upper=260)],
            {},
            {"throughputRps": 120},
            4,
            "throughput is foreseen at 260 req/s in 1 minute (limit 200 req/s): "
            "one step of 25%, ceil(3 x 1.25) = 4 replicas",
            id="throughput without a limit per replica",
        ),
        pytest.param(
            [risk("latencyMs", limit=500, upper=900)],
            {},
            {"latencyMs": 300},
            4,
            "latency is foreseen at 900 ms in 1 minute (limit 500 ms): one step of 25%, ceil(3 x 1.25) = 4 replicas",
            id="latency by a step",
        ),
    ],
)
def test_a_lasting_risk_drives(
    risks: list[Any], more: dict[str, Any], values: dict[str, Any], replicas: int, why: str
) -> None:
    found = demand(spec(**LIMITS, **more), observation(**values), Drift(), risks)
    assert [(need.replicas, need.why) for need in found.needs] == [(replicas, why)]
    assert found.needs[0].trigger == f"Risk/{risks[0].metric}"


def test_a_limit_that_was_crossed_when_it_was_last_seen_is_not_called_foreseen() -> None:
    lost = demand(spec(**LIMITS), observation(), Drift(), [risk(upper=118, current=True, horizon_seconds=1)])
    assert lost.needs[0].why.startswith("CPU was last at 118% (limit 95%): ")
    assert not lost.needs[0].actionable


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        pytest.param(risk(persistent=False), observation(cpuUsage=70), id="not lasting"),
        pytest.param(risk(calibrated=False), observation(cpuUsage=70), id="not calibrated"),
        pytest.param(
            risk(),
            dataclasses.replace(observation(cpuUsage=70), forecast_result=ForecastResult(history_complete=False)),
            id="history refilling",
        ),
        pytest.param(risk("memoryUsage"), observation(memoryUsage=70), id="replicas do not help against it"),
    ],
)
def test_what_must_not_drive_a_correction(given: Any, seen: Observation) -> None:
    assert demand(spec(**LIMITS), seen, Drift(), [given]).needs == ()


def test_a_limit_that_is_crossed_already_drives_by_what_is_observed_alone() -> None:
    crossed = risk(calibrated=False, current=True, upper=10_000)
    found = demand(spec(**LIMITS), observation(cpuUsage=100), Drift(), [crossed])
    assert found.needs[0].replicas == 4
    assert found.needs[0].why.startswith("CPU is at 100%")


@pytest.mark.parametrize(
    ("alerts", "more", "values", "needs"),
    [
        pytest.param([alert("cpuUsage")], {}, {"cpuUsage": 80}, {"Drift/cpuUsage": 4}, id="cpu: 3 x 80/60"),
        pytest.param(
            [alert("cpuUsage")], {"thresholds": {"cpuUsage": 50}}, {"cpuUsage": 80}, {"Drift/cpuUsage": 4}, id="3*80/75"
        ),
        pytest.param([alert("latencyMs")], {}, {"latencyMs": 300}, {"Drift/latencyMs": 4}, id="latency by a step"),
        pytest.param(
            [alert("throughputRps")],
            {"limitsPerReplica": {"throughputRps": 25}},
            {"throughputRps": 180},
            {"Drift/throughputRps": 8},
            id="throughput by what a replica carries",
        ),
        pytest.param([alert("cpuUsage", eligible=False)], {}, {"cpuUsage": 80}, {}, id="not eligible"),
        pytest.param([alert("cpuUsage", persistent=False)], {}, {"cpuUsage": 80}, {}, id="not lasting"),
        pytest.param(
            [alert("throughputRps", direction=Direction.BELOW)], {}, {"throughputRps": 20}, {}, id="too little traffic"
        ),
        pytest.param([alert("memoryUsage")], {}, {"memoryUsage": 90}, {}, id="replicas do not help against it"),
        pytest.param(
            [alert("cpuUsage"), alert("latencyMs")],
            {},
            {"cpuUsage": 110, "latencyMs": 300},
            {"Drift/cpuUsage": 6, "Drift/latencyMs": 4},
            id="the largest comes first",
        ),
    ],
)
def test_lasting_drift_drives(
    alerts: list[Any], more: dict[str, Any], values: dict[str, Any], needs: dict[str, int]
) -> None:
    found = demand(spec(**EXPECTED, **more), observation(**values), drift(*alerts), [])
    assert [(need.trigger, need.replicas) for need in found.needs] == list(needs.items())


LEARNED = {"expectedState": {"learned": True}}


def normal(seen: Observation, **bands: tuple[float, float, float]) -> Observation:
    """Return the observation with what was learned: expected, lower and upper by metric."""
    baselines = {metric: BaselineEstimate(*band) for metric, band in bands.items()}
    return dataclasses.replace(seen, forecast_result=ForecastResult(baselines=baselines))


def test_lasting_drift_from_what_was_learned_drives() -> None:
    seen = normal(observation(cpuUsage=90, latencyMs=300), cpuUsage=(40, 35, 45), latencyMs=(120, 100, 200))
    found = demand(spec(**LEARNED), seen, drift(alert("cpuUsage"), alert("latencyMs")), [])
    assert [(need.trigger, need.replicas) for need in found.needs] == [("Drift/cpuUsage", 6), ("Drift/latencyMs", 4)]
    assert found.needs[0].why == "CPU is at 90% (expected 40%, at most 48%): ceil(3 x 90/48) = 6 replicas"


@pytest.mark.parametrize(
    ("held_by", "recommended"),
    [
        pytest.param((), 3, id="a quiet hour is no reason to run fewer replicas than now"),
        pytest.param(("cpuUsage",), 2, id="what was raised for it is held against it"),
    ],
)
def test_what_was_learned_is_a_goal_only_for_what_is_held_because_of_it(
    held_by: tuple[str, ...], recommended: int
) -> None:
    seen = normal(observation(cpuUsage=30), cpuUsage=(40, 35, 45))
    assert demand(spec(**LEARNED), seen, Drift(), [], held_by=held_by).recommended == recommended


@pytest.mark.parametrize(
    ("more", "values", "recommended", "known"),
    [
        pytest.param(EXPECTED, {"cpuUsage": 20, "latencyMs": 100, "throughputRps": 90}, 1, True, id="3 x 20/60"),
        pytest.param({"limits": {"cpuUsage": 95}}, {"cpuUsage": 80}, 3, True, id="3 x 80/95"),
        pytest.param(
            {"limitsPerReplica": {"throughputRps": 10}}, {"throughputRps": 95}, 10, True, id="without any limit or risk"
        ),
        pytest.param({"limits": {"latencyMs": 500}}, {"latencyMs": 20}, 3, True, id="latency says nothing downwards"),
        pytest.param({"limits": {"latencyMs": 500}}, {"latencyMs": 600}, 4, True, id="latency too high"),
        pytest.param(EXPECTED, {"cpuUsage": 20}, 3, False, id="a value is missing: as many as now"),
        pytest.param({}, {"cpuUsage": 20}, 3, True, id="nothing to hold it against: as many as now"),
        pytest.param(EXPECTED, {}, 3, False, id="no values at all"),
    ],
)
def test_recommended_replicas_are_told_always(
    more: dict[str, Any], values: dict[str, Any], recommended: int, *, known: bool
) -> None:
    found = demand(spec(**more), observation(**values), Drift(), [])
    assert (found.needs, found.recommended, found.known) == ((), recommended, known)


def gone(metric: str, reason: str = "NoSuchSeries") -> Sample:
    return Sample(metric, Quality.MISSING, reason=reason)


BOTH = {"expectedState": {"metrics": {"cpuUsage": 50, "latencyMs": 120}}}
LATENCY = {"limits": {"latencyMs": 500}}
CAPACITY = {"limits": {"cpuUsage": 95}, "limitsPerReplica": {"throughputRps": 50}}


@pytest.mark.parametrize(
    ("more", "missing", "held_by", "recommended", "known"),
    [
        pytest.param(BOTH, gone("latencyMs"), set(), 1, True, id="it never had data"),
        pytest.param(BOTH, gone("latencyMs"), {"latencyMs"}, 3, False, id="it is why the value was raised"),
        pytest.param(BOTH, gone("latencyMs"), {"cpuUsage"}, 1, True, id="another one is"),
        pytest.param(BOTH, Sample("latencyMs", Quality.STALE), set(), 3, False, id="it had data a moment ago"),
        pytest.param(BOTH, Sample("latencyMs", Quality.EMPTY), set(), 3, False, id="its series are there"),
        pytest.param(CAPACITY, gone("throughputRps"), set(), 3, True, id="load that vanished is not taken for little"),
        pytest.param(CAPACITY, gone("throughputRps", "NoScope"), set(), 1, True, id="load that is not to be had"),
        pytest.param(LATENCY, gone("latencyMs"), set(), 3, False, id="nothing else is known"),
    ],
)
def test_a_metric_without_any_data_does_not_hold_everything_up(
    more: dict[str, Any], missing: Sample, held_by: set[str], recommended: int, *, known: bool
) -> None:
    cpu = {} if more == LATENCY else {"cpuUsage": Sample("cpuUsage", Quality.GOOD, 3.0)}
    seen = dataclasses.replace(observation(), samples=cpu | {missing.metric: missing})
    found = demand(spec(**more), seen, Drift(), [], held_by=held_by)
    assert (found.recommended, found.known) == (recommended, known)


def test_a_listed_risk_holds_what_was_raised_though_it_does_not_drive_yet() -> None:
    found = demand(spec(**LIMITS), observation(cpuUsage=20), Drift(), [risk(upper=190, persistent=False)])
    assert (found.needs, found.hold_floor) == ((), 6)


def test_a_stale_value_is_neither_zero_nor_a_reason() -> None:
    stale = Sample("cpuUsage", Quality.STALE, 20.0)
    seen = dataclasses.replace(observation(), samples={"cpuUsage": stale})
    found = demand(spec(**LIMITS), seen, Drift(), [risk()])
    assert not found.known
    assert not found.needs[0].fresh


def test_nothing_is_concluded_from_a_workload_without_a_ready_replica() -> None:
    seen = dataclasses.replace(observation(cpuUsage=0), workload=workload(0, desired=6))
    found = demand(spec(limits={"cpuUsage": 95}), seen, Drift(), [])
    assert (found.recommended, found.known) == (6, False)


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e300])
def test_replicas_are_counted_up_to_a_maximum_whatever_the_figures(value: float) -> None:
    assert ceil(value) == MAX_REPLICAS


def counted(pods: int | None, *, ready: int, **values: float) -> Observation:
    return dataclasses.replace(observation(None, ready=ready, **values), cpu_counted=True, cpu_pods=pods)


@pytest.mark.parametrize(
    ("seen", "risks", "recommended", "why"),
    [
        # The HPA has just gone from 3 to 10; seven are ready and have no rate yet.
        pytest.param(
            counted(3, ready=10, cpuUsage=188), [], 10, "ceil(3 x 188/60) = 10 replicas", id="ready too early"
        ),
        pytest.param(
            counted(10, ready=3, cpuUsage=54), [], 9, "ceil(10 x 54/60) = 9 replicas", id="rated after the end"
        ),
        pytest.param(
            counted(3, ready=10, cpuUsage=150),
            [risk(upper=190, limit=95)],
            8,
            "ceil(3 x 190/95) = 6 replicas",
            id="foreseen",
        ),
    ],
)
def test_cpu_is_reckoned_over_the_pods_that_it_is_a_mean_over(
    seen: Observation, risks: list[Any], recommended: int, why: str
) -> None:
    found = demand(spec(**EXPECTED), seen, drift() if risks else drift(alert("cpuUsage")), risks)
    assert found.needs[0].why.endswith(why)
    assert found.observed["cpuUsage"] <= recommended
    alone = demand(spec(expectedState={"metrics": {"cpuUsage": 50}}), seen, Drift(), [])
    assert alone.recommended == recommended


def test_pods_that_were_not_counted_are_not_guessed() -> None:
    twin = spec(expectedState={"metrics": {"cpuUsage": 50}})
    found = demand(twin, counted(None, ready=10, cpuUsage=188), drift(alert("cpuUsage")), [])
    assert (found.recommended, found.known) == (10, False)
    [need] = found.needs
    assert (need.actionable, need.fresh) == (False, True)
    decision = decide(twin, counted(None, ready=10, cpuUsage=188), state(), found).decision
    assert (decision.action, decision.reason, decision.blocked) == (None, "PodsNotCounted", True)


@given(total=st.floats(1, 5000), rated=st.integers(1, 50), ready=st.integers(1, 50))
def test_the_need_of_a_demand_does_not_depend_on_how_many_pods_are_ready(total: float, rated: int, ready: int) -> None:
    twin = spec(expectedState={"metrics": {"cpuUsage": 50}})
    found = demand(twin, counted(rated, ready=ready, cpuUsage=total / rated), Drift(), [])
    assert found.recommended == max(1, ceil(total / 60))
