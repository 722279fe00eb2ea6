"""Events to post, as data, and the ones that follow from a change of status: one per transition.

That something has begun is told of what was seen to begin, and that something is over only of what was seen to be
over. What is no longer looked at, or no longer seen, has not passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinops.api.conditions import Condition, ConditionStatus, ConditionType, find, is_true
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.status import DigitalTwinStatus

NORMAL = "Normal"
WARNING = "Warning"

_RESOLVED = "DriftResolved"
_PAUSED = ConditionType.PAUSED


@dataclass(frozen=True, slots=True)
class Note:
    """One Event about the twin itself.

    Attributes:
        kind: ``Normal`` or ``Warning``.
        reason: CamelCase.
        message: a sentence.
    """

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Transition:
    """Which Events a condition's changes give. None means that this change is not worth one."""

    when_true: tuple[str, str] | None
    when_false: tuple[str, str] | None


_TRANSITIONS = {
    ConditionType.DRIFTED: _Transition((WARNING, "DriftDetected"), (NORMAL, _RESOLVED)),
    ConditionType.HEALTHY: _Transition((NORMAL, "Healthy"), (WARNING, "Unhealthy")),
    ConditionType.METRICS_AVAILABLE: _Transition((NORMAL, "MetricsAvailable"), (WARNING, "MetricsUnavailable")),
    ConditionType.PREDICTIONS_AVAILABLE: _Transition((NORMAL, "PredictionsAvailable"), None),
    ConditionType.PAUSED: _Transition((NORMAL, "Suspended"), (NORMAL, "Resumed")),
}


def transitions(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> tuple[Note, ...]:
    """Return the Events that the step from ``previous`` to ``new`` is worth."""
    notes = [note for kind, rule in _TRANSITIONS.items() if (note := _of_condition(kind, rule, previous, new))]
    notes = [note for note in notes if note.reason != _RESOLVED or _seen_to_end(previous, new)]
    notes += _of_regained(previous, new)
    notes += _of_blocking(previous, new)
    notes += _of_stalling(previous, new)
    notes += _of_risks(previous, new)
    return tuple(notes)


def _of_condition(
    kind: ConditionType, rule: _Transition, previous: DigitalTwinStatus, new: DigitalTwinStatus
) -> Note | None:
    before, after = find(previous.conditions, kind), find(new.conditions, kind)
    if after is None or (before is not None and before.status is after.status):
        return None
    if after.status is ConditionStatus.TRUE:
        event = rule.when_true
    elif after.status is ConditionStatus.FALSE and before is not None and before.status is ConditionStatus.TRUE:
        event = rule.when_false
    elif after.status is ConditionStatus.FALSE and kind is ConditionType.HEALTHY:
        # A workload that is sick when first looked at is news too.
        event = rule.when_false
    else:
        event = None
    return None if event is None else Note(event[0], event[1], after.message or event[1])


def _of_blocking(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Note]:
    after = find(new.conditions, ConditionType.CORRECTION_BLOCKED)
    if after is None or after.status is not ConditionStatus.TRUE:
        return []
    before = find(previous.conditions, ConditionType.CORRECTION_BLOCKED)
    if before is not None and before.status is ConditionStatus.TRUE and before.reason == after.reason:
        return []
    return [Note(WARNING, "CorrectionBlocked", f"{after.reason}: {after.message}")]


def _of_stalling(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Note]:
    before, after = _stalled(previous), _stalled(new)
    if after is not None and (before is None or before.reason != after.reason):
        return [Note(WARNING, after.reason, after.message)]
    ready = find(new.conditions, ConditionType.READY)
    # Suspended, or with a backend that does not answer, nobody has seen what was in the way go.
    working = ready is None or (ready.status is ConditionStatus.TRUE and not is_true(new.conditions, _PAUSED))
    if before is not None and after is None and working:
        return [Note(NORMAL, "Recovered", f"no longer stalled ({before.reason})")]
    return []


def _stalled(status: DigitalTwinStatus) -> Condition | None:
    found = find(status.conditions, ConditionType.STALLED)
    return found if found is not None and found.status is ConditionStatus.TRUE else None


def _of_risks(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Note]:
    """Return the Events of one incident per twin: it begins with the first lasting risk and ends with the last."""
    before = [risk for risk in previous.risks if risk.persistent]
    after = sorted(
        (risk for risk in new.risks if risk.persistent), key=lambda risk: (-risk.probability, risk.horizon_seconds)
    )
    if after and not before:
        return [Note(WARNING, "RiskPredicted", "; ".join(risk.message for risk in after))]
    if before and not after and all(_seen_to_pass(risk.metric, previous, new) for risk in before):
        return [Note(NORMAL, "RiskPassed", f"the predicted risk has passed ({_names(before)})")]
    return []


def _seen_to_pass(metric: str, previous: DigitalTwinStatus, new: DigitalTwinStatus) -> bool:
    """Tell whether a risk that is no longer persistent is known to be over."""
    if is_true(new.conditions, _PAUSED) or _stalled(new) is not None:
        return False
    if new.observed_generation != previous.observed_generation:
        # Another limit, or none: it may only not be asked for any more.
        return False
    answering = find(new.conditions, ConditionType.METRICS_AVAILABLE)
    if answering is not None and answering.status is not ConditionStatus.TRUE:
        return False
    if any(one.name == metric and one.quality is not Quality.GOOD for one in new.observed):
        return False
    # After a gap in the data its window begins anew, and it is as likely as before.
    return not any(risk.metric == metric and risk.recent.endswith("1") for risk in new.risks)


def _seen_to_end(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> bool:
    """Tell whether drift is known to be over: nothing that lasted is outside still, its window begun anew."""
    lasted = {alert.component for alert in previous.drift.alerts if alert.persistent and not alert.harmless}
    return not any(alert.component in lasted and alert.recent.endswith("1") for alert in new.drift.alerts)


def _of_regained(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Note]:
    """Return the Event of drift that went out of sight and is seen to be over now."""
    after = find(new.conditions, ConditionType.DRIFTED)
    if after is None or after.status is not ConditionStatus.FALSE or not previous.drift.unknown:
        return []
    outside = {alert.component for alert in new.drift.alerts}
    over = [component for component in previous.drift.unknown if component not in outside]
    return [Note(NORMAL, _RESOLVED, f"as expected again: {', '.join(over)}")] if over else []


def _names(risks: Sequence[Risk]) -> str:
    return ", ".join(sorted(risk.metric for risk in risks))
