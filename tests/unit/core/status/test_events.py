"""One Event per transition, and none for what stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.api.twin.drift import Direction, Drift, DriftAlert, Severity
from twinops.api.twin.observed import ObservedMetric, Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.status.events import transitions

T, F, U = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def status(*risks: Risk, **conditions: tuple[ConditionStatus, str]) -> DigitalTwinStatus:
    return DigitalTwinStatus(
        conditions=[
            Condition(type=ConditionType(kind), status=told, reason=reason, message="why", last_transition_time=utc(0))
            for kind, (told, reason) in conditions.items()
        ],
        risks=list(risks),
    )


def risk(metric: str = "cpuUsage", probability: float = 0.7, *, persistent: bool = True) -> Risk:
    return Risk(
        metric=metric,
        limit=95,
        horizon_seconds=60,
        probability=probability,
        upper=99,
        since=utc(0),
        persistent=persistent,
        message=f"{metric} may reach 95 in 60 seconds",
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(status(), status(Drifted=(T, "Out")), ["Warning DriftDetected"], id="drift begins"),
        pytest.param(status(Drifted=(T, "Out")), status(Drifted=(T, "Out")), [], id="drift goes on"),
        pytest.param(status(Drifted=(T, "Out")), status(Drifted=(F, "In")), ["Normal DriftResolved"], id="drift ends"),
        pytest.param(status(), status(Drifted=(F, "In")), [], id="no drift from the beginning"),
        pytest.param(status(), status(Healthy=(F, "Low")), ["Warning Unhealthy"], id="sick when first seen"),
        pytest.param(status(Healthy=(F, "Low")), status(Healthy=(T, "High")), ["Normal Healthy"], id="well again"),
        pytest.param(status(Healthy=(T, "High")), status(Healthy=(U, "No")), [], id="health not known"),
        pytest.param(
            status(MetricsAvailable=(T, "All")),
            status(MetricsAvailable=(F, "None")),
            ["Warning MetricsUnavailable"],
            id="metrics lost",
        ),
        pytest.param(
            status(), status(PredictionsAvailable=(F, "Collecting")), [], id="predictions not there at the beginning"
        ),
        pytest.param(
            status(PredictionsAvailable=(F, "Collecting")),
            status(PredictionsAvailable=(T, "Predicting")),
            ["Normal PredictionsAvailable"],
            id="predictions begin",
        ),
        pytest.param(status(), status(Paused=(F, "Active")), [], id="never paused"),
        pytest.param(status(Paused=(F, "Active")), status(Paused=(T, "S")), ["Normal Suspended"], id="suspended"),
        pytest.param(status(Paused=(T, "S")), status(Paused=(F, "Active")), ["Normal Resumed"], id="resumed"),
        pytest.param(
            status(), status(Stalled=(T, "TargetNotFound")), ["Warning TargetNotFound"], id="stalled, by its reason"
        ),
        pytest.param(
            status(Stalled=(T, "TargetNotFound")),
            status(Stalled=(T, "QueryRefused")),
            ["Warning QueryRefused"],
            id="stalled for another reason",
        ),
        pytest.param(status(Stalled=(T, "TargetNotFound")), status(), ["Normal Recovered"], id="no longer stalled"),
        pytest.param(
            status(), status(CorrectionBlocked=(T, "NoBounds")), ["Warning CorrectionBlocked"], id="correction blocked"
        ),
        pytest.param(
            status(CorrectionBlocked=(T, "NoBounds")), status(CorrectionBlocked=(T, "NoBounds")), [], id="still blocked"
        ),
        pytest.param(
            status(CorrectionBlocked=(T, "NoBounds")),
            status(CorrectionBlocked=(T, "AtMaximum")),
            ["Warning CorrectionBlocked"],
            id="blocked by something else",
        ),
        pytest.param(status(), status(risk(persistent=False)), [], id="a risk that may be chance"),
        pytest.param(status(risk(persistent=False)), status(risk()), ["Warning RiskPredicted"], id="a risk"),
        pytest.param(status(), status(risk(), risk("memoryUsage")), ["Warning RiskPredicted"], id="two at once"),
        pytest.param(status(risk()), status(risk(), risk("memoryUsage")), [], id="another joins the incident"),
        pytest.param(status(risk()), status(risk("memoryUsage")), [], id="another takes over"),
        pytest.param(status(risk(), risk("memoryUsage")), status(risk()), [], id="one of two is left"),
        pytest.param(
            status(risk(), risk("memoryUsage")), status(risk(persistent=False)), ["Normal RiskPassed"], id="none lasts"
        ),
        pytest.param(status(risk()), status(), ["Normal RiskPassed"], id="a risk has passed"),
        pytest.param(
            status(risk()), status(Paused=(T, "S")), ["Normal Suspended"], id="nobody looks: no risk has passed"
        ),
    ],
)
def test_transitions(before: DigitalTwinStatus, after: DigitalTwinStatus, expected: list[str]) -> None:
    assert [f"{event.type} {event.reason}" for event in transitions(before, after)] == expected


RISKY = {"Ready": (T, "Synced"), "MetricsAvailable": (T, "AllAnswering"), "Drifted": (T, "Out")}


def seen(*risks: Risk, quality: Quality = Quality.GOOD, **conditions: tuple[ConditionStatus, str]) -> DigitalTwinStatus:
    metrics = [ObservedMetric(name=name, quality=quality) for name in ("cpuUsage", "latencyMs")]
    return status(*risks, **(RISKY | conditions)).model_copy(update={"observed": metrics})


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(seen(quality=Quality.MISSING), id="the metric has no value"),
        pytest.param(seen(quality=Quality.HELD), id="nor a fresh one"),
        pytest.param(seen(MetricsAvailable=(F, "NoneAnswering")), id="no metric has"),
        pytest.param(seen(MetricsAvailable=(U, "Forbidden"), Ready=(U, "InternalError")), id="nobody asked"),
        pytest.param(seen(Stalled=(T, "Forbidden"), Ready=(F, "Forbidden")), id="stalled"),
        pytest.param(seen(Paused=(T, "Suspended")), id="suspended"),
        pytest.param(seen().model_copy(update={"observed_generation": 2}), id="another limit, or none"),
        pytest.param(seen(risk(persistent=False).model_copy(update={"recent": "1"})), id="begun anew after a gap"),
    ],
)
def test_a_risk_that_nobody_saw_pass_has_not_passed(after: DigitalTwinStatus) -> None:
    assert "RiskPassed" not in [event.reason for event in transitions(seen(risk()), after)]
    assert [event.reason for event in transitions(seen(risk()), seen())] == ["RiskPassed"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(status(Ready=(T, "Suspended"), Paused=(T, "Suspended")), id="suspended"),
        pytest.param(status(Ready=(U, "Progressing")), id="backend does not answer"),
        pytest.param(status(Ready=(F, "MetricsBackendUnavailable")), id="nor for long"),
    ],
)
def test_a_stall_that_nobody_saw_end_is_no_recovery(after: DigitalTwinStatus) -> None:
    before = status(Stalled=(T, "QueryRefused"), Ready=(F, "QueryRefused"))
    assert "Recovered" not in [event.reason for event in transitions(before, after)]
    assert [event.reason for event in transitions(before, status(Ready=(T, "Synced")))] == ["Recovered"]


def lasting(recent: str, *, persistent: bool) -> dict[str, Any]:
    alert = DriftAlert(
        component="cpuUsage",
        severity=Severity.HIGH,
        direction=Direction.ABOVE,
        expected="50%",
        actual="90%",
        since=utc(0),
        recent=recent,
        persistent=persistent,
    )
    return {"drift": Drift(alerts=[alert])}


def test_drift_that_begins_anew_after_a_gap_was_not_resolved() -> None:
    before = status(Drifted=(T, "Out")).model_copy(update=lasting("111", persistent=True))
    anew = status(Drifted=(F, "In")).model_copy(update=lasting("1", persistent=False))
    back = status(Drifted=(F, "In")).model_copy(update=lasting("11000", persistent=False))
    assert transitions(before, anew) == ()
    assert [event.reason for event in transitions(before, back)] == ["DriftResolved"]


def test_drift_that_went_out_of_sight_is_resolved_when_it_is_seen_to_be() -> None:
    lost = status(Drifted=(U, "NoFreshMetrics")).model_copy(update={"drift": Drift(unknown=["cpuUsage"])})
    assert transitions(status(Drifted=(T, "Out")), lost) == ()
    (event,) = transitions(lost, status(Drifted=(F, "In")))
    assert (event.reason, event.message) == ("DriftResolved", "as expected again: cpuUsage")
    outside = status(Drifted=(F, "In")).model_copy(update=lasting("1", persistent=False))
    assert transitions(lost, outside) == ()


def test_an_event_says_why() -> None:
    (event,) = transitions(status(), status(CorrectionBlocked=(T, "NoBounds")))
    assert event.message == "NoBounds: why"


def test_an_incident_names_all_its_metrics_worst_first() -> None:
    (event,) = transitions(status(), status(risk("cpuUsage", 0.6), risk("latencyMs", 0.9), risk(persistent=False)))
    assert event.message == "latencyMs may reach 95 in 60 seconds; cpuUsage may reach 95 in 60 seconds"


def test_the_end_of_an_incident_names_what_was_left_of_it() -> None:
    (event,) = transitions(status(risk("latencyMs"), risk("cpuUsage")), status())
    assert event.message == "the predicted risk has passed (cpuUsage, latencyMs)"
