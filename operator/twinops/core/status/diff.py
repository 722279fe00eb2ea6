"""Whether a status says something new: what must reach the API server at once, and what can wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from twinops.api.conditions import Condition
from twinops.api.twin.corrections import CorrectionRecord, Original
from twinops.api.twin.status import DigitalTwinStatus

HEALTH_POINTS = 2
"""A health score that moves by this many points is news."""

PREDICTION_SHARE = 0.05
"""A prediction that moves by this share of its metric's limit, else of its expected value, is news."""

Facts = Callable[[DigitalTwinStatus], Any]


def _condition(condition: Condition) -> tuple[Any, ...]:
    return (condition.status, condition.reason, condition.observed_generation)


def _second(moment: datetime | None) -> int | None:
    """Return a time as it is written: what was computed still has its fraction, what was read has none."""
    return None if moment is None else int(moment.timestamp())


def _correction(record: CorrectionRecord) -> tuple[Any, ...]:
    times = (_second(record.time), _second(record.outcome_time), _second(record.retry_time))
    return (record.id, record.outcome, record.message, record.reason, record.attempts, *times)


def _original(original: Original) -> tuple[Any, ...]:
    return (original.object, original.field, original.value, original.manager, original.operation, original.ours)


def _trusted(status: DigitalTwinStatus) -> dict[str, bool]:
    """Return whether each metric's own forecast is published, of those that are foreseen."""
    foreseen = {metric.name for prediction in status.predictions for metric in prediction.metrics}
    skill = status.forecast_skill
    return {} if skill is None else {one.name: one.trusted for one in skill.metrics if one.name in foreseen}


# Each entry is compared as a whole: everything that decides something, or that a reader decides by. Messages, values
# and times are left out: they change at every sync. One component may have an alert on either side.
_EXACT: Mapping[str, Facts] = {
    "observedGeneration": lambda s: s.observed_generation,
    "lastHandledSyncRequest": lambda s: s.last_handled_sync_request,
    "conditions": lambda s: {c.type: _condition(c) for c in s.conditions},
    "quality": lambda s: {m.name: (m.quality, m.reason, m.unit, m.query) for m in s.observed},
    "health": lambda s: None if s.health is None else (set(s.health.unknown), {m.metric for m in s.health.last_known}),
    "drift": lambda s: (
        s.drift.detected,
        set(s.drift.unknown),
        {
            (a.component, a.direction): (a.severity, a.persistent, a.eligible, a.harmless, a.learned)
            for a in s.drift.alerts
        },
    ),
    "risks": lambda s: {r.metric: (r.persistent, r.calibrated, r.current) for r in s.risks},
    "trusted": _trusted,
    "replicas": lambda s: (s.replicas, s.summary.replicas if s.summary else ""),
    "recommendedReplicas": lambda s: s.recommended_replicas,
    "corrections": lambda s: [_correction(record) for record in s.corrections],
    "originals": lambda s: [_original(original) for original in s.originals],
    # How far the judgement of a step has come, and since when pods start up: both decide later, after a restart, too.
    "replicaSteps": lambda s: {r.metric: (r.generation, r.grown, len(r.effects)) for r in s.replica_steps},
    "startUp": lambda s: None if s.start_up is None else s.start_up.since,
    # Until when nothing is written, and how often that has been so already, must survive a restart.
    "fight": lambda s: s.fight,
    # Both start a clock that decides later; the times themselves must survive a restart.
    "needBelowSince": lambda s: _second(s.need_below_since),
    "failingSince": lambda s: _second(s.failing_since),
}


def material_changes(
    previous: DigitalTwinStatus | None,
    new: DigitalTwinStatus,
    *,
    limits: Mapping[str, float],
    expected: Mapping[str, float],
) -> tuple[str, ...]:
    """Name what changed in a way that a reader must learn at once.

    Compare with the status as last *written*, never as last computed: else slow movements, each too
    small to count, would add up unseen.

    Args:
        previous: the status as last written; None when there is none yet.
        new: the status as it would be written now.
        limits: ``spec.limits``, by metric.
        expected: ``spec.expectedState.metrics``, by metric.

    Returns:
        Names of what changed, for a log line; empty when only a heartbeat is due.
    """
    if previous is None:
        return ("first",)
    changed = [name for name, facts in _EXACT.items() if facts(previous) != facts(new)]
    if _health_moved(previous.health_score, new.health_score):
        changed.append("healthScore")
    if _predictions_moved(previous, new, limits, expected):
        changed.append("predictions")
    return tuple(changed)


def is_material(
    previous: DigitalTwinStatus | None,
    new: DigitalTwinStatus,
    *,
    limits: Mapping[str, float],
    expected: Mapping[str, float],
) -> bool:
    """Tell whether the new status must be written at once. Arguments as for ``material_changes``."""
    return bool(material_changes(previous, new, limits=limits, expected=expected))


def _health_moved(before: int | None, after: int | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= HEALTH_POINTS


def _predictions_moved(
    previous: DigitalTwinStatus,
    new: DigitalTwinStatus,
    limits: Mapping[str, float],
    expected: Mapping[str, float],
) -> bool:
    before, after = _predicted(previous), _predicted(new)
    if before.keys() != after.keys():
        return True
    return any(
        abs(value - before[key]) >= PREDICTION_SHARE * abs(scale)
        for key, value in after.items()
        # Without limit and expected value there is no headline to move; at 0 there is no share of it.
        if (scale := limits.get(key[1]) or expected.get(key[1]))
    )


def _predicted(status: DigitalTwinStatus) -> dict[tuple[int, str], float]:
    return {(p.horizon_seconds, m.name): m.value for p in status.predictions for m in p.metrics}
