"""What stands in status after each kind of sync."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twinops.api.base import utc
from twinops.api.conditions import ConditionStatus, ConditionType, find
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, HealthComponent, Quality
from twinops.api.twin.predictions import ForecastSkill, Prediction
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import Assessment
from twinops.core.assess.availability import observed_for_status
from twinops.core.forecast.horizon import HorizonForecast
from twinops.core.forecast.result import ForecastResult
from twinops.core.observation import Observation, Sample
from twinops.core.status.base import Sync
from twinops.core.status.failed import render_metrics_failed, render_stalled, render_suspended
from twinops.core.status.render import Blocked, render_synced
from twinops.errors import QueryRefused, SpecError

SPEC = DigitalTwinSpec.from_wire(
    {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}, "expectedState": {"version": "1"}}
)
GOOD = Sample("cpuUsage", Quality.GOOD, 40.0, "%", 999.0, query="Custom")
STALE = Sample("latencyMs", Quality.STALE, unit="ms", reason="StaleSamples", message="900 s old")
PARTIAL = Sample("latencyMs", Quality.ERROR, unit="ms", reason="PartialAnswer", message="in part only")
FORECAST = HorizonForecast(60, tuple(float(q) for q in range(9)), 0.5, 40, calibrated=True)


def sync(now: float = 1000.0, *, generation: int = 3, request: str | None = "r1") -> Sync:
    return Sync(generation=generation, now=now, request=request)


def assessment(**known: object) -> Assessment:
    defaults: dict[str, object] = {
        "health_score": 90,
        "health": Health(confidence=1, components=[]),
        "forecasts": {},
        "predictions": [],
        "risks": (),
        "drift": Drift(),
        "skill": None,
        "samples_collected": 7,
        "observed": (),
    }
    return Assessment(**(defaults | known))  # type: ignore[arg-type]


def synced(
    *samples: Sample,
    previous: DigitalTwinStatus | None = None,
    refused: dict[str, SpecError] | None = None,
    blocked: Blocked | None = None,
    complete: bool = True,
    warming: bool = False,
    **known: object,
) -> DigitalTwinStatus:
    forecasts = known.get("forecasts", {})
    forecast_result = ForecastResult(forecasts=forecasts, warming=warming, history_complete=complete)  # type: ignore[arg-type]
    observation = Observation(1000.0, {s.metric: s for s in samples}, forecast_result=forecast_result)
    before = previous or DigitalTwinStatus()
    found = assessment(observed=observed_for_status(observation.samples, {}), **known)
    return render_synced(before, SPEC, sync(), observation, found, refused or {}, blocked)


def told(status: DigitalTwinStatus, kind: ConditionType) -> tuple[str, str]:
    condition = find(status.conditions, kind)
    return ("absent", "") if condition is None else (condition.status.value, condition.reason)


def test_a_sync_says_what_it_speaks_of() -> None:
    status = synced(GOOD)
    assert status.observed_generation == 3
    assert status.last_handled_sync_request == "r1"
    assert status.last_sync_time == utc(1000)
    assert told(status, ConditionType.READY) == ("True", "Synced")
    assert told(status, ConditionType.STALLED) == ("absent", "")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param((GOOD,), ("True", "AllAnswering"), id="all good"),
        pytest.param((GOOD, STALE), ("True", "SomeMissing"), id="some"),
        pytest.param((STALE,), ("False", "NoneAnswering"), id="none"),
        pytest.param((PARTIAL,), ("False", "PartialAnswer"), id="a part of a store"),
        pytest.param((GOOD, PARTIAL), ("True", "SomeMissing"), id="a part of one store"),
        pytest.param((), ("False", "NoneAnswering"), id="nothing is asked for"),
    ],
)
def test_metrics_available(samples: tuple[Sample, ...], expected: tuple[str, str]) -> None:
    status = synced(*samples)
    assert told(status, ConditionType.METRICS_AVAILABLE) == expected
    assert told(status, ConditionType.READY) == ("True", "Synced")


@pytest.mark.parametrize(
    ("known", "expected", "words"),
    [
        pytest.param({"samples_collected": 7}, ("False", "CollectingSamples"), "7 of 10", id="too few"),
        pytest.param({"samples_collected": None}, ("False", "NoMetrics"), "", id="none at all"),
        pytest.param(
            {"samples_collected": 3, "complete": False}, ("False", "LoadingHistory"), "3 of 10", id="still loading"
        ),
        pytest.param({"forecasts": {"cpuUsage": (FORECAST,)}}, ("True", "Predicting"), "", id="calibrated"),
        pytest.param(
            {"forecasts": {"cpuUsage": (HorizonForecast(60, FORECAST.quantiles, None, 2, calibrated=False),)}},
            ("True", "Calibrating"),
            "wide",
            id="not yet calibrated",
        ),
        pytest.param(
            {"forecasts": {"cpuUsage": (FORECAST,)}, "warming": True},
            ("True", "Warming"),
            "short look",
            id="first answer",
        ),
        pytest.param(
            {"forecasts": {"cpuUsage": (FORECAST,)}, "complete": False},
            ("True", "LoadingHistory"),
            "still being read",
            id="forecasts while history is incomplete",
        ),
        pytest.param(
            {"forecasts": {"cpuUsage": (FORECAST,)}, "skill": ForecastSkill(error=0.7, checks=40)},
            ("True", "Predicting"),
            "error 0.70 of naive's",
            id="with skill",
        ),
    ],
)
def test_predictions_available(known: dict[str, object], expected: tuple[str, str], words: str) -> None:
    status = synced(GOOD, **known)  # type: ignore[arg-type]
    assert told(status, ConditionType.PREDICTIONS_AVAILABLE) == expected
    condition = find(status.conditions, ConditionType.PREDICTIONS_AVAILABLE)
    assert condition is not None
    assert words in condition.message


SKILL = ForecastSkill(error=0.7, checks=40)


def foreseen(seconds: int, *metrics: str) -> Prediction:
    quantiles = dict.fromkeys(metrics, (30.0, 40.0, 50.0))
    return Prediction(horizon_seconds=seconds, time=utc(900.0 + seconds), quantiles=quantiles)


@pytest.mark.parametrize(
    ("generation", "known", "complete", "kept"),
    [
        pytest.param(3, {}, False, [(200, "cpuUsage"), (900, "cpuUsage")], id="what is still ahead, of seen metrics"),
        pytest.param(2, {}, False, [], id="another spec"),
        pytest.param(3, {}, True, [], id="the history has been read, and is too short"),
        pytest.param(3, {"forecasts": {"cpuUsage": (FORECAST,)}}, False, [], id="something better is known"),
    ],
)
def test_predictions_outlast_a_restart_until_something_better_is_known(
    generation: int,
    known: dict[str, object],
    complete: bool,  # noqa: FBT001 - a table case
    kept: list[tuple[int, str]],
) -> None:
    predictions = [foreseen(60, "cpuUsage"), foreseen(200, "cpuUsage", "errorRate"), foreseen(900, "cpuUsage")]
    before = DigitalTwinStatus(observed_generation=generation, predictions=predictions, forecast_skill=SKILL)
    status = synced(GOOD, previous=before, complete=complete, samples_collected=None, **known)  # type: ignore[arg-type]
    assert [(p.horizon_seconds, name) for p in status.predictions for name in p.quantiles] == kept
    assert (status.forecast_skill == SKILL) is bool(kept)
    verdict, reason = told(status, ConditionType.PREDICTIONS_AVAILABLE)
    if kept:
        assert (verdict, reason) == ("True", "LoadingHistory")
        assert synced(GOOD, previous=status, complete=complete).predictions == status.predictions
    assert (verdict == "True") is bool(kept or known)


def test_health_has_a_gap_in_which_it_stays_as_it_was() -> None:
    seen: DigitalTwinStatus | None = None
    line = []
    for score in (90, 75, 69, 75, 79, 80, None, 85):
        seen = synced(GOOD, previous=seen, health_score=score)
        line.append(told(seen, ConditionType.HEALTHY)[0])
    assert line == ["True", "True", "False", "False", "False", "True", "Unknown", "True"]


def test_health_names_what_costs_most() -> None:
    parts = [
        HealthComponent(metric=m, penalty=0.5, weight=0.5, points=p) for m, p in (("cpuUsage", 5), ("errorRate", 9))
    ]
    status = synced(GOOD, health_score=86, health=Health(confidence=1, components=parts))
    condition = find(status.conditions, ConditionType.HEALTHY)
    assert condition is not None
    assert condition.message == "health 86 of 100: errorRate costs 9, cpuUsage costs 5"


def test_a_refused_query_stalls_and_the_rest_is_judged_all_the_same() -> None:
    status = synced(GOOD, refused={"latencyMs": QueryRefused("metric latencyMs: mend its query")})
    assert told(status, ConditionType.READY) == ("False", "QueryRefused")
    assert told(status, ConditionType.STALLED) == ("True", "QueryRefused")
    assert status.health_score == 90


def test_a_blocked_correction_says_why() -> None:
    assert told(synced(GOOD, blocked=Blocked("NoBounds", "give bounds")), ConditionType.CORRECTION_BLOCKED) == (
        "True",
        "NoBounds",
    )
    assert told(synced(GOOD), ConditionType.CORRECTION_BLOCKED) == ("False", "NothingBlocked")


def test_a_stalled_twin_keeps_what_was_seen_and_recovers() -> None:
    stalled = render_stalled(synced(GOOD), sync(2000), "TargetNotFound", "make it")
    assert told(stalled, ConditionType.READY) == ("False", "TargetNotFound")
    assert told(stalled, ConditionType.STALLED) == ("True", "TargetNotFound")
    assert stalled.health_score == 90
    assert told(synced(GOOD, previous=stalled), ConditionType.STALLED) == ("absent", "")


def failing(first: DigitalTwinStatus, *times: float) -> list[tuple[str, str]]:
    seen, line = first, []
    for now in times:
        seen = render_metrics_failed(seen, sync(now), {}, "no answer")
        line.append((told(seen, ConditionType.READY)[0], told(seen, ConditionType.RECONCILING)[0]))
    return line


@pytest.mark.parametrize(
    ("first", "times", "expected"),
    [
        pytest.param(
            synced(GOOD), (1000, 1060, 1119, 1120), ["True", "True", "True", "False"], id="three syncs, two minutes"
        ),
        pytest.param(synced(GOOD), (1000, 1005, 1010, 1015), ["True"] * 4, id="many syncs, less than two minutes"),
        pytest.param(synced(GOOD), (1000, 5000, 9000), ["True", "True", "False"], id="long intervals"),
        pytest.param(DigitalTwinStatus(), (1000, 1060, 1130), ["Unknown", "Unknown", "False"], id="never ready before"),
    ],
)
def test_ready_outlives_a_short_failure_of_the_backend(
    first: DigitalTwinStatus, times: tuple[float, ...], expected: list[str]
) -> None:
    assert [ready for ready, _ in failing(first, *times)] == expected


def test_a_new_twin_reconciles_while_the_backend_fails_and_then_gives_up() -> None:
    line = failing(DigitalTwinStatus(), 1000, 1060, 1130, 1190)
    assert [reconciling for _, reconciling in line] == ["True", "True", "absent", "absent"]
    assert [ready for ready, _ in line] == ["Unknown", "Unknown", "False", "False"]


def test_one_answer_ends_the_count_of_failures() -> None:
    failed = render_metrics_failed(synced(GOOD), sync(1000), {}, "no answer")
    assert (failed.failed_syncs, failed.failing_since) == (1, utc(1000))
    again = synced(GOOD, previous=failed)
    assert (again.failed_syncs, again.failing_since) == (0, None)
    assert told(failed, ConditionType.METRICS_AVAILABLE)[0] == "False"


def test_where_nothing_is_expected_the_table_does_not_say_that_nothing_is_off() -> None:
    bare = DigitalTwinSpec.from_wire({"source": {"systemType": "Worker", "targetRef": {"name": "checkout"}}})
    seen = Observation(1000.0, {"cpuUsage": GOOD})
    status = render_synced(DigitalTwinStatus(), bare, sync(), seen, assessment(), {}, None)
    assert told(status, ConditionType.DRIFTED) == ("Unknown", "NoExpectedState")
    assert status.summary is not None
    assert status.summary.drift == "unknown"


@pytest.mark.parametrize(
    "rendered",
    [
        pytest.param(render_suspended, id="suspended"),
        pytest.param(lambda status, at: render_stalled(status, at, "TargetNotFound", "gone"), id="stalled"),
    ],
)
def test_the_last_action_is_told_of_a_twin_that_does_not_sync(
    rendered: Callable[[DigitalTwinStatus, Sync], DigitalTwinStatus],
) -> None:
    back = CorrectionRecord(
        id="back",
        time=utc(1500),
        action=CorrectionAction.GIVE_BACK,
        mode=CorrectionMode.APPLY,
        object=ObjectRef(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", name="checkout"),
        field="spec.minReplicas",
        from_=4,
        to=2,
        trigger="Suspended",
        why="",
        outcome=Outcome.APPLIED,
    )
    status = rendered(synced(GOOD).model_copy(update={"corrections": [back]}), sync(2000))
    assert status.summary is not None
    assert status.summary.last_action == "give back minReplicas 4→2 (Applied)"


def test_a_suspended_twin_is_finished_for_kstatus() -> None:
    status = render_suspended(synced(GOOD), sync(2000, generation=4))
    assert told(status, ConditionType.READY) == ("True", "Suspended")
    assert told(status, ConditionType.PAUSED) == ("True", "Suspended")
    assert status.observed_generation == 4
    assert find(status.conditions, ConditionType.RECONCILING) is None


def test_values_are_rounded_so_that_a_status_changes_little() -> None:
    status = synced(Sample("cpuUsage", Quality.GOOD, 40.123456789, "%", 999.0))
    assert status.observed[0].value == 40.1235


def test_every_rendered_status_survives_the_wire() -> None:
    for status in (
        synced(GOOD, STALE),
        render_stalled(synced(GOOD), sync(), "TargetNotFound", "x" * 5000),
        render_metrics_failed(DigitalTwinStatus(), sync(), {"latencyMs": STALE}, "no answer"),
        render_suspended(DigitalTwinStatus(), sync()),
    ):
        assert DigitalTwinStatus.from_wire(status.to_wire()) == status
        assert all(c.status in ConditionStatus for c in status.conditions)
