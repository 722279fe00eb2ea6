"""Renders the status after a sync without an observation: a backend failed, or the twin is stalled or suspended.

For a grace period the last known verdicts are kept, marked as such. After it the status says nothing about the workload
any more: values are removed and conditions are Unknown, which does not claim that a problem is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType, find
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, ObservedMetric, Quality
from twinops.api.twin.spec import MAX_METRICS
from twinops.api.twin.status import DigitalTwinStatus, Summary
from twinops.core.assess.availability import assess_availability, metrics_with_verdict, observed_for_status
from twinops.core.assess.drift import unresolved_components
from twinops.core.assess.health import last_known_penalties
from twinops.core.forecast.skill import former_restart_state
from twinops.core.observation import Sample, Workload
from twinops.core.rights import Refusal
from twinops.core.status.base import UNKNOWN, Sync, base
from twinops.core.status.columns import replica_words
from twinops.core.status.conditions import Conditions

FAILED_SYNCS_BEFORE_UNREADY = 3
"""Syncs in a row that must fail, *and* for as long as the grace period, before ``Ready`` becomes False."""

_CRASHED = "InternalError"
_VERDICTS = (ConditionType.HEALTHY, ConditionType.DRIFTED)
_LAST_SEEN = "last seen before "


def render_stalled(previous: DigitalTwinStatus, sync: Sync, reason: str, message: str) -> DigitalTwinStatus:
    """Return the status of a twin that cannot work until a person acts. Verdicts are kept for the grace period."""
    stalled = find(previous.conditions, ConditionType.STALLED)
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.set_false(ConditionType.READY, reason, message).set_true(ConditionType.STALLED, reason, message)
    conditions.remove(ConditionType.RECONCILING).set_false(ConditionType.PAUSED, "Active", "not suspended")
    conditions.set_unknown(ConditionType.METRICS_AVAILABLE, reason, "not asked while the twin is stalled")
    began = [stalled.last_transition_time] if stalled and stalled.status is ConditionStatus.TRUE else []
    since = min((time.timestamp() for time in (*began, *_failing_since(previous))), default=sync.now)
    status = base(previous, sync).model_copy(update={"recommended_replicas": None, "need_below_since": None})
    return _without_observation(status, conditions, sync, since, reason)


def render_metrics_failed(
    previous: DigitalTwinStatus,
    sync: Sync,
    samples: Mapping[str, Sample],
    message: str,
    workload: Workload | None = None,
) -> DigitalTwinStatus:
    """Return the status after a sync in which the metrics backend did not answer.

    ``Ready`` stays as it was until the third failed sync in a row, the grace period or more after the first;
    a twin that was never ready is reconciling until then.

    Args:
        previous: the status before.
        sync: generation, time and request of this sync.
        samples: a sample without a value for every metric.
        message: how the backend failed.
        workload: the target, which is read without metrics; None where it was not read.
    """
    reason = "MetricsBackendUnavailable"
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.set_false(ConditionType.METRICS_AVAILABLE, reason, message)
    since = assess_availability(
        samples, previous.observed, sync.now, with_verdict=metrics_with_verdict(previous.health, previous.drift)
    ).unavailable_since
    status = _failed(previous, conditions, sync, reason, message)
    update: dict[str, Any] = {"observed": list(observed_for_status(samples, since))}
    if workload is not None:
        summary = (status.summary or Summary()).model_copy(update={"replicas": replica_words(workload)})
        update |= {"replicas": workload.ready, "summary": summary}
    return status.model_copy(update=update)


def render_cluster_failed(previous: DigitalTwinStatus, sync: Sync, refusal: Refusal) -> DigitalTwinStatus:
    """Return the status after a sync in which the API server did not give what was asked for.

    A lasting refusal stalls the twin: at the second sync in a row if it was ready before, since an API server that is
    starting refuses requests, too; otherwise at once. Any other is treated as a metrics backend that does not answer.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    if refusal.lasting and (
        previous.failed_syncs or conditions.status_of(ConditionType.READY) is not ConditionStatus.TRUE
    ):
        counted = _with_one_more_failure(previous, sync)
        return render_stalled(counted, sync, refusal.reason, refusal.message)
    if is_lasting(_with_one_more_failure(previous, sync), sync):
        conditions.set_unknown(ConditionType.METRICS_AVAILABLE, refusal.reason, "not asked")
    return _failed(previous, conditions, sync, refusal.reason, refusal.message)


