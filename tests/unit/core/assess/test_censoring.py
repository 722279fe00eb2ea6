"""What is not learned from: lower bounds, and what corrections bend."""

from __future__ import annotations

from typing import Any

import pytest

from support.correcting import HPA, NOW, original, spec, status
from twinops.api.base import utc
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import CorrectionAction, CorrectionRecord, DigitalTwinStatus, Outcome, Quality
from twinops.core.assess.censoring import calibration_excluded, lower_bounds, risk_excluded
from twinops.core.observation import Sample

LONGEST = 3600
BENT = {"cpuUsage", "memoryUsage", "latencyMs", "errorRate"}


def samples(quality: Quality = Quality.GOOD, /, **values: float) -> dict[str, Sample]:
    return {metric: Sample(metric, quality, value) for metric, value in values.items()}


@pytest.mark.parametrize(
    ("known", "bounds"),
    [
        pytest.param({}, set(), id="nothing known"),
        pytest.param({"throughputRps": 900, "cpuUsage": 40, "errorRate": 0}, set(), id="well served"),
        pytest.param({"throughputRps": 900}, set(), id="nothing else known"),
        pytest.param({"throughputRps": 900, "cpuUsage": 85}, set(), id="just not full"),
        pytest.param({"throughputRps": 900, "cpuUsage": 85.1}, {"throughputRps"}, id="full"),
        pytest.param({"throughputRps": 900, "cpuUsage": 180}, {"throughputRps"}, id="beyond the request"),
        pytest.param({"cpuUsage": 99, "latencyMs": 4}, set(), id="full, throughput unknown"),
        pytest.param({"throughputRps": 900, "errorRate": 0.0099}, set(), id="hardly any error"),
        pytest.param({"throughputRps": 900, "errorRate": 0.01}, {"throughputRps"}, id="errors"),
        pytest.param({"latencyMs": 90, "errorRate": 0.049}, set(), id="the quantile is of one that was answered"),
        pytest.param({"latencyMs": 90, "errorRate": 0.05}, {"latencyMs"}, id="the quantile is of one that failed"),
        pytest.param(
            {"throughputRps": 0, "cpuUsage": 99, "latencyMs": 9e3, "errorRate": 1},
            {"throughputRps", "latencyMs"},
            id="everything fails",
        ),
    ],
)
def test_lower_bounds(known: dict[str, float], bounds: set[str]) -> None:
    found = lower_bounds(samples(Quality.GOOD, **known))

    assert set(found) == bounds
    assert all(found.values())


@pytest.mark.parametrize("quality", [Quality.HELD, Quality.STALE, Quality.ERROR])
def test_value_that_is_not_fresh_is_no_bound_and_proves_none(quality: Quality) -> None:
    old = samples(quality, cpuUsage=99, errorRate=0.5)

    assert lower_bounds({**samples(throughputRps=900, latencyMs=90), **old}) == {}
    assert lower_bounds({**samples(cpuUsage=99), **samples(quality, throughputRps=900)}) == {}


def test_the_reason_shows_the_figures() -> None:
    found = lower_bounds(samples(latencyMs=10_000, throughputRps=900, cpuUsage=97))

    assert "97%" in found["throughputRps"]


def record(age: float, **more: Any) -> CorrectionRecord:
    known: dict[str, Any] = {
        "id": "one",
        "time": utc(NOW - age),
        "action": CorrectionAction.GIVE_BACK,
        "mode": CorrectionMode.APPLY,
        "object": HPA,
        "field": "spec.minReplicas",
        "trigger": "NeedPassed",
        "why": "",
        "outcome": Outcome.APPLIED,
    }
    return CorrectionRecord(**(known | more))


RAISE = {"action": CorrectionAction.RAISE}


@pytest.mark.parametrize(
    ("previous", "bent"),
    [
        pytest.param(status(), False, id="never corrected"),
        pytest.param(status(originals=[original()]), True, id="held, its decision no longer listed"),
        pytest.param(
            status(originals=[original(ours=None)], corrections=[record(0, outcome=Outcome.PENDING, **RAISE)]),
            True,
            id="about to be written",
        ),
        pytest.param(status(corrections=[record(LONGEST - 1)]), True, id="released within the longest horizon"),
        pytest.param(status(corrections=[record(LONGEST)]), False, id="released that long ago"),
        pytest.param(
            status(corrections=[record(2 * LONGEST, outcome_time=utc(NOW - 60))]), True, id="decided long before"
        ),
        pytest.param(
            status(corrections=[record(9000, outcome=Outcome.REVERTED, outcome_time=utc(NOW - 60), **RAISE)]),
            True,
            id="put back by somebody else",
        ),
        pytest.param(status(corrections=[record(60, outcome=Outcome.PREVIEWED, **RAISE)]), False, id="a preview"),
        pytest.param(status(corrections=[record(60, outcome=Outcome.BLOCKED, **RAISE)]), False, id="blocked"),
        pytest.param(status(corrections=[record(60, outcome=Outcome.FAILED, **RAISE)]), False, id="refused"),
        pytest.param(status(corrections=[record(-60)]), True, id="the clock went back since"),
        pytest.param(status(corrections=[record(60), record(9000)]), True, id="any of them counts"),
    ],
)
def test_from_a_correction_to_its_release_and_the_longest_horizon(previous: DigitalTwinStatus, bent: bool) -> None:  # noqa: FBT001 - a table's answer
    assert calibration_excluded(spec(), previous, NOW) == (BENT if bent else set())


def test_own_metrics_are_bent_but_for_what_replicas_share() -> None:
    own = [{"name": name, "query": "up"} for name in ("queueLength", "ordersPerMinute", "throughputRps")]
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}, "metrics": own}
    twin = spec(source=source, limitsPerReplica={"ordersPerMinute": 100, "latencyMs": 9})

    held = status(originals=[original()])

    assert calibration_excluded(twin, held, NOW) == BENT | {"queueLength"}
    # What is offered stays, but what it must not cross moves.
    assert risk_excluded(twin, held, NOW) == BENT | {"queueLength", "ordersPerMinute"}
    assert risk_excluded(twin, status(), NOW) == set()


def test_the_longest_horizon_counts() -> None:
    twin = spec(predictions={"horizonsSeconds": [300, 7200]})

    assert calibration_excluded(twin, status(corrections=[record(7199)]), NOW)
    assert not calibration_excluded(twin, status(corrections=[record(7200)]), NOW)
