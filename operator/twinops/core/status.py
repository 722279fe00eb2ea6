"""Rendering status: from what a sync found out to the ``DigitalTwinStatus`` that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.conditions import ConditionStatus, ConditionType, find
from twinops.api.status import DigitalTwinStatus, Drift, ObservedMetric, Quality, Summary
from twinops.api.twin import DigitalTwinSpec
from twinops.core.assess import Assessment
from twinops.core.conditions import Conditions, shorten
from twinops.core.drift import has_expected_state
from twinops.core.forecast import MIN_SAMPLES
from twinops.core.idle import idle_metrics
from twinops.core.learned import still_learning
from twinops.core.observation import PARTIAL_ANSWER, Observation, Sample
from twinops.core.summary import summarise
from twinops.errors import SpecError

HEALTHY_FROM = 80
"""A twin becomes healthy at this score."""

UNHEALTHY_BELOW = 70
"""A healthy twin stays so down to this score; the gap keeps the condition from flapping."""

FAILED_SYNCS_BEFORE_UNREADY = 3
FAILING_SECONDS_BEFORE_UNREADY = 120
"""A backend must fail in this many syncs in a row *and* for this long before ``Ready`` turns False."""


_SEEN_ONLY_BY_SYNCING = (
    ConditionType.METRICS_AVAILABLE,
    ConditionType.PREDICTIONS_AVAILABLE,
    ConditionType.HEALTHY,
    ConditionType.DRIFTED,
)


@dataclass(frozen=True, slots=True)
class Sync:
    """The circumstances of one sync.

    Attributes:
        generation: ``metadata.generation`` of the spec that was synced.
        now: Unix seconds.
        request: value of the ``sync-requested-at`` annotation, None when there is none.
    """

    generation: int
    now: float
    request: str | None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a correction that is due is not made.

    Attributes:
        waits: whether it is only not made yet, with nothing in its way.
    """

    reason: str
    message: str
    waits: bool = False


