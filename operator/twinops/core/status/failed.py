"""Rendering status after a sync that has seen nothing: the backend or the API server failed, or nobody looked.

For a grace period the last verdict stands, marked as such; after it nothing is said of the workload any more, and
what was told of it is taken back without any claim that it is over.
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
from twinops.core.assess.availability import judged, observed, sight
from twinops.core.assess.drift import unknown_of
from twinops.core.assess.health import remember
from twinops.core.forecast.skill import withdrawn_skill
from twinops.core.observation import Sample, Workload
from twinops.core.rights import Refusal
from twinops.core.status.base import UNKNOWN, Sync, base
from twinops.core.status.columns import replica_words
from twinops.core.status.conditions import Conditions

FAILED_SYNCS_BEFORE_UNREADY = 3
"""So many syncs in a row must fail, *and* for the grace period, before ``Ready`` turns False."""

_CRASHED = "InternalError"
_VERDICTS = (ConditionType.HEALTHY, ConditionType.DRIFTED)
_LAST_SEEN = "last seen before "


def render_stalled(previous: DigitalTwinStatus, sync: Sync, reason: str, message: str) -> DigitalTwinStatus:
    """Return the status of a twin that cannot work until a person acts. What was seen stays for the grace period."""
    stalled = find(previous.conditions, ConditionType.STALLED)
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.no(ConditionType.READY, reason, message).yes(ConditionType.STALLED, reason, message)
    conditions.drop(ConditionType.RECONCILING).no(ConditionType.PAUSED, "Active", "not suspended")
    conditions.unknown(ConditionType.METRICS_AVAILABLE, reason, "not asked while the twin is stalled")
    began = [stalled.last_transition_time] if stalled and stalled.status is ConditionStatus.TRUE else []
    since = min((time.timestamp() for time in (*began, *_failing(previous))), default=sync.now)
    status = base(previous, sync).model_copy(update={"recommended_replicas": None, "need_below_since": None})
    return _unseen(status, conditions, sync, since, reason)


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
        samples: what stands in for the answers.
        message: what the backend did.
        workload: the target, which needs no metrics to be seen; None when it was not.
    """
    reason = "MetricsBackendUnavailable"
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.no(ConditionType.METRICS_AVAILABLE, reason, message)
    since = sight(samples, previous.observed, sync.now, judged=judged(previous.health, previous.drift)).since
    status = _failed(previous, conditions, sync, reason, message)
    update: dict[str, Any] = {"observed": list(observed(samples, since))}
    if workload is not None:
        summary = (status.summary or Summary()).model_copy(update={"replicas": replica_words(workload)})
        update |= {"replicas": workload.ready, "summary": summary}
    return status.model_copy(update=update)


def render_cluster_failed(previous: DigitalTwinStatus, sync: Sync, refusal: Refusal) -> DigitalTwinStatus:
    """Return the status after a sync in which the API server did not give what was asked for.

    A refusal that lasts stalls the twin: at the second sync in a row where it was ready before, since an API server
    that starts refuses, too; else at once. Anything else is treated as a metrics backend that does not answer.
    """
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    if refusal.lasting and (previous.failed_syncs or conditions.of(ConditionType.READY) is not ConditionStatus.TRUE):
        counted = _counted(previous, sync)
        return render_stalled(counted, sync, refusal.reason, refusal.message)
    if is_lasting(_counted(previous, sync), sync):
        conditions.unknown(ConditionType.METRICS_AVAILABLE, refusal.reason, "not asked")
    return _failed(previous, conditions, sync, refusal.reason, refusal.message)


def is_lasting(status: DigitalTwinStatus, sync: Sync) -> bool:
    """Tell whether syncs have failed often and long enough for ``Ready`` to turn False."""
    since = status.failing_since
    often = status.failed_syncs >= FAILED_SYNCS_BEFORE_UNREADY
    return since is not None and often and sync.now - since.timestamp() >= sync.grace_seconds


