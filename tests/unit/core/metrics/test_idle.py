"""Without traffic latency and errors are known to be well: in drift, health, risks and what is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from support.correcting import NOW, OURS, hpa, observation, original, risk, spec, state
from twinops.api.base import utc
from twinops.api.conditions import ConditionType, find
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import assess, limits_in_force
from twinops.core.assess.drift import assess_drift
from twinops.core.assess.health import assess_health
from twinops.core.correction.decide import decide
from twinops.core.correction.decision_record import record_decision
from twinops.core.correction.need import demand
from twinops.core.forecast.horizon import QUANTILES, HorizonForecast
from twinops.core.forecast.result import ForecastResult
from twinops.core.metrics.idle import idle_metrics
from twinops.core.observation import Observation, Sample
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.render import render_synced

TWIN = spec(
    expectedState={"metrics": {"cpuUsage": 50, "latencyMs": 120, "errorRate": 0.01}},
    limits={"latencyMs": 500},
    limitsPerReplica={"throughputRps": 50},
)


def night(
    quality: Quality = Quality.EMPTY, *, traffic: Sample | float | None = 0.0, now: float = NOW
) -> dict[str, Sample]:
    samples = {
        "cpuUsage": Sample("cpuUsage", Quality.GOOD, 1.0, time=now),
        "latencyMs": Sample("latencyMs", quality, None, reason="EmptyResult"),
        "errorRate": Sample("errorRate", quality, None, reason="EmptyResult"),
    }
    if isinstance(traffic, Sample):
        return samples | {"throughputRps": traffic}
    return samples if traffic is None else samples | {"throughputRps": Sample("throughputRps", Quality.GOOD, traffic)}


@pytest.mark.parametrize(
    ("samples", "idle"),
    [
        pytest.param(night(), {"latencyMs", "errorRate"}, id="no result"),
        pytest.param(night(Quality.MISSING), {"latencyMs", "errorRate"}, id="no series"),
        pytest.param(night(Quality.NAN), {"latencyMs", "errorRate"}, id="0 by 0"),
        pytest.param(night(Quality.STALE), {"latencyMs", "errorRate"}, id="the pods that had requests are gone"),
        pytest.param(night(Quality.HELD), {"latencyMs", "errorRate"}, id="the last value of the day is held"),
        pytest.param(night(Quality.ERROR), set(), id="the query fails"),
        pytest.param(night(Quality.BOUNDED), set(), id="something is known of it"),
        pytest.param(night(traffic=0.2), set(), id="some traffic"),
        pytest.param(night(traffic=None), set(), id="nothing tells the traffic"),
        pytest.param(night(traffic=Sample("throughputRps", Quality.HELD, 0.0)), set(), id="the traffic is a stand-in"),
        pytest.param(night(traffic=Sample("throughputRps", Quality.EMPTY)), set(), id="the traffic is not known"),
        pytest.param(night(traffic=Sample("throughputRps", Quality.EMPTY, 0.0)), set(), id="it is taken for 0"),
    ],
)
def test_what_counts_as_idle(samples: dict[str, Sample], idle: set[str]) -> None:
    assert idle_metrics(samples) == idle


def test_a_latency_that_is_measured_is_what_it_is() -> None:
    samples = night() | {"latencyMs": Sample("latencyMs", Quality.GOOD, 900.0)}
    assert idle_metrics(samples) == {"errorRate"}


def seen(samples: Mapping[str, Sample], *, ready: int = 15, now: float = NOW) -> Observation:
    looked = observation(hpa(15, OURS), ready=ready)
    return dataclasses.replace(looked, samples=samples, now=now, limits=limits_in_force(TWIN, looked.workload))


@pytest.mark.parametrize("quality", [Quality.EMPTY, Quality.MISSING, Quality.NAN, Quality.STALE, Quality.HELD])
@pytest.mark.parametrize("raised_for", ["cpuUsage", "latencyMs"])
def test_what_was_raised_by_day_is_given_back_by_night(quality: Quality, raised_for: str) -> None:
    last = raised(raised_for)
    for minute in range(12):
        now = NOW + 60 * minute
        looked = seen(night(quality, now=now), now=now)
        # What was foreseen by day stays listed, and nobody asks for anything.
        needed = demand(TWIN, looked, Drift(), [risk("latencyMs", limit=500, upper=900)], held_by={raised_for})
        found = decide(TWIN, looked, last, needed)
        assert found.recommended == 2
        if found.decision.action is not None:
            break
        last = dataclasses.replace(record_decision(last, found, looked.lever, now), last_sync_time=utc(now))
    assert (found.decision.action, found.decision.trigger, minute) == (CorrectionAction.GIVE_BACK, "NeedPassed", 10)


def raised(metric: str) -> TwinState:
    done = CorrectionRecord(
        id="raise",
        time=utc(NOW - 3600),
        action=CorrectionAction.RAISE,
        mode=CorrectionMode.APPLY,
        object=hpa().object,
        field="spec.minReplicas",
        trigger=f"Drift/{metric}",
        why="",
        outcome=Outcome.APPLIED,
    )
    return state(originals=[original(2, ours=15)], corrections=[done])


def test_without_a_known_traffic_an_empty_latency_holds_on() -> None:
    looked = seen(night(traffic=Sample("throughputRps", Quality.STALE)))
    assert not demand(TWIN, looked, Drift(), []).known


def test_drift_of_the_day_is_over_without_traffic() -> None:
    drift = Drift()
    for minute in range(4):
        now = NOW + 60 * minute
        day = {"latencyMs": Sample("latencyMs", Quality.GOOD, 400.0, time=now)}
        drift = assess_drift(TWIN, day, {}, None, drift, now)
    assert drift.detected
    lasted = []
    for minute in range(4, 10):
        now = NOW + 60 * minute
        drift = assess_drift(TWIN, night(now=now), {}, None, drift, now)
        lasted.append([(a.actual, a.eligible) for a in drift.alerts if a.component == "latencyMs" and a.persistent])
    assert lasted[0] == [("no traffic", False)]
    assert lasted[-1] == []
    assert not any(alert.component == "latencyMs" for alert in drift.alerts)


def test_health_is_sure_of_an_idle_workload() -> None:
    day = night() | {metric: Sample(metric, Quality.GOOD, value) for metric, value in DAY.items()}
    assert assess_health(TWIN, night())[0] == 100
    assert assess_health(TWIN, night())[1].confidence == assess_health(TWIN, day)[1].confidence
    unsure = assess_health(TWIN, night(traffic=None))[1]
    assert set(unsure.unknown) == {"latencyMs", "errorRate"}
    assert unsure.confidence < 1


DAY = {"cpuUsage": 50.0, "latencyMs": 120.0, "errorRate": 0.01, "throughputRps": 80.0}


def test_nothing_is_at_risk_and_the_others_samples_are_counted() -> None:
    ahead = HorizonForecast(900, tuple(900.0 for _ in QUANTILES), 0.9, 100, calibrated=True)
    forecast_result = ForecastResult(forecasts={"latencyMs": (ahead,)}, samples={"cpuUsage": 400, "latencyMs": 3})
    at_night = dataclasses.replace(seen(night()), forecast_result=forecast_result)
    by_day = state(
        observed=[ObservedMetric(name="latencyMs", quality=Quality.GOOD, value=400.0)],
        risks=[risk("latencyMs", limit=500, upper=900)],
    )
    found = assess(TWIN, at_night, by_day)
    assert (found.risks, found.samples_collected) == ((), 400)
    unknown = dataclasses.replace(at_night, samples=night(traffic=None))
    assert [one.metric for one in assess(TWIN, unknown, by_day).risks] == ["latencyMs"]


def test_metrics_are_available_though_two_have_nothing_to_measure() -> None:
    looked = seen(night())
    told = render_synced(DigitalTwinStatus(), TWIN, Sync(1, NOW, None), looked, assess(TWIN, looked, state()), {}, None)
    condition: Any = find(told.conditions, ConditionType.METRICS_AVAILABLE)
    assert (condition.status.value, condition.reason) == ("True", "AllAnswering")
    assert "latencyMs has nothing to measure without traffic" in condition.message