def render_synced(
    previous: DigitalTwinStatus,
    spec: DigitalTwinSpec,
    sync: Sync,
    observation: Observation,
    assessment: Assessment,
    refused: Mapping[str, SpecError],
    blocked: Blocked | None,
) -> DigitalTwinStatus:
    """Return the status after a sync in which the metrics backend answered.

    Args:
        previous: the status before, with what the correction part has made of it.
        spec: the twin's.
        sync: generation, time and request of this sync.
        observation: what was read.
        assessment: what the core makes of it.
        refused: by metric, what a person must mend.
        blocked: why a correction that is due is not made, None when nothing stands in its way.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    _tell_ready(conditions, refused)
    _tell_metrics(conditions, observation)
    predicting = _tell_predictions(conditions, observation, assessment)
    _tell_health(conditions, assessment)
    _tell_drift(conditions, spec, observation, assessment.drift)
    conditions.no(ConditionType.PAUSED, "Active", "syncing on schedule")
    if blocked is None:
        conditions.no(ConditionType.CORRECTION_BLOCKED, "NothingBlocked", "no correction is held back")
    elif blocked.waits:
        conditions.no(ConditionType.CORRECTION_BLOCKED, blocked.reason, blocked.message)
    else:
        conditions.yes(ConditionType.CORRECTION_BLOCKED, blocked.reason, blocked.message)
    workload = observation.workload
    return _base(previous, sync).model_copy(
        update={
            "conditions": conditions.listed(),
            "summary": summarise(
                spec,
                workload=workload,
                drift=assessment.drift,
                risks=assessment.risks,
                predicting=predicting,
                corrections=previous.corrections,
            ),
            "health_score": assessment.health_score,
            "health": assessment.health,
            "observed": observed(observation.samples),
            "predictions": assessment.predictions,
            "forecast_skill": assessment.skill,
            "risks": list(assessment.risks),
            "drift": assessment.drift,
            "replicas": None if workload is None else workload.ready,
            "samples_collected": assessment.samples_collected,
            "failed_syncs": 0,
            "failing_since": None,
        }
    )


def render_stalled(previous: DigitalTwinStatus, sync: Sync, reason: str, message: str) -> DigitalTwinStatus:
    """Return the status of a twin that cannot work until a person acts. What was seen before stays."""
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.no(ConditionType.READY, reason, message).yes(ConditionType.STALLED, reason, message)
    conditions.drop(ConditionType.RECONCILING).no(ConditionType.PAUSED, "Active", "syncing on schedule")
    conditions.unknown(ConditionType.METRICS_AVAILABLE, reason, "not asked while the twin is stalled")
    return _base(previous, sync).model_copy(
        update={"conditions": conditions.listed(), "recommended_replicas": None, "need_below_since": None}
    )


def render_metrics_failed(
    previous: DigitalTwinStatus, sync: Sync, samples: Mapping[str, Sample], message: str
) -> DigitalTwinStatus:
    """Return the status after a sync in which the metrics backend did not answer.

    ``Ready`` stays as it was until the third failed sync in a row, two minutes or more after the first;
    a twin that was never ready is reconciling until then.
    """
    since = previous.failing_since or utc(sync.now)
    failed = previous.failed_syncs + 1
    lasting = failed >= FAILED_SYNCS_BEFORE_UNREADY and sync.now - since.timestamp() >= FAILING_SECONDS_BEFORE_UNREADY
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.drop(ConditionType.STALLED).no(ConditionType.PAUSED, "Active", "syncing on schedule")
    reason = "MetricsBackendUnavailable"
    if lasting:
        conditions.drop(ConditionType.RECONCILING)
        conditions.no(ConditionType.READY, reason, f"{message}; {failed} syncs in a row have failed")
    elif conditions.of(ConditionType.READY) is ConditionStatus.TRUE:
        ready = find(previous.conditions, ConditionType.READY)
        conditions.yes(ConditionType.READY, ready.reason if ready else "Synced", f"last sync failed: {message}")
        conditions.drop(ConditionType.RECONCILING)
    elif not _failing_already(previous):
        conditions.unknown(ConditionType.READY, "Progressing", message)
        conditions.yes(ConditionType.RECONCILING, "Progressing", message)
    conditions.no(ConditionType.METRICS_AVAILABLE, reason, message)
    return _base(previous, sync).model_copy(
        update={
            "conditions": conditions.listed(),
            "observed": observed(samples),
            # What was not seen does not count towards the time in which nothing was needed.
            "need_below_since": None,
            "failed_syncs": failed,
            "failing_since": since,
        }
    )


def render_crashed(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status after a sync that a defect of the operator has ended. What was seen before stays.

    The generation it speaks of stays, too: this one was not synced.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    message = "the operator failed on this twin; its log has the reason, please report it"
    conditions.unknown(ConditionType.READY, "InternalError", message)
    return previous.model_copy(update={"conditions": conditions.listed()})


def render_suspended(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status of a suspended twin: accepted, and not syncing."""
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.drop(ConditionType.STALLED, ConditionType.RECONCILING)
    message = "spec.suspend is true: nothing is looked at or corrected"
    conditions.yes(ConditionType.READY, "Suspended", message).yes(ConditionType.PAUSED, "Suspended", message)
    conditions.no(ConditionType.CORRECTION_BLOCKED, "Suspended", "no correction is considered")
    for kind in _SEEN_ONLY_BY_SYNCING:
        conditions.unknown(kind, "Suspended", "not looked at")
    return _base(previous, sync).model_copy(
        update={
            "conditions": conditions.listed(),
            "summary": _resting(previous.summary),
            "health_score": None,
            "health": None,
            "observed": [],
            "predictions": [],
            "risks": [],
            "drift": Drift(),
            "recommended_replicas": None,
            "need_below_since": None,
            "samples_collected": None,
            "failed_syncs": 0,
            "failing_since": None,
        }
    )


def _resting(summary: Summary | None) -> Summary:
    before = summary or Summary()
    return before.model_copy(update={"drift": "", "replicas": "", "predicted": "suspended"})


def observed(samples: Mapping[str, Sample]) -> list[ObservedMetric]:
    """Return every answer as it stands in status, sorted by metric."""
    return [
        ObservedMetric(
            name=sample.metric,
            value=None if sample.value is None else float(f"{sample.value:.6g}"),
            unit=sample.unit,
            time=None if sample.time is None else utc(sample.time),
            quality=sample.quality,
            reason=sample.reason,
            message=shorten(sample.message),
            query=sample.query,
        )
        for sample in sorted(samples.values(), key=lambda sample: sample.metric)
    ]


