"""What counts as news in a status, and what is only a heartbeat."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinops.api.base import utc
from twinops.api.twin.corrections import Fight, StartUp
from twinops.api.twin.observed import Quality
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.status.diff import is_material, material_changes

T0, T1 = "2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z"
LIMITS = {"cpuUsage": 95.0}
EXPECTED = {"latencyMs": 120.0, "errorRate": 0.0}


def condition(**change: Any) -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Synced",
        "message": "all is well",
        "lastTransitionTime": T0,
        "observedGeneration": 1,
    } | change


def alert(**change: Any) -> dict[str, Any]:
    return {
        "component": "cpuUsage",
        "severity": "medium",
        "direction": "Above",
        "expected": "50%",
        "actual": "65%",
        "since": T0,
        "recent": "00111",
        "persistent": True,
        "eligible": True,
        "recommendation": "add replicas",
    } | change


def correction(**change: Any) -> dict[str, Any]:
    return {
        "id": "1-raise-3",
        "time": T0,
        "action": "Raise",
        "mode": "Apply",
        "object": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "shop"},
        "field": "spec.minReplicas",
        "from": 2,
        "to": 3,
        "trigger": "Drift/cpuUsage",
        "why": "CPU is at 65%",
        "outcome": "Pending",
    } | change


def original(**change: Any) -> dict[str, Any]:
    return {
        "object": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "shop"},
        "field": "spec.minReplicas",
        "value": 2,
        "time": T0,
        "ours": 3,
    } | change


def risk(**change: Any) -> dict[str, Any]:
    return {
        "metric": "cpuUsage",
        "limit": 95,
        "horizonSeconds": 1800,
        "probability": 0.6,
        "upper": 99,
        "since": T0,
        "persistent": False,
        "message": "CPU may reach 95% in 30 minutes",
    } | change


def prediction(metric: str = "cpuUsage", value: float = 60.0, horizon: int = 1800) -> dict[str, Any]:
    return {
        "horizonSeconds": horizon,
        "time": T0,
        "quantiles": {metric: [value - 5, value, value + 5]},
    }


def status(**change: Any) -> DigitalTwinStatus:
    base: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": [condition()],
        "healthScore": 90,
        "observed": [{"name": "cpuUsage", "value": 60, "quality": "Good", "time": T0}],
        "predictions": [prediction()],
        "risks": [],
        "drift": {"detected": False, "alerts": []},
        "replicas": 3,
        "recommendedReplicas": 3,
        "corrections": [],
        "originals": [],
        "samplesCollected": 100,
        "lastSyncTime": T0,
        "lastHandledSyncRequest": "a",
    }
    return DigitalTwinStatus.from_wire(base | change)


START_UP = {"since": T0, "changed": T0, "last": T0}


def step(**change: Any) -> dict[str, Any]:
    known = {"metric": "latencyMs", "generation": 1, "replicas": 3, "value": 600, "beyond": True, "asked": T0}
    return known | change


def with_alerts(*alerts: dict[str, Any], detected: bool = True) -> DigitalTwinStatus:
    return status(drift={"detected": detected, "alerts": list(alerts)})


NEWS = [
    pytest.param(status(), status(observedGeneration=2), "observedGeneration", id="a new generation was seen"),
    pytest.param(status(), status(lastHandledSyncRequest="b"), "lastHandledSyncRequest", id="a request was handled"),
    pytest.param(
        status(), status(conditions=[condition(status="False")]), "conditions", id="a condition changed its status"
    ),
    pytest.param(
        status(), status(conditions=[condition(reason="Late")]), "conditions", id="a condition changed its reason"
    ),
    pytest.param(
        status(),
        status(conditions=[condition(), condition(type="Drifted")]),
        "conditions",
        id="a condition came",
    ),
    pytest.param(status(), status(conditions=[]), "conditions", id="a condition went"),
    pytest.param(
        status(),
        status(observed=[{"name": "cpuUsage", "quality": "Stale"}]),
        "quality",
        id="a metric turned stale",
    ),
    pytest.param(status(), status(observed=[]), "quality", id="a metric went"),
    pytest.param(status(), status(replicas=4), "replicas", id="replicas"),
    pytest.param(status(), status(replicas=None), "replicas", id="replicas are no longer known"),
    pytest.param(status(), status(recommendedReplicas=5), "recommendedReplicas", id="recommended replicas"),
    pytest.param(status(), status(healthScore=88), "healthScore", id="health fell by two points"),
    pytest.param(status(), status(healthScore=92), "healthScore", id="health rose by two points"),
    pytest.param(status(), status(healthScore=None), "healthScore", id="health is no longer known"),
    pytest.param(status(healthScore=None), status(healthScore=0), "healthScore", id="health is known now"),
    pytest.param(with_alerts(detected=False), with_alerts(alert()), "drift", id="an alert came"),
    pytest.param(with_alerts(alert()), with_alerts(), "drift", id="an alert went"),
    pytest.param(with_alerts(alert()), with_alerts(alert(severity="high")), "drift", id="severity rose"),
    pytest.param(with_alerts(alert()), with_alerts(alert(direction="Below")), "drift", id="direction turned"),
    pytest.param(with_alerts(alert()), with_alerts(alert(persistent=False)), "drift", id="no longer persistent"),
    pytest.param(with_alerts(alert()), with_alerts(alert(eligible=False)), "drift", id="no longer eligible"),
    pytest.param(status(), status(risks=[risk()]), "risks", id="a risk came"),
    pytest.param(status(risks=[risk()]), status(risks=[risk(persistent=True)]), "risks", id="a risk persists"),
    pytest.param(status(), status(corrections=[correction()]), "corrections", id="a correction was decided"),
    pytest.param(
        status(corrections=[correction()]),
        status(corrections=[correction(outcome="Verified")]),
        "corrections",
        id="a correction was verified",
    ),
    pytest.param(status(), status(originals=[original()]), "originals", id="an original was recorded"),
    pytest.param(status(), status(replicaSteps=[step()]), "replicaSteps", id="a step is waited for"),
    pytest.param(
        status(replicaSteps=[step()]), status(replicaSteps=[step(grown=T0)]), "replicaSteps", id="there are more pods"
    ),
    pytest.param(
        status(replicaSteps=[step(grown=T0)]),
        status(replicaSteps=[step(grown=T0, effects=[0.1])]),
        "replicaSteps",
        id="one sample of a step is judged",
    ),
    pytest.param(status(), status(startUp=START_UP), "startUp", id="pods start up"),
    pytest.param(
        status(originals=[original()]), status(originals=[original(ours=4)]), "originals", id="our value changed"
    ),
    pytest.param(status(), status(needBelowSince=T0), "needBelowSince", id="the need fell below"),
    pytest.param(status(), status(failingSince=T0), "failingSince", id="metrics began to fail"),
    pytest.param(
        status(),
        status(predictions=[prediction(value=60 + 4.75)]),
        "predictions",
        id="a prediction moved by 5 percent of its limit",
    ),
    pytest.param(
        status(predictions=[prediction("latencyMs", 100)]),
        status(predictions=[prediction("latencyMs", 94)]),
        "predictions",
        id="without a limit, by 5 percent of the expected value",
    ),
    pytest.param(status(), status(predictions=[]), "predictions", id="predictions went"),
    pytest.param(
        status(), status(predictions=[prediction(horizon=900)]), "predictions", id="predicted for another horizon"
    ),
]

HEARTBEATS = [
    pytest.param(status(), status(), id="nothing changed"),
    pytest.param(status(), status(lastSyncTime=T1), id="only the time"),
    pytest.param(status(), status(samplesCollected=101), id="one sample more"),
    pytest.param(status(), status(failedSyncs=2), id="failures are counted"),
    pytest.param(status(), status(conditions=[condition(message="8 of 10")]), id="a condition's message"),
    pytest.param(
        status(),
        status(conditions=[condition(lastTransitionTime=T1)]),
        id="a condition's time alone",
    ),
    pytest.param(
        status(), status(observed=[{"name": "cpuUsage", "value": 61.5, "quality": "Good"}]), id="a value moved"
    ),
    pytest.param(status(), status(healthScore=91), id="health moved by one point"),
    pytest.param(
        with_alerts(alert()), with_alerts(alert(actual="66%", recent="01111")), id="an alert's value and memory"
    ),
    pytest.param(
        with_alerts(alert(), alert(component="latencyMs")),
        with_alerts(alert(component="latencyMs"), alert()),
        id="alerts in another order",
    ),
    pytest.param(status(risks=[risk()]), status(risks=[risk(probability=0.7)]), id="a risk's probability moved"),
    pytest.param(
        status(), status(predictions=[prediction(value=64.7)]), id="a prediction moved by less than 5 percent"
    ),
    pytest.param(
        status(predictions=[prediction("queueLength", 10)]),
        status(predictions=[prediction("queueLength", 1000)]),
        id="a prediction with neither limit nor expected value",
    ),
    pytest.param(
        status(predictions=[prediction("errorRate", 0.0)]),
        status(predictions=[prediction("errorRate", 0.3)]),
        id="a prediction whose expected value is 0, without limit",
    ),
]


@pytest.mark.parametrize(("before", "after", "name"), NEWS)
def test_news_is_written_at_once(before: DigitalTwinStatus, after: DigitalTwinStatus, name: str) -> None:
    assert material_changes(before, after, limits=LIMITS, expected=EXPECTED) == (name,)
    assert is_material(before, after, limits=LIMITS, expected=EXPECTED)


@pytest.mark.parametrize(("before", "after"), HEARTBEATS)
def test_the_rest_can_wait(before: DigitalTwinStatus, after: DigitalTwinStatus) -> None:
    assert not is_material(before, after, limits=LIMITS, expected=EXPECTED)


def test_a_first_status_is_news() -> None:
    assert is_material(None, DigitalTwinStatus(), limits={}, expected={})


def test_every_change_is_named() -> None:
    after = status(replicas=9, healthScore=10)
    assert material_changes(status(), after, limits=LIMITS, expected=EXPECTED) == ("replicas", "healthScore")


def test_two_alerts_of_one_component_are_told_apart() -> None:
    different = alert(direction="Different", severity="medium")
    before = with_alerts(alert(persistent=False, eligible=False), different)
    after = with_alerts(alert(severity="critical"), different)
    assert material_changes(before, after, limits=LIMITS, expected=EXPECTED) == ("drift",)


# ---- any change that decides something is news, any other is not ----------------------------------

FLAGS = ("persistent", "eligible", "harmless", "learned")
DECIDES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "conditions": st.fixed_dictionaries(
        {
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": st.sampled_from(["Synced", "Forbidden", "QueryRefused"]),
            "observedGeneration": st.integers(1, 2),
        }
    ),
    "drift.alerts": st.fixed_dictionaries(
        {
            "component": st.sampled_from(["cpuUsage", "replicas"]),
            "direction": st.sampled_from(["Above", "Below", "Different"]),
            "severity": st.sampled_from(["low", "medium", "high", "critical"]),
            **dict.fromkeys(FLAGS, st.booleans()),
        }
    ),
    "risks": st.fixed_dictionaries(
        {
            "metric": st.sampled_from(["cpuUsage", "latencyMs"]),
            **dict.fromkeys(("persistent", "calibrated", "current"), st.booleans()),
        }
    ),
    "observed": st.fixed_dictionaries(
        {
            "quality": st.sampled_from([quality.value for quality in Quality]),
            "reason": st.sampled_from(["", "NoSuchSeries"]),
            "unit": st.sampled_from(["% of limits", "% of requests"]),
            "query": st.sampled_from(["container-cpu", "Custom"]),
        }
    ),
    "fight": st.fixed_dictionaries({"cycles": st.integers(0, 2), "generation": st.integers(0, 2)}),
}
JITTER: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "conditions": st.fixed_dictionaries(
        {"message": st.text(max_size=9), "lastTransitionTime": st.sampled_from([T0, T1])}
    ),
    "drift.alerts": st.fixed_dictionaries(
        {
            "actual": st.sampled_from(["65%", "66%"]),
            "deviationPercent": st.floats(0, 99),
            "recent": st.sampled_from(["111", "0111"]),
            "lastDataTime": st.sampled_from([T0, T1]),
            "recommendation": st.sampled_from(["", "add replicas"]),
        }
    ),
    "risks": st.fixed_dictionaries(
        {
            "probability": st.floats(0, 1),
            "upper": st.floats(0, 200),
            "horizonSeconds": st.sampled_from([900, 1800]),
            "message": st.sampled_from(["soon", "sooner"]),
            "recent": st.sampled_from(["111", "0111"]),
        }
    ),
    "observed": st.fixed_dictionaries(
        {"value": st.floats(0, 100), "time": st.sampled_from([T0, T1]), "message": st.sampled_from(["", "60 s old"])}
    ),
    "fight": st.just({}),
}
WHOLE: dict[str, dict[str, Any]] = {
    "conditions": condition(),
    "drift.alerts": alert(),
    "risks": risk(),
    "observed": {"name": "cpuUsage"},
    "fight": {"manager": "kubectl"},
}


def built(part: str, entry: dict[str, Any]) -> DigitalTwinStatus:
    """Return a status of which one part holds this entry."""
    match part:
        case "drift.alerts":
            return with_alerts(entry)
        case "fight":
            return status(fight=entry)
        case _:
            return status(**{part: [entry]})


@given(data=st.data(), part=st.sampled_from(sorted(DECIDES)))
def test_what_decides_is_news_and_what_moves_at_every_sync_is_not(data: st.DataObject, part: str) -> None:
    decides, others = st.tuples(DECIDES[part], DECIDES[part]), st.tuples(JITTER[part], JITTER[part])
    (first, second), (moved, again) = data.draw(decides), data.draw(others)
    before, after = (built(part, WHOLE[part] | facts | jitter) for facts, jitter in ((first, moved), (second, again)))
    assert is_material(before, after, limits=LIMITS, expected=EXPECTED) is (first != second)


def test_out_of_sight_is_news() -> None:
    lost = status(drift={"detected": False, "unknown": ["cpuUsage"]})
    assert material_changes(status(), lost, limits=LIMITS, expected=EXPECTED) == ("drift",)
    unknown = status(health={"confidence": 0.5, "unknown": ["cpuUsage"]})
    assert "health" in material_changes(status(health={"confidence": 1}), unknown, limits=LIMITS, expected=EXPECTED)


def test_desired_replicas_and_the_forecast_that_is_published_are_news() -> None:
    before = status(summary={"replicas": "3/3"}, forecastSkill={"metrics": [{"name": "cpuUsage", "trusted": True}]})
    more = status(summary={"replicas": "3/5"}, forecastSkill={"metrics": [{"name": "cpuUsage", "trusted": True}]})
    naive = status(summary={"replicas": "3/3"}, forecastSkill={"metrics": [{"name": "cpuUsage", "trusted": False}]})
    assert material_changes(before, more, limits=LIMITS, expected=EXPECTED) == ("replicas",)
    assert material_changes(before, naive, limits=LIMITS, expected=EXPECTED) == ("trusted",)


def test_the_fraction_of_a_second_that_is_not_written_is_no_news() -> None:
    exact = utc(1_700_000_000.7)
    status = DigitalTwinStatus.from_wire({"corrections": [correction()], "originals": [original()]})
    (record,), (held,) = status.corrections, status.originals
    record = record.model_copy(update={"time": exact, "outcome_time": exact, "retry_time": exact})
    times = {
        "need_below_since": exact,
        "failing_since": exact,
        "start_up": StartUp(since=exact, changed=exact, last=exact),
        "fight": Fight(manager="helm", reversions=[exact], until=exact, generation=1),
    }
    computed = status.model_copy(
        update={"corrections": [record], "originals": [held.model_copy(update={"time": exact})], **times}
    )
    written = DigitalTwinStatus.from_wire(computed.to_wire())
    assert written.corrections != computed.corrections
    assert material_changes(written, computed, limits={}, expected={}) == ()
