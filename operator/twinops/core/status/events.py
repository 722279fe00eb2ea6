"""The Events that follow from a change of status: one per transition.

That something has begun follows from the new status alone. That something is over needs more: it must be observed to
be over, which it is not while the twin is suspended, has no fresh values, or is not asked to watch for it any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinops.api.conditions import Condition, ConditionStatus, ConditionType, find, is_true
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.drift import counts_as_drift
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
    """Return the Events of the change from ``previous`` to ``new``."""
    events = [event for kind, rule in _TRANSITIONS.items() if (event := _of_condition(kind, rule, previous, new))]
    events = [event for event in events if event.reason != _RESOLVED or _drift_is_over(previous, new)]
    events += _of_components_available_again(previous, new)
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
        # A workload that is unhealthy at its first sync gives an Event, too.
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
    # While the twin is suspended, or the backend does not answer, nothing shows that the cause is gone.
    working = ready is None or (ready.status is ConditionStatus.TRUE and not is_true(new.conditions, _PAUSED))
    if before is not None and after is None and working:
        return [Event(TWIN, NORMAL, "Recovered", f"no longer stalled ({before.reason})")]
    return []


def _stalled(status: DigitalTwinStatus) -> Condition | None:
    found = find(status.conditions, ConditionType.STALLED)
    return found if found is not None and found.status is ConditionStatus.TRUE else None


def _of_risks(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    """Return the Events of one incident per twin, from its first persistent risk to its last."""
    before = [risk for risk in previous.risks if risk.persistent]
    after = sorted(
        (risk for risk in new.risks if risk.persistent), key=lambda risk: (-risk.probability, risk.horizon_seconds)
    )
    if after and not before:
        return [Event(TWIN, WARNING, "RiskPredicted", "; ".join(risk.message for risk in after))]
    if before and not after and all(_risk_is_over(risk.metric, previous, new) for risk in before):
        return [Event(TWIN, NORMAL, "RiskPassed", f"the predicted risk has passed ({_names(before)})")]
    return []


def _risk_is_over(metric: str, previous: DigitalTwinStatus, new: DigitalTwinStatus) -> bool:
    """Tell whether a risk that is no longer persistent has been observed to be over."""
    if is_true(new.conditions, _PAUSED) or _stalled(new) is not None:
        return False
    if new.observed_generation != previous.observed_generation:
        # The limit may have been changed or removed.
        return False
    answering = find(new.conditions, ConditionType.METRICS_AVAILABLE)
    if answering is not None and answering.status is not ConditionStatus.TRUE:
        return False
    if any(one.name == metric and one.quality is not Quality.GOOD for one in new.observed):
        return False
    # After a gap in the data the window starts anew, while the risk may be as likely as before.
    return not any(risk.metric == metric and risk.recent.endswith("1") for risk in new.risks)


def _drift_is_over(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> bool:
    """Tell whether no component that had drifted is still outside, with a window that has started anew."""
    drifted = {alert.component for alert in previous.drift.alerts if counts_as_drift(alert)}
    return not any(alert.component in drifted and alert.recent.endswith("1") for alert in new.drift.alerts)


def _of_components_available_again(previous: DigitalTwinStatus, new: DigitalTwinStatus) -> list[Event]:
    """Return the Event that drift of components without fresh values is over, now that they have values again."""
    after = find(new.conditions, ConditionType.DRIFTED)
    if after is None or after.status is not ConditionStatus.FALSE or not previous.drift.unknown:
        return []
    outside = {alert.component for alert in new.drift.alerts}
    over = [component for component in previous.drift.unknown if component not in outside]
    return [Event(TWIN, NORMAL, _RESOLVED, f"as expected again: {', '.join(over)}")] if over else []


def _names(risks: Sequence[Risk]) -> str:
    return ", ".join(sorted(risk.metric for risk in risks))
