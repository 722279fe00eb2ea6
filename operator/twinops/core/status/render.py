"""Renders the ``DigitalTwinStatus`` of a sync in which the metrics backend answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.api.conditions import ConditionType
from twinops.api.twin.corrections import CorrectionRecord
from twinops.api.twin.predictions import Prediction
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import Assessment
from twinops.core.correction.decide import Decision
from twinops.core.correction.reasons import FailureReason
from twinops.core.correction.records import last_failure
from twinops.core.observation import Observation
from twinops.core.status.base import Sync, base
from twinops.core.status.columns import summarise
from twinops.core.status.conditions import Conditions
from twinops.core.status.synced_conditions import (
    set_drift_condition,
    set_health_condition,
    set_metrics_condition,
    set_predictions_condition,
    set_ready_condition,
)
from twinops.errors import SpecError


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a correction that is due is not made.

    Attributes:
        reason: CamelCase.
        message: a sentence.
        waits: whether it is only postponed, and nothing prevents it.
    """

    reason: str
    message: str
    waits: bool = False


def blocked_by(decision: Decision, corrections: Sequence[CorrectionRecord]) -> Blocked | None:
    """Return why a correction that is due is not made, None where nothing prevents it.

    Args:
        decision: of this sync.
        corrections: the records in status, oldest first.
    """
    failed = last_failure(corrections, decision.lever.object) if decision.writes and decision.lever else None
    if failed is not None and failed.retry_time is not None:
        # That the write is tried again does not show that it is possible now.
        return Blocked(failed.reason or FailureReason.WRITE_FAILED, failed.message)
    waits = decision.waits
    return Blocked(decision.reason, decision.message, waits=waits) if decision.blocked or waits else None


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
        previous: the status before, with the corrections and saved values of this sync.
        spec: the twin's.
        sync: generation, time and request of this sync.
        observation: what was read.
        assessment: of that observation.
        refused: by metric, what a person must mend.
        blocked: why a correction that is due is not made, None where nothing prevents it.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    set_ready_condition(conditions, refused)
    set_metrics_condition(conditions, observation)
    kept = _kept_predictions(previous, sync, observation, assessment)
    predicting = set_predictions_condition(conditions, observation, assessment, kept=bool(kept))
    set_health_condition(conditions, spec, assessment)
    drift_words = set_drift_condition(conditions, spec, observation, assessment)
    conditions.set_false(ConditionType.PAUSED, "Active", "syncing on schedule")
    _set_blocked_condition(conditions, blocked)
    workload = observation.workload
    all_lost = bool(observation.samples) and assessment.availability.lost >= observation.samples.keys()
    return base(previous, sync).model_copy(
        update={
            "conditions": conditions.as_list(),
            "summary": summarise(
                spec,
                workload=workload,
                drift=assessment.drift,
                risks=assessment.risks,
                predicting=predicting,
                corrections=previous.corrections,
                drift_unknown=drift_words,
            ),
            "health_score": assessment.health_score,
            "health": assessment.health,
            "observed": list(assessment.observed),
            "predictions": kept or assessment.predictions,
            "forecast_skill": previous.forecast_skill if kept else assessment.skill,
            "restart_state": assessment.restart_state,
            "risks": list(assessment.risks),
            "drift": assessment.drift,
            "replicas": None if workload is None else workload.ready,
            # An autoscaler may read it: without metrics it must not be given the present number as a recommendation.
            "recommended_replicas": None if all_lost else previous.recommended_replicas,
            "samples_collected": assessment.samples_collected,
            "failed_syncs": 0,
            "failing_since": None,
        }
    )


def _kept_predictions(
    previous: DigitalTwinStatus, sync: Sync, observation: Observation, assessment: Assessment
) -> list[Prediction]:
    """Return what was foreseen before a restart and is still ahead, while the history is being read again.

    Predictions of another spec are not kept: its queries may ask for something else.
    """
    if not observation.forecast_result.nothing_yet or previous.observed_generation != sync.generation:
        return []
    fresh = {metric.name for metric in assessment.observed} - assessment.availability.forecast_excluded
    kept = []
    for prediction in previous.predictions:
        quantiles = {metric: ahead for metric, ahead in prediction.quantiles.items() if metric in fresh}
        if quantiles and prediction.time.timestamp() > sync.now:
            kept.append(prediction.model_copy(update={"quantiles": quantiles}))
    return kept


def _set_blocked_condition(conditions: Conditions, blocked: Blocked | None) -> None:
    kind = ConditionType.CORRECTION_BLOCKED
    if blocked is None:
        conditions.set_false(kind, "NothingBlocked", "no correction is held back")
    elif blocked.waits:
        conditions.set_false(kind, blocked.reason, blocked.message)
    else:
        conditions.set_true(kind, blocked.reason, blocked.message)
