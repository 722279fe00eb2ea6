"""Drift at one sync: thresholds, severity, direction, eligibility and words."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinops.api.base import utc
from twinops.api.references import TargetRef
from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import LARGEST, DigitalTwinSpec
from twinops.core.assess.drift import assess_drift, has_expected_state
from twinops.core.assess.tolerance import tolerance
from twinops.core.observation import Sample, Workload
from twinops.metric_definitions import STANDARD

NOW = 1_700_000_000.0


def spec(expected: dict[str, Any] | None = None, **more: Any) -> DigitalTwinSpec:
    return DigitalTwinSpec.from_wire({"source": {"systemType": "WebService"}, "expectedState": expected or {}, **more})


def good(**values: float) -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value) for metric, value in values.items()}


def workload(**more: Any) -> Workload:
    known: dict[str, Any] = {"ready": 3, "desired": 3, "version": "1.8.2", "labels": {"team": "shop"}}
    return Workload(ref=TargetRef(name="checkout"), uid="u", **(known | more))


def alerts_of(
    expected: dict[str, Any], samples: dict[str, Sample], target: Workload | None = None, **more: Any
) -> list[DriftAlert]:
    return assess_drift(spec(expected, **more), samples, {}, target, Drift(), NOW).alerts


@pytest.mark.parametrize(
    ("metric", "expected", "more", "value", "found"),
    [
        pytest.param("cpuUsage", 50, {}, 50, None, id="as expected"),
        pytest.param("cpuUsage", 50, {}, 60, None, id="exactly at the default threshold is inside"),
        pytest.param("cpuUsage", 50, {}, 60.1, "low Above", id="just outside"),
        pytest.param("cpuUsage", 50, {}, 65, "low Above", id="ratio 1.5"),
        pytest.param("cpuUsage", 50, {}, 65.1, "medium Above", id="ratio over 1.5"),
        pytest.param("cpuUsage", 50, {}, 75, "medium Above", id="ratio 2.5"),
        pytest.param("cpuUsage", 50, {}, 75.1, "high Above", id="ratio over 2.5"),
        pytest.param("cpuUsage", 50, {}, 90, "high Above", id="ratio 4"),
        pytest.param("cpuUsage", 50, {}, 90.1, "critical Above", id="ratio over 4"),
        pytest.param("cpuUsage", 50, {"limits": {"cpuUsage": 70}}, 70, "medium Above", id="at the limit"),
        pytest.param("cpuUsage", 50, {"limits": {"cpuUsage": 70}}, 70.1, "critical Above", id="past the limit"),
        pytest.param(
            "cpuUsage", 90, {"limits": {"cpuUsage": 95}}, 96, "critical Above", id="limit nearer than threshold"
        ),
        pytest.param("cpuUsage", 90, {"limits": {"cpuUsage": 95}}, 94, None, id="before the nearer limit"),
        pytest.param("cpuUsage", 50, {"limits": {"cpuUsage": 40}}, 45, "critical Above", id="limit below expected"),
        pytest.param(
            "cpuUsage", 50, {"limits": {"cpuUsage": 30}}, 25, "low Below", id="limit below expected, not past"
        ),
        pytest.param("cpuUsage", 50, {}, 10, "low Below", id="harmless side by night"),
        pytest.param("cpuUsage", 50, {}, 0, "low Below", id="harmless however far"),
        pytest.param("latencyMs", 120, {"thresholds": {"latencyMs": 50}}, 180, None, id="own threshold, inside"),
        pytest.param(
            "latencyMs", 120, {"thresholds": {"latencyMs": 50}}, 181, "low Above", id="own threshold, outside"
        ),
        pytest.param("latencyMs", 100, {"thresholds": {"latencyMs": 150}}, 251, "low Above", id="threshold over 100 %"),
        pytest.param("latencyMs", 100, {"thresholds": {"latencyMs": 150}}, 0, None, id="over 100 % cannot be undercut"),
        pytest.param(
            "latencyMs", 100, {"thresholds": {"latencyMs": 0.001}}, 101, "critical Above", id="tiny threshold"
        ),
        pytest.param("errorRate", 0.01, {}, 0.012, None, id="tiny values, rounding at the threshold"),
        pytest.param("errorRate", 0.01, {}, 0.0121, "low Above", id="tiny values, outside"),
        pytest.param("errorRate", 0.09, {}, 0.108, None, id="rounding is not drift"),
        pytest.param("errorRate", 0.03, {}, 0.039, "low Above", id="rounding is not severity"),
        pytest.param("errorRate", 1e-7, {}, 5e-7, "critical Above", id="one in ten million"),
        pytest.param(
            "errorRate", 0.01, {"absoluteThresholds": {"errorRate": 0.02}}, 0.029, None, id="absolute, inside"
        ),
        pytest.param(
            "errorRate",
            0.01,
            {"absoluteThresholds": {"errorRate": 0.02}},
            0.041,
            "medium Above",
            id="absolute, outside",
        ),
        pytest.param("errorRate", 0, {"absoluteThresholds": {"errorRate": 0.02}}, 0.02, None, id="expected 0, inside"),
        pytest.param(
            "errorRate", 0, {"absoluteThresholds": {"errorRate": 0.02}}, 0.07, "high Above", id="expected 0, outside"
        ),
        pytest.param("errorRate", 0, {}, 0, None, id="expected 0 and is 0"),
        pytest.param("errorRate", 0, {}, 0.5, "low Above", id="expected 0, no threshold"),
        pytest.param(
            "errorRate", 0, {"limits": {"errorRate": 0.05}}, 0.04, None, id="expected 0, only a limit, inside"
        ),
        pytest.param(
            "errorRate", 0, {"limits": {"errorRate": 0.05}}, 0.06, "critical Above", id="expected 0, past limit"
        ),
        pytest.param(
            "latencyMs",
            100,
            {"thresholds": {"latencyMs": 10}, "absoluteThresholds": {"latencyMs": 30}},
            125,
            None,
            id="both thresholds: the larger one",
        ),
        pytest.param("throughputRps", 200, {}, 300, "medium Above", id="more traffic"),
        pytest.param("throughputRps", 200, {}, 0, "critical Below", id="traffic gone"),
        pytest.param("queueDepth", 100, {}, 150, "medium Above", id="custom metric, above"),
        pytest.param("queueDepth", 100, {}, 50, "medium Below", id="custom metric, below"),
        pytest.param("hitRatio", 0.9, {"limits": {"hitRatio": 0.8}}, 0.75, "critical Below", id="lower limit"),
        pytest.param("hitRatio", 0.9, {"limits": {"hitRatio": 0.8}}, 0.85, None, id="before a lower limit"),
        pytest.param("balance", -100, {}, -150, "medium Below", id="negative expected, below"),
        pytest.param("balance", -100, {}, -50, "medium Above", id="negative expected, above"),
        pytest.param("balance", -100, {}, -110, None, id="negative expected, inside"),
        pytest.param("balance", -100, {}, 400, "critical Above", id="negative expected, other sign"),
        pytest.param("bytes", 1e-300, {}, 1e300, "critical Above", id="a percentage beyond floats"),
    ],
)
def test_one_metric(metric: str, expected: float, more: dict[str, Any], value: float, found: str | None) -> None:
    alerts = alerts_of({"metrics": {metric: expected}}, good(**{metric: value}), **more)
    assert [f"{alert.severity} {alert.direction}" for alert in alerts] == ([found] if found else [])


def test_alert_in_full() -> None:
    alerts = alerts_of({"metrics": {"cpuUsage": 50}}, good(cpuUsage=82))
    assert [alert.to_wire() for alert in alerts] == [
        {
            "component": "cpuUsage",
            "severity": "high",
            "direction": "Above",
            "expected": "50%",
            "actual": "82%",
            "deviationPercent": 64.0,
            "thresholdPercent": 20.0,
            "since": "2023-11-14T22:13:20Z",
            "recent": "1",
            "lastDataTime": "2023-11-14T22:13:20Z",
            "persistent": False,
            "harmless": False,
            "learned": False,
            "recommendation": "CPU is 64% above what is expected (82% against 50%): "
            "scale out, or raise the CPU request",
            "eligible": False,
            "notEligibleReason": "outside in 1 of the last 5 syncs; a correction waits for 3",
        }
    ]


@pytest.mark.parametrize(
    ("expected", "target", "found"),
    [
        pytest.param({"replicas": {"min": 2, "max": 5}}, workload(ready=3), None, id="replicas in range"),
        pytest.param({"replicas": {"min": 2, "max": 5}}, workload(ready=2), None, id="replicas at the lower bound"),
        pytest.param(
            {"replicas": {"min": 20}}, workload(ready=19), "low Below at least 20 19", id="one of many missing"
        ),
        pytest.param({"replicas": {"min": 2, "max": 5}}, workload(ready=1), "medium Below 2 to 5 1", id="half missing"),
        pytest.param({"replicas": {"min": 1, "max": 5}}, workload(ready=0), "critical Below 1 to 5 0", id="none ready"),
        pytest.param({"replicas": {"max": 5}}, workload(ready=6), "low Above at most 5 6", id="one too many"),
        pytest.param({"replicas": {"min": 3, "max": 3}}, workload(ready=9), "critical Above 3 9", id="exact number"),
        pytest.param({"replicas": {"max": 0}}, workload(ready=1), "critical Above at most 0 1", id="none expected"),
        pytest.param({"replicas": {"min": 2}}, None, None, id="replicas unknown"),
        pytest.param({"replicas": {}}, workload(ready=1), None, id="an empty range"),
        pytest.param({"version": "1.8.2"}, workload(), None, id="version as expected"),
        pytest.param({"version": "1.9.0"}, workload(), "medium Different 1.9.0 1.8.2", id="other version"),
        pytest.param({"version": "1.9.0"}, workload(version=None), None, id="version unknown"),
        pytest.param({"labels": {"team": "shop"}}, workload(), None, id="label as expected"),
        pytest.param({"labels": {"team": "pay"}}, workload(), "low Different pay shop", id="other label"),
        pytest.param({"labels": {"tier": "gold"}}, workload(), "low Different gold none", id="label missing"),
    ],
)
def test_target(expected: dict[str, Any], target: Workload | None, found: str | None) -> None:
    alerts = alerts_of(expected, {}, target)
    assert [f"{a.severity} {a.direction} {a.expected} {a.actual}" for a in alerts] == ([found] if found else [])


def test_worst_comes_first() -> None:
    alerts = alerts_of(
        {"metrics": {"memoryUsage": 50, "cpuUsage": 50, "latencyMs": 10}, "version": "2"},
        good(memoryUsage=99, cpuUsage=61, latencyMs=1),
        workload(),
    )
    assert [(alert.component, alert.severity) for alert in alerts] == [
        ("memoryUsage", Severity.CRITICAL),
        ("version", Severity.MEDIUM),
        ("cpuUsage", Severity.LOW),
        ("latencyMs", Severity.LOW),
    ]


@pytest.mark.parametrize(
    ("expected", "yes"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"metrics": {}, "labels": {}, "replicas": {}}, False, id="empty parts"),
        pytest.param({"metrics": {"cpuUsage": 0}}, True, id="a metric"),
        pytest.param({"replicas": {"min": 0}}, True, id="replicas"),
        pytest.param({"version": "1"}, True, id="version"),
        pytest.param({"labels": {"a": "b"}}, True, id="labels"),
    ],
)
def test_expected_state(expected: dict[str, Any], *, yes: bool) -> None:
    assert has_expected_state(spec(expected)) is yes


def test_no_expected_state_is_no_drift() -> None:
    assert assess_drift(spec(), good(cpuUsage=99), {}, workload(), Drift(), NOW) == Drift()


def test_expectation_taken_back_takes_its_alert_along() -> None:
    before = assess_drift(
        spec({"metrics": {"cpuUsage": 50}, "version": "9"}), good(cpuUsage=90), {}, workload(), Drift(), 0
    )
    assert len(before.alerts) == 2
    assert assess_drift(spec({"metrics": {"memoryUsage": 50}}), good(cpuUsage=90), {}, None, before, NOW) == Drift()


def test_status_stays_bounded() -> None:
    key = f"{'a' * 63}.{'b' * 63}.{'c' * 63}/{'d' * 63}"
    expected = {"metrics": {f"m{i}": 1.0 for i in range(32)}, "labels": {key: "x"}, "version": "9" * 128}
    target = workload(version="8" * 300)
    huge = good(**{f"m{i}": 1e300 for i in range(32)})
    drift = assess_drift(spec(expected), huge, {}, target, Drift(), NOW)
    swung = assess_drift(spec(expected), good(**{f"m{i}": -1e300 for i in range(32)}), {}, target, drift, NOW)
    assert len(drift.alerts) == 34
    assert len(swung.alerts) == 64
    assert Drift.from_wire(swung.to_wire()).alerts == [
        alert.model_copy(update={"since": utc(NOW)}) for alert in swung.alerts
    ]


def test_edge_is_where_a_drift_correction_must_bring_the_metric() -> None:
    allowed = tolerance(spec({"metrics": {"cpuUsage": 50}}, thresholds={"cpuUsage": 30}), "cpuUsage")
    assert allowed is not None
    assert allowed.edge(above=True) == 65
    assert allowed.edge(above=False) == 35
    assert tolerance(spec(), "cpuUsage") is None


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
GIVEN = st.floats(-LARGEST, LARGEST)


@given(
    metric=st.sampled_from([*STANDARD, "queueDepth"]),
    expected=GIVEN,
    value=NUMBERS,
    limit=st.none() | GIVEN,
    threshold=st.none() | st.floats(0, LARGEST, exclude_min=True),
)
def test_any_numbers_give_a_sound_drift(
    metric: str, expected: float, value: float, limit: float | None, threshold: float | None
) -> None:
    more = {"limits": {} if limit is None else {metric: limit}}
    more["thresholds"] = {} if threshold is None else {metric: threshold}
    drift = assess_drift(spec({"metrics": {metric: expected}}, **more), good(**{metric: value}), {}, None, Drift(), NOW)
    Drift.from_wire(drift.to_wire())
    for alert in drift.alerts:
        assert not alert.eligible
        assert alert.not_eligible_reason
        assert alert.deviation_percent is None or math.isfinite(alert.deviation_percent)
        assert alert.direction is not Direction.DIFFERENT
