"""Drift over several syncs: persistence, hysteresis, what a missing value does, and eligibility."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinops.api.base import utc
from twinops.api.references import TargetRef
from twinops.api.twin.drift import Direction, Drift, DriftAlert
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.drift import assess_drift
from twinops.core.observation import Sample, Workload

STEP = 60.0
Value = float | Quality | tuple[Quality, float]


def twin(expected: dict[str, Any]) -> DigitalTwinSpec:
    return DigitalTwinSpec.from_wire({"source": {"systemType": "WebService"}, "expectedState": expected})


def sample(metric: str, value: Value) -> Sample:
    if isinstance(value, Quality):
        return Sample(metric, value)
    if isinstance(value, tuple):
        return Sample(metric, *value)
    return Sample(metric, Quality.GOOD, value)


def live(metric: str, expected: float, values: Sequence[Value]) -> list[Drift]:
    """Return the drift after each sync, each through the wire as a status would take it."""
    spec, drift, seen = twin({"metrics": {metric: expected}}), Drift(), []
    for place, value in enumerate(values):
        drift = assess_drift(spec, {metric: sample(metric, value)}, {}, None, drift, place * STEP)
        drift = Drift.from_wire(drift.to_wire())
        seen.append(drift)
    return seen


def line(states: Sequence[bool]) -> str:
    return "".join("D" if state else "." for state in states)


HELD_90 = (Quality.HELD, 90.0)
GONE = Quality.MISSING


@pytest.mark.parametrize(
    ("values", "listed", "detected"),
    [
        # CPU against 50: outside over 60, well back at 58 and under.
        pytest.param([50, 50, 50], "...", "...", id="as expected"),
        pytest.param([70, 70, 70, 70], "DDDD", "..DD", id="the third sync outside counts"),
        pytest.param([70, 50, 50, 50], "DDD.", "....", id="one blip is forgotten after three syncs"),
        pytest.param([70, 50, 70, 50, 70], "DDDDD", "....D", id="three of five, not in a row"),
        pytest.param([70, 70, 50, 50, 70, 50, 50, 50], "DDDDDDD.", "....D...", id="three of five, then three inside"),
        pytest.param([70, 70, 50, 50, 50, 70, 70], "DDDD.DD", ".......", id="older syncs do not count"),
        pytest.param([70] * 5 + [50] * 4, "DDDDDDD..", "..DDDDD..", id="well back for three syncs ends it"),
        pytest.param([70] * 5 + [59] * 8, "D" * 13, "..DDDDDDDDDDD", id="inside but not well back does not end it"),
        pytest.param(
            [70] * 3 + [59] * 5 + [58], "DDDDDDDD.", "..DDDDDD.", id="well back after a while ends it at once"
        ),
        pytest.param([61, 59] * 6, "D" * 12, "....DDDDDDDD", id="flapping around the threshold does not flap"),
        pytest.param([90, 50] * 6, "D" * 12, "....DDDDDDDD", id="jumping far out and far in does not flap"),
        pytest.param([90, 90, 50] * 4, "D" * 12, "...DDDDDDDDD", id="two out, one in does not flap"),
        pytest.param([70, GONE, GONE, 70, 70], "DDDDD", "....D", id="syncs without a value do not count"),
        pytest.param([70, 70, 70, GONE, GONE, GONE, GONE], "DDDDDDD", "..DDDDD", id="no value clears nothing"),
        pytest.param([70, 70, HELD_90, HELD_90], "DDDD", "....", id="held values do not make it persistent"),
        pytest.param([50, HELD_90, HELD_90, HELD_90], "....", "....", id="held values raise nothing"),
        pytest.param([70, 70, 70, (Quality.MISSING, 50.0)], "DDDD", "..DD", id="stand-ins clear nothing"),
        pytest.param([10] * 4, "DDDD", "....", id="harmless deviations are listed and are no drift"),
    ],
)
def test_timeline(values: list[Value], listed: str, detected: str) -> None:
    seen = live("cpuUsage", 50, values)
    assert line([bool(drift.alerts) for drift in seen]) == listed
    assert line([drift.detected for drift in seen]) == detected


@pytest.mark.parametrize(
    ("metric", "values", "reason"),
    [
        pytest.param("cpuUsage", [90, 90, 90], "", id="CPU"),
        pytest.param("latencyMs", [90, 90, 90], "", id="latency"),
        pytest.param("throughputRps", [90, 90, 90], "", id="more traffic"),
        pytest.param("cpuUsage", [90, 90, 90, 59], "", id="inside but not well back"),
        pytest.param(
            "cpuUsage", [90, 90], "outside in 2 of the last 5 syncs; a correction waits for 3", id="not persistent yet"
        ),
        pytest.param("cpuUsage", [90, 90, 90, 50], "back inside its threshold", id="well back"),
        pytest.param("cpuUsage", [90, 90, 90, Quality.STALE], "no fresh value (Stale)", id="stale"),
        pytest.param("cpuUsage", [90, 90, 90, Quality.NAN], "no fresh value (NaN)", id="NaN"),
        pytest.param("cpuUsage", [90, 90, 90, HELD_90], "no fresh value (Held)", id="held"),
        pytest.param(
            "cpuUsage", [90, 90, 90, float("nan")], "no fresh value (Good)", id="a NaN that calls itself good"
        ),
        pytest.param("cpuUsage", [10] * 3, "a deviation to the harmless side needs no correction", id="harmless side"),
        pytest.param("throughputRps", [10] * 3, "more replicas do not bring traffic back", id="less traffic"),
        pytest.param("memoryUsage", [90] * 3, "a replica change cannot mend memory use", id="memory"),
        pytest.param("errorRate", [90] * 3, "a replica change cannot mend errors", id="errors"),
        pytest.param("activeConnections", [90] * 3, "a replica change cannot mend open connections", id="connections"),
        pytest.param(
            "queueDepth", [90] * 3, "it is not known whether a replica change would mend queueDepth", id="custom"
        ),
    ],
)
def test_eligibility(metric: str, values: list[Value], reason: str) -> None:
    (alert,) = live(metric, 50, values)[-1].alerts
    assert alert.not_eligible_reason == reason
    assert alert.eligible == (reason == "")


def test_since_and_window_are_kept_while_an_alert_stands() -> None:
    seen = live("cpuUsage", 50, [70, 50, 70, GONE, 70, 59, 70])
    assert [drift.alerts[0].recent for drift in seen] == ["1", "10", "101", "101", "1011", "10110", "01101"]
    assert {drift.alerts[0].since for drift in seen} == {utc(0)}


def test_a_new_alert_has_a_new_since() -> None:
    (alert,) = live("cpuUsage", 50, [70, 50, 50, 50, 70])[-1].alerts
    assert (alert.since, alert.recent) == (utc(4 * STEP), "1")


def test_harmless_drift_does_not_make_the_first_harmful_sync_eligible() -> None:
    alerts = {alert.direction: alert for alert in live("cpuUsage", 50, [10, 10, 10, 90])[-1].alerts}
    assert alerts[Direction.ABOVE].recent == "1"
    assert not alerts[Direction.ABOVE].eligible
    assert alerts[Direction.BELOW].recent == "1110"


def test_swinging_from_side_to_side_is_drift() -> None:
    assert line([drift.detected for drift in live("queueDepth", 50, [90, 10] * 5)]) == "....DDDDDD"


def test_without_a_threshold_a_deviation_from_0_is_told_but_is_not_drift() -> None:
    seen = live("errorRate", 0, [0.5] * 4 + [0])
    (alert,) = seen[3].alerts
    assert not any(drift.detected for drift in seen)
    assert alert.not_eligible_reason == "there is no threshold for errorRate"
    assert "absoluteThresholds.errorRate" in alert.recommendation
    assert (alert.since, alert.recent) == (utc(0), "")
    assert seen[4] == Drift()


def target(**known: Any) -> Workload:
    return Workload(ref=TargetRef(name="checkout"), uid="u", **({"ready": 3, "desired": 3} | known))


def test_target_alerts_stay_while_the_target_is_unknown() -> None:
    key = f"{'a' * 63}.{'b' * 63}/team"
    spec = twin({"replicas": {"min": 5}, "version": "2", "labels": {key: "shop"}})
    drift = Drift()
    syncs = (target(version="1"), target(version="1"), target(version="1"), None, target(ready=5, version=None))
    for place, seen in enumerate(syncs):
        before, drift = drift, assess_drift(spec, {}, {}, seen, drift, place * STEP)
    by_name: dict[str, DriftAlert] = {alert.component.split(".")[0]: alert for alert in drift.alerts}
    assert len(before.alerts) == 3
    assert {alert.not_eligible_reason for alert in before.alerts} == {"no fresh value (Missing)"}
    assert {name: alert.recent for name, alert in by_name.items()} == {
        "replicas": "1110",
        "version": "111",
        "labels": "1111",
    }
    assert "as expected" in by_name["replicas"].recommendation


def test_rolled_out_version_ends_the_alert() -> None:
    spec, drift, seen = twin({"version": "2"}), Drift(), []
    for place, version in enumerate(("1", "1", "1", "2", "2", "2")):
        drift = assess_drift(spec, {}, {}, target(version=version), drift, place * STEP)
        seen.append((drift.detected, [alert.recommendation for alert in drift.alerts]))
    assert line([detected for detected, _ in seen]) == "..DDD."
    assert seen[4][1] == ["version is 2 again: nothing to do unless it changes"]
    assert drift == Drift()


def at_times(*syncs: tuple[float, float | None]) -> list[DriftAlert | None]:
    """Return the alert after each sync, all of them two seconds apart unless the sample is newer than that.

    Each sync is the time of the newest sample, and its value; None where there was none.
    """
    spec, drift, seen, now = twin({"metrics": {"cpuUsage": 50}}), Drift(), [], 0.0
    for time, value in syncs:
        now = max(now + 2, time)
        quality = Quality.MISSING if value is None else Quality.GOOD
        drift = assess_drift(spec, {"cpuUsage": Sample("cpuUsage", quality, value, time=time)}, {}, None, drift, now)
        drift = Drift.from_wire(drift.to_wire())
        seen.append(drift.alerts[0] if drift.alerts else None)
    return seen


def test_one_sample_counts_once_however_often_it_is_looked_at() -> None:
    seen = at_times((100, 90), (100, 90), (100, 90), (160, 90), (160, 90))
    assert [(alert.recent, alert.persistent) for alert in seen if alert] == [
        ("1", False),
        ("1", False),
        ("1", False),
        ("11", False),
        ("11", False),
    ]


def test_a_lasting_alert_stays_so_while_its_sample_is_looked_at_again() -> None:
    seen = at_times((100, 90), (160, 90), (220, 90), (220, 90))
    assert [(alert.recent, alert.eligible) for alert in seen if alert][2:] == [("111", True), ("111", True)]


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([], id="nobody looked"),
        pytest.param([(220.0 + 60 * place, None) for place in range(12)], id="there was no value"),
    ],
)
def test_after_a_gap_the_window_begins_anew(between: list[tuple[float, float | None]]) -> None:
    seen = at_times((100, 90), (160, 90), *between, (1000, 90))
    assert seen[-1] is not None
    assert (seen[-1].recent, seen[-1].since, seen[-1].eligible) == ("1", utc(1000), False)


def test_after_a_gap_an_alert_is_gone_when_its_value_is_as_expected() -> None:
    assert at_times((100, 90), (160, 90), (220, 90), (1000, 50))[-1] is None


@given(st.lists(st.sampled_from([50.0, 57.0, 59.0, 61.0, 90.0]), max_size=40))
def test_drifted_never_flaps(values: list[float]) -> None:
    """Whatever the values, once Drifted is over one sync outside does not bring it back."""
    seen = [drift.detected for drift in live("cpuUsage", 50, values)]
    ends = [place for place, (before, after) in enumerate(pairwise(seen), 1) if before and not after]
    assert not any(any(seen[end : end + 2]) for end in ends)
