"""The penalty of a value: at the expected value, at the limit, and between."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.penalty import penalty_of


def spec(expected: dict[str, float] | None = None, **more: Any) -> DigitalTwinSpec:
    return DigitalTwinSpec.from_wire(
        {"source": {"systemType": "APIGateway"}, "expectedState": {"metrics": expected or {}}, **more}
    )


CPU_50 = {"cpuUsage": 50.0}
QUEUE_100 = {"queueDepth": 100.0}


@pytest.mark.parametrize(
    ("expected", "more", "metric", "value", "penalty"),
    [
        pytest.param(CPU_50, {"limits": {"cpuUsage": 90}}, "cpuUsage", 50, 0.0, id="at the expected value"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 90}}, "cpuUsage", 70, 0.5, id="half way to the limit"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 90}}, "cpuUsage", 90, 1.0, id="at the limit"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 90}}, "cpuUsage", 300, 1.0, id="clipped beyond the limit"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 90}}, "cpuUsage", 5, 0.0, id="harmless side"),
        pytest.param(CPU_50, {}, "cpuUsage", 72.5, 0.5, id="default limit"),
        pytest.param({"cpuUsage": 99.0}, {}, "cpuUsage", 138.6, 0.5, id="expected beyond the default limit"),
        pytest.param({"latencyMs": 100.0}, {}, "latencyMs", 140, 0.5, id="no limit: four thresholds of 20 %"),
        pytest.param({"latencyMs": 100.0}, {"thresholds": {"latencyMs": 50}}, "latencyMs", 200, 0.5, id="of 50 %"),
        pytest.param(
            {"latencyMs": 100.0}, {"thresholds": {"latencyMs": 1e-9}}, "latencyMs", 101, 1.0, id="tiny threshold"
        ),
        pytest.param({"latencyMs": 100.0}, {"thresholds": {"latencyMs": 250}}, "latencyMs", 600, 0.5, id="over 100 %"),
        pytest.param(
            {"latencyMs": 100.0}, {"absoluteThresholds": {"latencyMs": 50}}, "latencyMs", 200, 0.5, id="absolute"
        ),
        pytest.param({"errorRate": 0.0}, {}, "errorRate", 0.025, 0.5, id="expected 0, default limit"),
        pytest.param({"errorRate": 0.0}, {"limits": {"errorRate": 1e-6}}, "errorRate", 5e-7, 0.5, id="tiny values"),
        pytest.param({"errorRate": 0.6}, {}, "errorRate", 0.8, 0.5, id="never beyond what is possible"),
        pytest.param({"latencyMs": 0.0}, {}, "latencyMs", 40, None, id="expected 0 and nothing to measure by"),
        pytest.param(
            {"latencyMs": 0.0},
            {"absoluteThresholds": {"latencyMs": 20}},
            "latencyMs",
            40,
            0.5,
            id="expected 0, absolute",
        ),
        pytest.param({}, {}, "latencyMs", 40, None, id="nothing said"),
        pytest.param({}, {}, "cpuUsage", 76, 0.0, id="default limit alone: free up to 80 %"),
        pytest.param({}, {}, "cpuUsage", 85.5, 0.5, id="default limit alone: half of the last fifth"),
        pytest.param({}, {}, "errorRate", 0.025, 0.5, id="every error counts"),
        pytest.param({}, {"limits": {"latencyMs": 500}}, "latencyMs", 450, 0.5, id="limit alone"),
        pytest.param({}, {"limits": {"balance": -10}}, "balance", -11, 0.5, id="negative limit alone"),
        pytest.param({}, {"limits": {"errorRate": 0}}, "errorRate", 0.001, 1.0, id="limit 0 alone, past it"),
        pytest.param({}, {"limits": {"errorRate": 0}}, "errorRate", 0.0, 0.0, id="limit 0 alone, at it"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 40}}, "cpuUsage", 45, 1.0, id="limit below expected, past it"),
        pytest.param(CPU_50, {"limits": {"cpuUsage": 40}}, "cpuUsage", 39, 0.0, id="limit below expected, not past it"),
        pytest.param(QUEUE_100, {}, "queueDepth", 60, 0.5, id="custom metric, too little"),
        pytest.param(QUEUE_100, {}, "queueDepth", 140, 0.5, id="custom metric, too much"),
        pytest.param({"hitRatio": 0.9}, {"limits": {"hitRatio": 0.5}}, "hitRatio", 0.7, 0.5, id="lower limit"),
        pytest.param({"hitRatio": 0.9}, {"limits": {"hitRatio": 0.5}}, "hitRatio", 0.4, 1.0, id="past a lower limit"),
        pytest.param({"balance": -100.0}, {}, "balance", -140, 0.5, id="negative expected, too little"),
        pytest.param({"balance": -100.0}, {}, "balance", -60, 0.5, id="negative expected, too much"),
        pytest.param({"balance": 0.0}, {"limits": {"balance": 10}}, "balance", -50, 0.0, id="no measure on this side"),
        pytest.param({"throughputRps": 200.0}, {}, "throughputRps", 40, 1.0, id="traffic gone"),
        pytest.param(
            {"throughputRps": 200.0}, {"thresholds": {"throughputRps": 90}}, "throughputRps", 0, 1.0, id="full at 0"
        ),
        pytest.param({"huge": 1e18}, {}, "huge", 1.7e308, 1.0, id="no overflow"),
    ],
)
def test_penalty(
    expected: dict[str, float], more: dict[str, Any], metric: str, value: float, penalty: float | None
) -> None:
    found = penalty_of(spec(expected, **more), metric, value)
    assert found == (None if penalty is None else pytest.approx(penalty))


def test_use_beyond_a_request_has_no_default_limit() -> None:
    assert penalty_of(spec(), "cpuUsage", 150, unit="% of requests") is None
    assert penalty_of(spec(), "cpuUsage", 150, unit="% of limits") == 1.0
