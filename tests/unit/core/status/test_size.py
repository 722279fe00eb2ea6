"""How many bytes a status takes, and that what is left out of its JSON is filled in again."""

from __future__ import annotations

import dataclasses
import json
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from twinops.api.base import utc
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.forecast.restart_state import encode
from twinops.core.observation import Sample
from twinops.core.series import Floats, Series
from twinops.core.status.base import Sync
from twinops.core.status.render import render_synced
from twinops.engine.restart_states import marked
from twinops.engine.twin import TwinEngine

NOW = 1_790_000_040.0
LEVELS = {
    "cpuUsage": 50.0,
    "memoryUsage": 60.0,
    "latencyMs": 110.0,
    "errorRate": 0.009,
    "throughputRps": 27.0,
    "activeConnections": 85.0,
}
SPEC = DigitalTwinSpec.from_wire(
    {
        "source": {"systemType": "APIGateway", "targetRef": {"name": "checkout"}},
        "expectedState": {"metrics": {"cpuUsage": 50, "memoryUsage": 60, "latencyMs": 120, "errorRate": 0.01}},
        "limits": {"cpuUsage": 95, "latencyMs": 500},
    }
)


def values(level: float, times: Floats) -> Floats:
    noise = np.random.default_rng(int(times[0])).standard_normal(len(times))
    return np.asarray(level * (1 + 0.12 * np.sin(2 * np.pi * times / 86_400) + 0.05 * noise))


@lru_cache
def status_of(scale: float) -> DigitalTwinStatus:
    """Return the status of a twin with six metrics after four syncs on half a day of history.

    Args:
        scale: of CPU and latency now, relative to the past.
    """
    times = NOW - 60 * np.arange(720.0, 0, -1)
    forecaster = Forecaster(list(LEVELS), 60.0, [900, 1800, 3600])
    past = {metric: Recorded(Series(times, values(level, times), 60.0)) for metric, level in LEVELS.items()}
    forecaster.learn(past, limits=SPEC.limits)
    engine, status = TwinEngine(SPEC, forecaster), DigitalTwinStatus()
    for now in NOW + 60 * np.arange(4.0):
        one = np.array([now])
        samples = {
            metric: Sample(
                metric,
                Quality.GOOD,
                float(values(level * (scale if metric in ("cpuUsage", "latencyMs") else 1), one)[0]),
                time=now - 7,
                unit="percent of limits" if metric.endswith("Usage") else "requests/s",
                query="ingress-nginx",
                basis="of limits of the containers app, as the pods tell" if metric.endswith("Usage") else "",
            )
            for metric, level in LEVELS.items()
        }
        done = engine.sync(float(now), samples)
        restart_state = encode(marked(done.observation.forecast_result.skills, dict.fromkeys(LEVELS, "a query")))
        assessment = dataclasses.replace(done.assessment, restart_state=restart_state)
        base = done.state.to_status(status)
        status = render_synced(base, SPEC, Sync(1, float(now), None), done.observation, assessment, {}, None)
    return status


def size(wire: Any) -> int:
    return len(json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("scale", "readable"),
    [pytest.param(1.0, 3900, id="all is well"), pytest.param(2.2, 5400, id="two metrics drift and one is at risk")],
)
def test_a_status_with_six_metrics_is_small(scale: float, readable: int) -> None:
    wire = status_of(scale).to_wire()
    assert 400 < len(wire["restartState"]) <= 1024
    assert size({name: value for name, value in wire.items() if name != "restartState"}) <= readable


@pytest.mark.parametrize("scale", [1.0, 2.2])
def test_what_is_left_out_is_filled_in_again(scale: float) -> None:
    status = status_of(scale)
    wire = json.loads(json.dumps(status.to_wire()))
    assert {"observedTime", "failedSyncs", "drift"} <= wire.keys()
    assert all("time" not in metric for metric in wire["observed"])
    assert all("observedGeneration" not in condition for condition in wire["conditions"])
    read = DigitalTwinStatus.from_wire(wire)
    assert {metric.time for metric in read.observed} == {utc(NOW + 173)}
    assert {condition.observed_generation for condition in read.conditions} == {1}
    assert read.observed_time is None
    assert read.to_wire() == status.to_wire()


def test_times_that_differ_stay() -> None:
    first, *rest = status_of(1.0).observed
    wire = DigitalTwinStatus(observed=[first.model_copy(update={"time": utc(NOW)}), *rest]).to_wire()
    told = {metric["name"]: metric["time"] for metric in wire["observed"] if "time" in metric}
    assert told == {first.name: utc(NOW).strftime("%Y-%m-%dT%H:%M:%SZ")}


def test_a_metric_without_a_time_is_given_none() -> None:
    first, *rest = status_of(1.0).observed
    given = DigitalTwinStatus(observed=[first.model_copy(update={"time": None}), *rest])
    read = DigitalTwinStatus.from_wire(given.to_wire())
    assert [metric.name for metric in read.observed if metric.time is None] == [first.name]


def test_a_condition_of_an_older_generation_says_so() -> None:
    old = status_of(1.0).conditions[0].model_copy(update={"observed_generation": 4})
    wire = DigitalTwinStatus(observed_generation=5, conditions=[old]).to_wire()
    assert wire["conditions"][0]["observedGeneration"] == 4