def is_lasting(status: DigitalTwinStatus, sync: Sync) -> bool:
    """Tell whether syncs have failed often and long enough for ``Ready`` to become False."""
    since = status.failing_since
    often = status.failed_syncs >= FAILED_SYNCS_BEFORE_UNREADY
    return since is not None and often and sync.now - since.timestamp() >= sync.grace_seconds


def render_crashed(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status after a sync that a defect of the operator has ended. Verdicts are kept for the grace period.

    ``observedGeneration`` stays as it was: this generation was not synced.
    """
    ready = find(previous.conditions, ConditionType.READY)
    again = ready is not None and ready.reason == _CRASHED
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    message = "the operator failed on this twin; its log has the reason, please report it"
    conditions.set_unknown(ConditionType.READY, _CRASHED, message)
    since = ready.last_transition_time.timestamp() if ready is not None and again else sync.now
    return _without_observation(previous, conditions, sync, since, _CRASHED)


def render_suspended(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status of a suspended twin: accepted, but not syncing."""
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.remove(ConditionType.STALLED, ConditionType.RECONCILING)
    message = "spec.suspend is true: nothing is looked at or corrected"
    conditions.set_true(ConditionType.READY, "Suspended", message).set_true(ConditionType.PAUSED, "Suspended", message)
    for kind in (ConditionType.METRICS_AVAILABLE, ConditionType.PREDICTIONS_AVAILABLE, *_VERDICTS):
        conditions.set_unknown(kind, "Suspended", "not looked at")
    conditions.set_false(ConditionType.CORRECTION_BLOCKED, "Suspended", "no correction is considered")
    status = base(previous, sync)
    summary = (status.summary or Summary()).model_copy(update={"drift": "", "replicas": "", "predicted": "suspended"})
    return status.model_copy(
        update={
            **_without_verdicts(previous),
            "conditions": conditions.as_list(),
            "summary": summary,
            # After a suspension the twin starts anew, without verdicts from before it.
            "health": None,
            "drift": Drift(),
            "observed": [],
            "failed_syncs": 0,
            "failing_since": None,
        }
    )


def _failed(
    previous: DigitalTwinStatus, conditions: Conditions, sync: Sync, reason: str, message: str
) -> DigitalTwinStatus:
    """Return the status after a failed sync: one failure more, and ``Ready`` False once failures are lasting."""
    status = _with_one_more_failure(base(previous, sync), sync)
    conditions.remove(ConditionType.STALLED).set_false(ConditionType.PAUSED, "Active", "syncing on schedule")
    if is_lasting(status, sync):
        conditions.remove(ConditionType.RECONCILING)
        conditions.set_false(
            ConditionType.READY, reason, f"{message}; {status.failed_syncs} syncs in a row have failed"
        )
    elif conditions.status_of(ConditionType.READY) is ConditionStatus.TRUE:
        ready = find(previous.conditions, ConditionType.READY)
        conditions.set_true(ConditionType.READY, ready.reason if ready else "Synced", f"last sync failed: {message}")
        conditions.remove(ConditionType.RECONCILING)
    elif not _unready_already(previous):
        conditions.set_unknown(ConditionType.READY, "Progressing", message)
        conditions.set_true(ConditionType.RECONCILING, "Progressing", message)
    # A failed sync does not show that less is needed, so that time starts anew.
    status = status.model_copy(update={"need_below_since": None})
    began = status.failing_since
    since = began.timestamp() if began is not None and is_lasting(status, sync) else sync.now
    return _without_observation(status, conditions, sync, since, reason)


def _with_one_more_failure(status: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status with one more failed sync."""
    since = status.failing_since or utc(sync.now)
    return status.model_copy(update={"failed_syncs": status.failed_syncs + 1, "failing_since": since})


def _unready_already(previous: DigitalTwinStatus) -> bool:
    ready = find(previous.conditions, ConditionType.READY)
    return ready is not None and ready.status is ConditionStatus.FALSE and previous.failed_syncs > 0


def _failing_since(status: DigitalTwinStatus) -> list[datetime]:
    return [] if status.failing_since is None else [status.failing_since]


def _without_observation(
    status: DigitalTwinStatus, conditions: Conditions, sync: Sync, since: float, reason: str
) -> DigitalTwinStatus:
    """Return the status of a twin without an observation: within the grace period marked, after it without verdicts.

    Args:
        status: the one before, with the failure of this sync.
        conditions: those of this sync, as far as they are set.
        sync: this one.
        since: Unix seconds of the first sync without an observation.
        reason: why there is none, in CamelCase.
    """
    if sync.now - since < sync.grace_seconds:
        for kind in _VERDICTS:
            _mark_last_known(conditions, find(status.conditions, kind), since)
        return status.model_copy(update={"conditions": conditions.as_list()})
    for kind in (*_VERDICTS, ConditionType.CORRECTION_BLOCKED):
        conditions.set_unknown(kind, reason, f"nothing has been seen since {utc(since):%Y-%m-%d %H:%M:%S} UTC")
    conditions.set_false(ConditionType.PREDICTIONS_AVAILABLE, reason, "nothing is foreseen from a last value")
    if conditions.status_of(ConditionType.METRICS_AVAILABLE) is ConditionStatus.TRUE:
        conditions.set_unknown(ConditionType.METRICS_AVAILABLE, reason, "not asked")
    return status.model_copy(
        update={
            **_without_verdicts(status),
            "conditions": conditions.as_list(),
            "observed": _not_asked(status.observed, since, reason),
        }
    )


def _mark_last_known(conditions: Conditions, verdict: Condition | None, since: float) -> None:
    """Put in front of a verdict's message when it was last known."""
    if verdict is None or verdict.status is ConditionStatus.UNKNOWN or verdict.message.startswith(_LAST_SEEN):
        return
    message = f"{_LAST_SEEN}{utc(since):%H:%M:%S} UTC: {verdict.message}"
    conditions.set(ConditionType(verdict.type), verdict.status, verdict.reason, message)


def _without_verdicts(status: DigitalTwinStatus) -> dict[str, Any]:
    """Return the fields of a status that describe the workload, with the values they have while nothing is known."""
    health, summary = status.health, status.summary or Summary()
    metrics = set() if health is None else {*health.unknown, *(component.metric for component in health.components)}
    columns = {"drift": UNKNOWN, "replicas": UNKNOWN if summary.replicas else "", "predicted": UNKNOWN}
    return {
        "summary": summary.model_copy(update=columns),
        "health_score": None,
        "health": Health(
            confidence=0.0, unknown=sorted(metrics)[:MAX_METRICS], last_known=last_known_penalties(health)
        ),
        "predictions": [],
        "forecast_skill": None,
        "restart_state": status.restart_state or former_restart_state(status.forecast_skill),
        "risks": [],
        "drift": Drift(unknown=unresolved_components(status.drift)),
        "replicas": None,
        "recommended_replicas": None,
        "need_below_since": None,
        "samples_collected": None,
    }


def _not_asked(metrics: Sequence[ObservedMetric], since: float, reason: str) -> list[ObservedMetric]:
    """Return the answers without their values, but with the name of the query, which is asked first again."""
    update: dict[str, Any] = {"quality": Quality.ERROR, "value": None, "reason": reason, "message": "not asked"}
    return [
        metric.model_copy(update=update | {"unseen_since": metric.unseen_since or utc(since)})
        if metric.quality in (Quality.GOOD, Quality.HELD, Quality.BOUNDED)
        else metric
        for metric in metrics
    ]
