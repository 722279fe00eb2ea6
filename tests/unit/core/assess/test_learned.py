"""What was learned to be normal, at one sync: which alarms are told, how badly, in which words, and what is mended."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.drift import LEARNING, assess_drift, has_expected_state
from twinops.core.assess.health import assess_health
from twinops.core.assess.learned import still_learning
from twinops.core.assess.tolerance import tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.baseline.learner import Alarm
from twinops.core.baseline.statistics import AnomalyKind, Detector
from twinops.core.observation import Sample

NOW = 1_700_000_000.0
"""22:13:20 UTC."""
SINCE = NOW - 1800
MINUTE = 60.0
LATENCY = (195.0, 180.0, 210.0)


def spec(expected: dict[str, Any] | None = None, **more: Any) -> DigitalTwinSpec:
    source = {
        "systemType": "WebService",
        "metrics": [{"name": "queueDepth", "query": "x"}],
    }
    return DigitalTwinSpec.from_wire({"source": source, "expectedState": {"learned": True} | (expected or {}), **more})


def good(**values: float) -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value) for metric, value in values.items()}


def alarm(
    sign: int = 1, kind: AnomalyKind = AnomalyKind.SPIKE, size: float = 45.0, record: float = 15.0, width: int = 12
) -> Alarm:
    return Alarm(0, Detector(kind, sign, width), index=0, since=0, expected=195.0, size=size, record=record)


def baseline(
    band: tuple[float | None, float | None, float | None] = LATENCY,
    stands: Alarm | None = None,
) -> BaselineEstimate:
    return BaselineEstimate(*band, stands, None if stands is None else SINCE)


def lived(
    twin: DigitalTwinSpec,
    samples: dict[str, Sample],
    baselines: dict[str, BaselineEstimate],
    syncs: int = 1,
    drift: Drift | None = None,
) -> list[DriftAlert]:
    drift = drift or Drift()
    for sync in range(syncs):
        drift = assess_drift(twin, samples, baselines, None, drift, NOW + MINUTE * sync)
    return drift.alerts


@pytest.mark.parametrize(
    ("metric", "value", "known", "more", "found"),
    [
        pytest.param("latencyMs", 195, baseline(), {}, None, id="as normal"),
        pytest.param("latencyMs", 600, baseline(), {}, None, id="outside without alarm: the detector waits"),
        pytest.param("latencyMs", 215, baseline(stands=alarm()), {}, "low Above", id="alarm, small deviation"),
        pytest.param("latencyMs", 280, baseline(stands=alarm()), {}, "medium Above", id="two allowed deviations"),
        pytest.param("latencyMs", 340, baseline(stands=alarm()), {}, "high Above", id="over two and a half"),
        pytest.param("latencyMs", 400, baseline(stands=alarm()), {}, "critical Above", id="over four"),
        pytest.param("latencyMs", 200, baseline(stands=alarm()), {}, "low Above", id="alarm, value inside the band"),
        pytest.param("latencyMs", 60, baseline(stands=alarm(-1)), {}, "low Below", id="harmless side"),
        pytest.param(
            "latencyMs", 300, baseline((195, 100, 400), alarm()), {}, "low Above", id="wide band: still inside of it"
        ),
        pytest.param(
            "latencyMs",
            280,
            baseline(stands=alarm()),
            {"thresholds": {"latencyMs": 50}},
            None,
            id="own threshold is wider than the band",
        ),
        pytest.param(
            "latencyMs",
            300,
            baseline(stands=alarm()),
            {"thresholds": {"latencyMs": 50}},
            "low Above",
            id="outside of its own threshold",
        ),
        pytest.param(
            "errorRate",
            0.015,
            baseline((0.001, 0.0, 0.002), alarm()),
            {"absoluteThresholds": {"errorRate": 0.02}},
            None,
            id="absolute threshold",
        ),
        pytest.param("errorRate", 0.01, baseline((0, 0, 0), alarm()), {}, "medium Above", id="never stirred around 0"),
        pytest.param(
            "latencyMs",
            501,
            baseline((450, 300, 600)),
            {"limits": {"latencyMs": 500}},
            "critical Above",
            id="past limit",
        ),
        pytest.param(
            "latencyMs", 499, baseline((450, 300, 600)), {"limits": {"latencyMs": 500}}, None, id="before the limit"
        ),
        pytest.param("throughputRps", 50, baseline(stands=alarm(-1)), {}, "high Below", id="throughput falls"),
        pytest.param("queueDepth", 400, baseline(stands=alarm()), {}, "critical Above", id="own metric"),
        pytest.param(
            "latencyMs",
            195,
            baseline(stands=alarm(0, AnomalyKind.FLAT)),
            {},
            "medium Different",
            id="flat line has no side",
        ),
        pytest.param(
            "latencyMs",
            195,
            baseline(stands=alarm(0, AnomalyKind.FLAT)),
            {"thresholds": {"latencyMs": 500}},
            "medium Different",
            id="thresholds say nothing about movement",
        ),
        pytest.param("latencyMs", 999, baseline((None, None, None)), {}, None, id="nothing is known yet"),
    ],
)
def test_what_is_told(
    metric: str, value: float, known: BaselineEstimate, more: dict[str, Any], found: str | None
) -> None:
    alerts = lived(spec(**more), good(**{metric: value}), {metric: known})
    told = [f"{alert.severity.value} {alert.direction.value}" for alert in alerts]
    assert told == ([] if found is None else [found])
    assert all(alert.learned for alert in alerts)


@pytest.mark.parametrize(
    ("metric", "value", "stands", "reason"),
    [
        pytest.param("latencyMs", 300, alarm(), "", id="harmful side, large"),
        pytest.param("cpuUsage", 300, alarm(), "", id="CPU"),
        pytest.param("latencyMs", 230, alarm(), "the deviation is small", id="less than 20 %"),
        pytest.param("latencyMs", 60, alarm(-1), "harmless side", id="harmless side"),
        pytest.param("throughputRps", 900, alarm(), "no side that is known", id="throughput may be good news"),
        pytest.param("queueDepth", 900, alarm(), "no side that is known", id="own metric"),
        pytest.param("memoryUsage", 300, alarm(), "cannot mend memory", id="replicas do not mend it"),
        pytest.param("latencyMs", 300, alarm(0, AnomalyKind.VARIANCE), "no side", id="unrest"),
        pytest.param("latencyMs", 300, alarm(0, AnomalyKind.FLAT), "no side", id="flat line"),
    ],
)
def test_eligible_for_correction(metric: str, value: float, stands: Alarm, reason: str) -> None:
    known = {metric: baseline(stands=stands)}
    samples = good(**{metric: value})
    (alert,) = lived(spec(), samples, known)
    assert not alert.eligible
    (alert,) = lived(spec(), samples, known, syncs=3)
    assert alert.persistent
    assert alert.eligible is (not reason)
    assert reason in alert.not_eligible_reason


def test_eligible_until_well_back() -> None:
    known = {"latencyMs": baseline(stands=alarm())}
    drift = Drift()
    seen = []
    for sync, value in enumerate([300, 300, 300, 230, 225, 230, 240]):
        drift = assess_drift(spec(), good(latencyMs=value), known, None, drift, NOW + MINUTE * sync)
        seen.append(drift.alerts[0].eligible)
    # 39 ms are 20 %, 31 ms are 80 % of that.
    assert seen == [False, False, True, True, False, False, True]


def test_alert_goes_with_the_alarm() -> None:
    samples = good(latencyMs=300)
    drift = assess_drift(spec(), samples, {"latencyMs": baseline(stands=alarm())}, None, Drift(), NOW)
    seen = []
    for sync in range(1, 5):
        drift = assess_drift(spec(), samples, {"latencyMs": baseline()}, None, drift, NOW + MINUTE * sync)
        seen.append(len(drift.alerts))
    assert seen == [1, 1, 0, 0]


def test_explicit_expected_value_wins() -> None:
    twin = spec({"metrics": {"latencyMs": 300}})
    known = {"latencyMs": baseline(stands=alarm())}
    assert lived(twin, good(latencyMs=300), known) == []
    (alert,) = lived(twin, good(latencyMs=400), known)
    assert (alert.expected, alert.learned) == ("300 ms", False)


def test_nothing_is_learned_unless_it_is_wanted() -> None:
    twin = spec({"learned": False})
    assert lived(twin, good(latencyMs=900), {"latencyMs": baseline(stands=alarm())}) == []
    assert not has_expected_state(twin)
    assert has_expected_state(spec())
    assert not has_expected_state(spec(), apart_from_learned=True)


def test_words_of_a_value_outside() -> None:
    (alert,) = lived(spec(), good(latencyMs=240), {"latencyMs": baseline(stands=alarm())})
    assert alert.recommendation == (
        "Latency is 240 ms, 30 ms above what is normal for this hour (180 ms to 210 ms), since 21:43 UTC: "
        "scale out; if that does not help, look at the slowest dependency"
    )
    assert (alert.expected, alert.actual) == ("180 ms to 210 ms", "240 ms")
    assert (alert.deviation_percent, alert.threshold_percent) == (23.1, 20.0)
    assert alert.since.timestamp() == SINCE


@pytest.mark.parametrize(
    ("kind", "size", "record", "expected", "actual"),
    [
        pytest.param(
            AnomalyKind.FLAT, 14, 12, "a change at least every 60 min", "no change for 30 min", id="flat line"
        ),
        pytest.param(
            AnomalyKind.SILENCE, 14, 36, "a burst at least every 3 h", "no burst for 30 min", id="bursts cease"
        ),
        pytest.param(AnomalyKind.VARIANCE, 9, 3, "moves at most 3 ms in 5 min", "moves 9 ms in 5 min", id="unrest"),
        pytest.param(AnomalyKind.CALM, 1, 3, "moves at least 3 ms in 5 min", "moves 1 ms in 5 min", id="calm"),
    ],
)
def test_words_of_what_has_no_side(kind: AnomalyKind, size: float, record: float, expected: str, actual: str) -> None:
    known = {"latencyMs": baseline(stands=alarm(0, kind, size, record))}
    (alert,) = lived(spec(), good(latencyMs=195), known)
    assert (alert.direction, alert.expected, alert.actual) == (Direction.DIFFERENT, expected, actual)
    assert alert.severity is (Severity.LOW if kind is AnomalyKind.SILENCE else Severity.MEDIUM)
    assert "since 21:43 UTC (195 ms now" in alert.recommendation
    assert alert.recommendation.split(": ")[-1]


def test_words_of_what_is_off_on_average_only() -> None:
    known = {"latencyMs": baseline(stands=alarm(kind=AnomalyKind.SHIFT, size=12, record=4, width=36))}
    (alert,) = lived(spec(), good(latencyMs=205), known)
    assert alert.expected == "at most 4 ms above normal on average over 3 h"
    assert alert.actual == "205 ms; 12 ms above normal on average over 3 h"
    assert alert.recommendation == (
        "Latency has been 12 ms above what is normal for the hour, on average over 3 h since about 21:43 UTC "
        "(up to 4 ms is usual; 205 ms now): scale out; if that does not help, look at the slowest dependency"
    )
    assert alert.deviation_percent == 6.2
    assert not lived(spec(), good(latencyMs=205), known, syncs=3)[0].eligible, "less than the allowed deviation"


def test_band_is_told_within_what_values_can_be() -> None:
    (alert,) = lived(spec(), good(errorRate=0.9), {"errorRate": baseline((0.1, -0.5, 1.4), alarm(width=1))})
    assert alert.expected == "0 to 1"


def test_standing_alert_waits_while_what_is_normal_is_not_known() -> None:
    """As after a restart of the operator, until the past is read again."""
    drift = assess_drift(spec(), good(latencyMs=300), {"latencyMs": baseline(stands=alarm())}, None, Drift(), NOW)
    (alert,) = assess_drift(spec(), good(latencyMs=300), {}, None, drift, NOW + MINUTE).alerts
    assert (alert.eligible, alert.not_eligible_reason) == (False, LEARNING)
    assert alert.recent == drift.alerts[0].recent


def test_what_is_still_being_learned() -> None:
    samples = good(latencyMs=1, cpuUsage=2, queueDepth=3) | {"errorRate": Sample("errorRate", Quality.MISSING)}
    baselines = {"latencyMs": baseline(), "cpuUsage": baseline((None, None, None))}
    assert still_learning(spec({"metrics": {"queueDepth": 3}}), samples, baselines) == ("cpuUsage",)
    assert still_learning(spec({"learned": False}), samples, baselines) == ()


def test_learned_tolerance_is_the_band_where_that_is_wider() -> None:
    known = baseline((100, 50, 110))
    allowed = tolerance(spec(), "latencyMs", known)
    assert allowed is not None
    assert (allowed.edge(above=True), allowed.edge(above=False)) == (120, 50)


@pytest.mark.parametrize(
    ("metric", "value", "more", "score"),
    [
        pytest.param("latencyMs", 230, {}, 100, id="inside of what is allowed"),
        pytest.param("latencyMs", 351, {}, 0, id="four allowed deviations away"),
        pytest.param("latencyMs", 60, {}, 100, id="harmless side"),
        pytest.param("latencyMs", 230, {"limits": {"latencyMs": 230}}, 0, id="a limit stays a limit"),
        pytest.param("throughputRps", 39, {}, 0, id="hardly any traffic left"),
    ],
)
def test_health_by_what_was_learned(metric: str, value: float, more: dict[str, Any], score: int) -> None:
    assert assess_health(spec(**more), good(**{metric: value}), {metric: baseline()})[0] == score


def test_learned_metric_that_is_missing_lowers_confidence() -> None:
    samples = good(cpuUsage=10) | {"latencyMs": Sample("latencyMs", Quality.MISSING)}
    assert assess_health(spec(), samples, {"latencyMs": baseline()})[1].unknown == ["latencyMs"]
    assert assess_health(spec(), samples, {})[1].unknown == []