def render_crashed(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status after a sync that a defect of the operator has ended. What was seen stays for the grace period.

    The generation it speaks of stays, too: this one was not synced.
    """
    ready = find(previous.conditions, ConditionType.READY)
    again = ready is not None and ready.reason == _CRASHED
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    message = "the operator failed on this twin; its log has the reason, please report it"
    conditions.unknown(ConditionType.READY, _CRASHED, message)
    since = ready.last_transition_time.timestamp() if ready is not None and again else sync.now
    return _unseen(previous, conditions, sync, since, _CRASHED)


def render_suspended(previous: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status of a suspended twin: accepted, and not syncing."""
    conditions = Conditions(previous.conditions, now=sync.now, generation=sync.generation)
    conditions.drop(ConditionType.STALLED, ConditionType.RECONCILING)
    message = "spec.suspend is true: nothing is looked at or corrected"
    conditions.yes(ConditionType.READY, "Suspended", message).yes(ConditionType.PAUSED, "Suspended", message)
    for kind in (ConditionType.METRICS_AVAILABLE, ConditionType.PREDICTIONS_AVAILABLE, *_VERDICTS):
        conditions.unknown(kind, "Suspended", "not looked at")
    conditions.no(ConditionType.CORRECTION_BLOCKED, "Suspended", "no correction is considered")
    status = base(previous, sync)
    summary = (status.summary or Summary()).model_copy(update={"drift": "", "replicas": "", "predicted": "suspended"})
    return status.model_copy(
        update={
            **_nothing_known(previous),
            "conditions": conditions.listed(),
            "summary": summary,
            # Whoever suspends a twin starts afresh with it.
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
    status = _counted(base(previous, sync), sync)
    conditions.drop(ConditionType.STALLED).no(ConditionType.PAUSED, "Active", "syncing on schedule")
    if is_lasting(status, sync):
        conditions.drop(ConditionType.RECONCILING)
        conditions.no(ConditionType.READY, reason, f"{message}; {status.failed_syncs} syncs in a row have failed")
    elif conditions.of(ConditionType.READY) is ConditionStatus.TRUE:
        ready = find(previous.conditions, ConditionType.READY)
        conditions.yes(ConditionType.READY, ready.reason if ready else "Synced", f"last sync failed: {message}")
        conditions.drop(ConditionType.RECONCILING)
    elif not _unready_already(previous):
        conditions.unknown(ConditionType.READY, "Progressing", message)
        conditions.yes(ConditionType.RECONCILING, "Progressing", message)
    # What was not seen does not count towards the time in which nothing was needed.
    status = status.model_copy(update={"need_below_since": None})
    began = status.failing_since
    since = began.timestamp() if began is not None and is_lasting(status, sync) else sync.now
    return _unseen(status, conditions, sync, since, reason)


def _counted(status: DigitalTwinStatus, sync: Sync) -> DigitalTwinStatus:
    """Return the status with one more failed sync."""
    since = status.failing_since or utc(sync.now)
    return status.model_copy(update={"failed_syncs": status.failed_syncs + 1, "failing_since": since})


def _unready_already(previous: DigitalTwinStatus) -> bool:
    ready = find(previous.conditions, ConditionType.READY)
    return ready is not None and ready.status is ConditionStatus.FALSE and previous.failed_syncs > 0


def _failing(status: DigitalTwinStatus) -> list[datetime]:
    return [] if status.failing_since is None else [status.failing_since]


def _unseen(
    status: DigitalTwinStatus, conditions: Conditions, sync: Sync, since: float, reason: str
) -> DigitalTwinStatus:
    """Return the status of a twin of which nothing has been seen since a time: first marked, later emptied.

    Args:
        status: what is left of the one before.
        conditions: in the making.
        sync: this one.
        since: Unix seconds from when on nothing was seen.
        reason: why, in a word.
    """
    if sync.now - since < sync.grace_seconds:
        for kind in _VERDICTS:
            _mark(conditions, find(status.conditions, kind), since)
        return status.model_copy(update={"conditions": conditions.listed()})
    for kind in (*_VERDICTS, ConditionType.CORRECTION_BLOCKED):
        conditions.unknown(kind, reason, f"nothing has been seen since {utc(since):%Y-%m-%d %H:%M:%S} UTC")
    conditions.no(ConditionType.PREDICTIONS_AVAILABLE, reason, "nothing is foreseen from a last value")
    if conditions.of(ConditionType.METRICS_AVAILABLE) is ConditionStatus.TRUE:
        conditions.unknown(ConditionType.METRICS_AVAILABLE, reason, "not asked")
    return status.model_copy(
        update={
            **_nothing_known(status),
            "conditions": conditions.listed(),
            "observed": _not_asked(status.observed, since, reason),
        }
    )


def _mark(conditions: Conditions, told: Condition | None, since: float) -> None:
    """Say of a verdict that nothing new stands behind it."""
    if told is None or told.status is ConditionStatus.UNKNOWN or told.message.startswith(_LAST_SEEN):
        return
    message = f"{_LAST_SEEN}{utc(since):%H:%M:%S} UTC: {told.message}"
    conditions.tell(ConditionType(told.type), told.status, told.reason, message)


def _nothing_known(status: DigitalTwinStatus) -> dict[str, Any]:
    """Return everything that a status says of a workload, as it is while nothing is known."""
    health, summary = status.health, status.summary or Summary()
    metrics = set() if health is None else {*health.unknown, *(component.metric for component in health.components)}
    columns = {"drift": UNKNOWN, "replicas": UNKNOWN if summary.replicas else "", "predicted": UNKNOWN}
    return {
        "summary": summary.model_copy(update=columns),
        "health_score": None,
        "health": Health(confidence=0.0, unknown=sorted(metrics)[:MAX_METRICS], last_known=remember(health)),
        "predictions": [],
        "forecast_skill": withdrawn_skill(status.forecast_skill),
        "risks": [],
        "drift": Drift(unknown=unknown_of(status.drift)),
        "replicas": None,
        "recommended_replicas": None,
        "need_below_since": None,
        "samples_collected": None,
    }


def _not_asked(metrics: Sequence[ObservedMetric], since: float, reason: str) -> list[ObservedMetric]:
    """Return the answers without the values that stand for now; which query gave them is worth keeping."""
    gone: dict[str, Any] = {"quality": Quality.ERROR, "value": None, "reason": reason, "message": "not asked"}
    return [
        metric.model_copy(update=gone | {"unseen_since": metric.unseen_since or utc(since)})
        if metric.quality in (Quality.GOOD, Quality.HELD, Quality.BOUNDED)
        else metric
        for metric in metrics
    ]
