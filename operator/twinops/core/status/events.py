"""The Events that follow from a change of status: one per transition.

An Event that something has begun needs a status in which it has begun. An Event that something is over needs
more: what is no longer looked at, or not seen at present, does not count as over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinops.api.conditions import Condition, ConditionStatus, ConditionType, find, is_true
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.events import NORMAL, TWIN, WARNING, Event

_RESOLVED = "DriftResolved"
_PAUSED = ConditionType.PAUSED


@dataclass(frozen=True, slots=True)
class _Transition:
    """Type and reason of the Event that a change of a condition gives, None where it gives none."""

    when_true: tuple[str, str] | None
    when_false: tuple[str, str] | None


_TRANSITIONS = {
    ConditionType.DRIFTED: _Transition((WARNING, "DriftDetected"), (NORMAL, _RESOLVED)),
    ConditionType.HEALTHY: _Transition((NORMAL, "Healthy"), (WARNING, "Unhealthy")),
    ConditionType.METRICS_AVAILABLE: _Transition((NORMAL, "MetricsAvailable"), (WARNING, "MetricsUnavailable")),
    ConditionType.PREDICTIONS_AVAILABLE: _Transition((NORMAL, "PredictionsAvailable"), None),
    ConditionType.PAUSED: _Transition((NORMAL, "Suspended"), (NORMAL, "Resumed")),
}


def transitions(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> tuple[Event, ...]:
    """Return the Events that the step from ``previous`` to ``new`` is worth."""
    events = [event for kind, rule in _TRANSITIONS.items() if (event := _of_condition(kind, rule, previous, new))]
    events = [event for event in events if event.reason != _RESOLVED or _seen_to_end(previous, new)]
    events += _of_regained(previous, new)
    events += _of_blocking(previous, new)
    events += _of_stalling(previous, new)
    events += _of_risks(previous, new)
    return tuple(events)


def _of_condition(
    kind: ConditionType, rule: _Transition, previous: DigitalTwinStatus, new: DigitalTwinStatus
) -> Event | None:
    before, after = find(previous.conditions, kind), find(new.conditions, kind)
    if after is None or (before is not None and before.status is after.status):
        return None
    if after.status is ConditionStatus.TRUE:
        found = rule.when_true
    elif after.status is ConditionStatus.FALSE and before is not None and before.status is ConditionStatus.TRUE:
        found = rule.when_false
    elif after.status is ConditionStatus.FALSE and kind is ConditionType.HEALTHY:
        # A workload that is sick when first looked at is worth an Event, too.
        found = rule.when_false
    else:
        found = None
    if found is None:
        return None
    event_type, reason = found
    return Event(TWIN, event_type, reason, after.message or reason)


def _of_blocking(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    after = find(new.conditions, ConditionType.CORRECTION_BLOCKED)
    if after is None or after.status is not ConditionStatus.TRUE:
        return []
    before = find(previous.conditions, ConditionType.CORRECTION_BLOCKED)
    if before is not None and before.status is ConditionStatus.TRUE and before.reason == after.reason:
        return []
    return [Event(TWIN, WARNING, "CorrectionBlocked", f"{after.reason}: {after.message}")]


def _of_stalling(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    before, after = _stalled(previous), _stalled(new)
    if after is not None and (before is None or before.reason != after.reason):
        return [Event(TWIN, WARNING, after.reason, after.message)]
    ready = find(new.conditions, ConditionType.READY)
    # Suspended, or with a backend that does not answer, nobody has seen what was in the way go.
    working = ready is None or (ready.status is ConditionStatus.TRUE and not is_true(new.conditions, _PAUSED))
    if before is not None and after is None and working:
        return [Event(TWIN, NORMAL, "Recovered", f"no longer stalled ({before.reason})")]
    return []


def _stalled(status: DigitalTwinStatus) -> Condition | None:
    found = find(status.conditions, ConditionType.STALLED)
    return found if found is not None and found.status is ConditionStatus.TRUE else None


def _of_risks(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    """Return the Events of one incident per twin: it begins with the first lasting risk and ends with the last."""
    before = [risk for risk in previous.risks if risk.persistent]
    after = sorted(
        (risk for risk in new.risks if risk.persistent), key=lambda risk: (-risk.probability, risk.horizon_seconds)
    )
    if after and not before:
        return [Event(TWIN, WARNING, "RiskPredicted", "; ".join(risk.message for risk in after))]
    if before and not after and all(_seen_to_pass(risk.metric, previous, new) for risk in before):
        return [Event(TWIN, NORMAL, "RiskPassed", f"the predicted risk has passed ({_names(before)})")]
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


def _of_regained(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    """Return the Event of drift that went out of sight and is seen to be over now."""
    after = find(new.conditions, ConditionType.DRIFTED)
    if after is None or after.status is not ConditionStatus.FALSE or not previous.drift.unknown:
        return []
    outside = {alert.component for alert in new.drift.alerts}
    over = [component for component in previous.drift.unknown if component not in outside]
    return [Event(TWIN, NORMAL, _RESOLVED, f"as expected again: {', '.join(over)}")] if over else []


def _names(risks: Sequence[Risk]) -> str:
    return ", ".join(sorted(risk.metric for risk in risks))
