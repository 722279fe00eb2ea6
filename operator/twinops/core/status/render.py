"""Rendering status: from what a sync found out to the ``DigitalTwinStatus`` that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinops.api.conditions import ConditionType
from twinops.api.twin.corrections import CorrectionRecord
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
from twinops.core.status.failed import (
    is_lasting,
    render_cluster_failed,
    render_crashed,
    render_metrics_failed,
    render_stalled,
    render_suspended,
)
from twinops.core.status.synced_conditions import tell_drift, tell_health, tell_metrics, tell_predictions, tell_ready
from twinops.errors import SpecError

__all__ = [
    "Blocked",
    "Sync",
    "blocked_by",
    "is_lasting",
    "render_cluster_failed",
    "render_crashed",
    "render_metrics_failed",
    "render_stalled",
    "render_suspended",
    "render_synced",
]


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a correction that is due is not made.

    Attributes:
        waits: whether it is only not made yet, with nothing in its way.
    """

    reason: str
    message: str
    waits: bool = False


def blocked_by(decision: Decision, corrections: Sequence[CorrectionRecord]) -> Blocked | None:
    """Return why a correction that is due is not made, None when nothing stands in its way.

    Args:
        decision: of this sync.
        corrections: the records in status, oldest first.
    """
    failed = last_failure(corrections, decision.lever.object) if decision.writes and decision.lever else None
    if failed is not None and failed.retry_time is not None:
        # Trying again is no sign that nothing stands in the way any more.
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
        previous: the status before, with what the correction part has made of it.
        spec: the twin's.
        sync: generation, time and request of this sync.
        observation: what was read.
        assessment: what the core makes of it.
        refused: by metric, what a person must mend.
        blocked: why a correction that is due is not made, None when nothing stands in its way.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    tell_ready(conditions, refused)
    tell_metrics(conditions, observation)
    predicting = tell_predictions(conditions, observation, assessment)
    tell_health(conditions, spec, assessment)
    drift_words = tell_drift(conditions, spec, observation, assessment)
    conditions.no(ConditionType.PAUSED, "Active", "syncing on schedule")
    if blocked is None:
        conditions.no(ConditionType.CORRECTION_BLOCKED, "NothingBlocked", "no correction is held back")
    elif blocked.waits:
        conditions.no(ConditionType.CORRECTION_BLOCKED, blocked.reason, blocked.message)
    else:
        conditions.yes(ConditionType.CORRECTION_BLOCKED, blocked.reason, blocked.message)
    workload = observation.workload
    nothing_seen = bool(observation.samples) and assessment.sight.lost >= observation.samples.keys()
    return base(previous, sync).model_copy(
        update={
            "conditions": conditions.listed(),
            "summary": summarise(
                spec,
                workload=workload,
                drift=assessment.drift,
                risks=assessment.risks,
                predicting=predicting,
                corrections=previous.corrections,
                instead_of_drift=drift_words,
            ),
            "health_score": assessment.health_score,
            "health": assessment.health,
            "observed": list(assessment.observed),
            "predictions": assessment.predictions,
            "forecast_skill": assessment.skill,
            "risks": list(assessment.risks),
            "drift": assessment.drift,
            "replicas": None if workload is None else workload.ready,
            # What an autoscaler reads must not be what is asked for now, told back to it.
            "recommended_replicas": None if nothing_seen else previous.recommended_replicas,
            "samples_collected": assessment.samples_collected,
            "failed_syncs": 0,
            "failing_since": None,
        }
    )