def _base(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    return previous.model_copy(
        update={
            "observed_generation": sync.generation,
            "last_sync_time": utc(sync.now),
            "last_handled_sync_request": sync.request,
        }
    )


def _failing_already(previous: DigitalTwinStatus) -> bool:
    ready = find(previous.conditions, ConditionType.READY)
    return ready is not None and ready.status is ConditionStatus.FALSE and previous.failed_syncs > 0


def _tell_ready(conditions: Conditions, refused: Mapping[str, SpecError]) -> None:
    conditions.drop(ConditionType.RECONCILING)
    if refused:
        errors = [refused[metric] for metric in sorted(refused)]
        message = "; ".join(str(error) for error in errors)
        conditions.no(ConditionType.READY, errors[0].reason, message)
        conditions.yes(ConditionType.STALLED, errors[0].reason, message)
        return
    conditions.drop(ConditionType.STALLED)
    conditions.yes(ConditionType.READY, "Synced", "spec accepted, target resolved, metrics answering")


def _tell_metrics(conditions: Conditions, observation: Observation) -> None:
    kind = ConditionType.METRICS_AVAILABLE
    idle = idle_metrics(observation.samples)
    bad = [s for m, s in sorted(observation.samples.items()) if s.quality is not Quality.GOOD and m not in idle]
    words = [f"{s.metric} is {s.quality.value}" + (f" ({s.reason})" if s.reason else "") for s in bad]
    quiet = [f"{metric} has nothing to measure without traffic" for metric in sorted(idle)]
    message = "; ".join([*words, *quiet, *observation.warnings])
    good = len(observation.samples) - len(bad) - len(idle)
    if good and not bad:
        fresh = f"fresh values for all {good} metrics" if good > 1 else "a fresh value for the one metric"
        conditions.yes(kind, "AllAnswering", message or fresh)
    elif good:
        conditions.yes(kind, "SomeMissing", message)
    elif any(sample.reason == PARTIAL_ANSWER for sample in bad):
        conditions.no(kind, PARTIAL_ANSWER, message)
    else:
        conditions.no(kind, "NoneAnswering", message or "no metric is asked for: add queries to spec.source.metrics")


def _tell_predictions(conditions: Conditions, observation: Observation, assessment: Assessment) -> str:
    """Set the condition, and return what the table says when no risk is foreseen."""
    kind = ConditionType.PREDICTIONS_AVAILABLE
    collected = assessment.samples_collected
    if assessment.forecasts:
        reason, message = _how_well(observation, assessment)
        conditions.yes(kind, reason, message)
        return "steady"
    if collected is None:
        conditions.no(kind, "NoMetrics", "no metric has a value to learn from")
        return "no metrics"
    reason = "CollectingSamples" if observation.history_complete else "LoadingHistory"
    conditions.no(kind, reason, f"{collected} of {MIN_SAMPLES} samples")
    return f"collecting {collected}/{MIN_SAMPLES}"


def _how_well(observation: Observation, assessment: Assessment) -> tuple[str, str]:
    """Return reason and message of a twin that predicts."""
    if not observation.history_complete:
        return "LoadingHistory", "foreseen from what is known so far; the rest of the history is still being read"
    if observation.outlook.warming:
        return "Warming", "a first answer from a short look back; the whole history is being learned from"
    if not all(one.calibrated for found in assessment.forecasts.values() for one in found):
        return "Calibrating", "intervals are wide until 30 past forecasts could be checked"
    error = None if assessment.skill is None else assessment.skill.error
    naive = "" if error is None else f"; error {error:.2f} of naive's over the last three days"
    return "Predicting", f"intervals are measured on past forecasts{naive}"


def _tell_health(conditions: Conditions, assessment: Assessment) -> None:
    kind = ConditionType.HEALTHY
    score = assessment.health_score
    if score is None:
        conditions.unknown(kind, "NoFreshMetrics", "no metric that health is judged by has a value")
        return
    was_healthy = conditions.of(kind) is ConditionStatus.TRUE
    costly = sorted((c for c in assessment.health.components if c.points > 0), key=lambda c: -c.points)[:3]
    why = ", ".join(f"{c.metric} costs {c.points:.0f}" for c in costly)
    message = f"health {score} of 100" + (f": {why}" if why else "")
    if score >= HEALTHY_FROM or (was_healthy and score >= UNHEALTHY_BELOW):
        conditions.yes(kind, "ScoreHigh", message)
    else:
        conditions.no(kind, "ScoreLow", message)


def _tell_drift(conditions: Conditions, spec: DigitalTwinSpec, observation: Observation, drift: Drift) -> None:
    kind = ConditionType.DRIFTED
    if not has_expected_state(spec):
        conditions.unknown(kind, "NoExpectedState", "spec.expectedState names nothing to compare with")
        return
    lasting = [alert for alert in drift.alerts if alert.persistent and not alert.harmless]
    unsettled = [alert.component for alert in drift.alerts if not alert.persistent and not alert.harmless]
    learning = still_learning(spec, observation.samples, observation.outlook.readings)
    nothing_known = all(reading.expected is None for reading in observation.outlook.readings.values())
    rest = f"; still learning what is normal for {', '.join(learning)}" if learning else ""
    if lasting:
        told = (f"{a.component} is {a.actual}, expected {a.expected} ({a.severity.value})" for a in lasting)
        conditions.yes(kind, "OutsideThreshold", "; ".join(told) + rest)
    elif unsettled:
        message = f"outside, not in three of the last five syncs: {', '.join(unsettled)}"
        conditions.no(kind, "WithinThreshold", message + rest)
    elif learning and nothing_known and not has_expected_state(spec, apart_from_learned=True):
        conditions.unknown(kind, "Learning", rest.removeprefix("; ") + ", which takes a day of data")
    else:
        conditions.no(kind, "WithinThreshold", "everything is as expected" + rest)
