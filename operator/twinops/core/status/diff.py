"""Material changes of status: those that must be written at once; all others can wait for the write budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from twinops.api.conditions import Condition
from twinops.api.twin.corrections import CorrectionRecord, Fight, Original
from twinops.api.twin.status import DigitalTwinStatus

HEALTH_POINTS = 2
"""A health score that moves by this many points is a material change."""

PREDICTION_SHARE = 0.05
"""A prediction that moves by this share of its metric's limit, else of its expected value, is a material change."""

Compared = Callable[[DigitalTwinStatus], Any]


def _condition(condition: Condition) -> tuple[Any, ...]:
    return (condition.status, condition.reason, condition.observed_generation)


def _second(moment: datetime | None) -> int | None:
    """Return a time in whole seconds, as it is written: a computed one has a fraction, one that was read has none."""
    return None if moment is None else int(moment.timestamp())


def _fight(fight: Fight) -> tuple[Any, ...]:
    put_back = [_second(time) for time in fight.reversions]
    return (fight.manager, put_back, fight.cycles, _second(fight.until), fight.generation)


def _correction(record: CorrectionRecord) -> tuple[Any, ...]:
    times = (_second(record.time), _second(record.outcome_time), _second(record.retry_time))
    return (record.id, record.outcome, record.message, record.reason, record.attempts, *times)


def _original(original: Original) -> tuple[Any, ...]:
    return (original.object, original.field, original.value, original.manager, original.operation, original.ours)


def _trusted(status: DigitalTwinStatus) -> dict[str, bool]:
    """Return whether each metric's own forecast is published, of those that are foreseen."""
    foreseen = {metric for prediction in status.predictions for metric in prediction.quantiles}
    skill = status.forecast_skill
    return {} if skill is None else {one.name: one.trusted for one in skill.metrics if one.name in foreseen}


# Each entry is compared as a whole. It holds what later decisions depend on, and what a reader acts on. Messages,
# values and times are left out: they change at every sync. One component may have an alert on either side.
_EXACT: Mapping[str, Compared] = {
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
    # The verification of a step, and since when pods start up: later syncs decide by both, also after a restart.
    "replicaSteps": lambda s: {r.metric: (r.generation, r.grown, len(r.effects)) for r in s.replica_steps},
    "startUp": lambda s: None if s.start_up is None else _second(s.start_up.since),
    # Until when nothing is written, and how often that was so before, must survive a restart.
    "fight": lambda s: None if s.fight is None else _fight(s.fight),
    # Later syncs decide by the time that has passed since these, also after a restart.
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
    """Return the names of the material changes.

    The previous status must be the one last *written*, not the one last computed: otherwise many small movements would
    add up without ever being written.

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
    changed = [name for name, of in _EXACT.items() if of(previous) != of(new)]
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
        # Without a limit and an expected value, or at 0, there is nothing to take a share of.
        if (scale := limits.get(key[1]) or expected.get(key[1]))
    )


def _predicted(status: DigitalTwinStatus) -> dict[tuple[int, str], float]:
    return {
        (p.horizon_seconds, name): median for p in status.predictions for name, (_, median, _) in p.quantiles.items()
    }
