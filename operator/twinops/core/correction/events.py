"""The Events about corrections: on the twin, on the object that was changed, and on the workload."""

from __future__ import annotations

from dataclasses import replace

from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.drift import Drift, Severity
from twinops.core.events import NORMAL, TWIN, WARNING, Event, InvolvedObject, about_lever
from twinops.core.observation import Lever, is_hpa
from twinops.core.state import TwinState
from twinops.core.text import MAX_MESSAGE, shorten

REVIEW_NEEDED = "ReviewNeeded"


def reviews(previous: Drift, drift: Drift) -> tuple[Event, ...]:
    """Return what a person should look at: drift that has become lasting and that the twin may not correct."""
    before = {(alert.component, alert.direction) for alert in previous.alerts if alert.persistent}
    return tuple(
        Event(
            TWIN,
            NORMAL if alert.severity is Severity.LOW else WARNING,
            REVIEW_NEEDED,
            shorten(
                f"{alert.component} is {alert.actual}, expected {alert.expected}; "
                f"not corrected: {alert.not_eligible_reason}. {alert.recommendation}".rstrip()
            ),
        )
        for alert in drift.alerts
        if alert.persistent and not alert.eligible and (alert.component, alert.direction) not in before
    )


def announced(before: TwinState, after: TwinState) -> tuple[Event, ...]:
    """Return the Event of a decision that was previewed now. Blocked ones speak through their condition."""
    last = after.corrections[-1] if after.corrections else None
    if last is None or last.outcome is not Outcome.PREVIEWED or last in before.corrections:
        return ()
    return (
        Event(
            TWIN, NORMAL, "CorrectionPreviewed", f"would set {_what(last)} from {_from(last)} to {last.to}: {last.why}"
        ),
    )


def carried_out(record: CorrectionRecord, lever: Lever, target: InvolvedObject | None, twin: str) -> tuple[Event, ...]:
    """Return the Events of a decision whose outcome is known: on the twin, and of a change on what was changed, too.

    Args:
        record: the decision.
        lever: what was written to.
        target: the workload, which an HPA is not; None where it has no Event of its own.
        twin: the twin's name, for the owner of what was changed.
    """
    if record.outcome is Outcome.FAILED and (record.attempts or 1) > 1:
        # The condition goes on saying it.
        return ()
    event = _outcome(record)
    if record.outcome is not Outcome.APPLIED:
        return (event,)
    events = (event, replace(event, about=about_lever(lever), message=_for_owner(event.message, record, twin)))
    return (*events, replace(event, about=target)) if target is not None and lever.is_hpa else events


def _outcome(record: CorrectionRecord) -> Event:
    if record.outcome is not Outcome.APPLIED:
        verb = "raise" if record.action is CorrectionAction.RAISE else "give back"
        message = f"could not {verb} {_what(record)}: {record.message}"
        return Event(TWIN, WARNING, "CorrectionFailed", shorten(message))
    if record.action is CorrectionAction.RAISE:
        limits = f" (limited by {', '.join(record.limited_by)})" if record.limited_by else ""
        message = f"raised {_what(record)} from {_from(record)} to {record.to}{limits}: {record.why}"
        return Event(TWIN, NORMAL, "CorrectionApplied", shorten(message))
    message = f"gave back {_what(record)}, {record.from_} to {record.to} ({record.message}): {record.why}"
    return Event(TWIN, NORMAL, "CorrectionGivenBack", shorten(message))


def _for_owner(message: str, record: CorrectionRecord, twin: str) -> str:
    """Return the message for the object that was changed, with how the owner of an HPA can change it meanwhile.

    A raised minReplicas makes the API server refuse every maxReplicas below it, whoever applies it.
    """
    if record.action is not CorrectionAction.RAISE or not is_hpa(record.object):
        return message
    advice = (
        f". While this is held the API server refuses maxReplicas below {record.to}: apply minReplicas with it, or "
        f"lower spec.autoCorrection.bounds.maxReplicas of DigitalTwin {twin} likewise, or suspend that twin"
    )
    return shorten(message, MAX_MESSAGE - len(advice)) + advice


def taken_up(original: Original) -> Event:
    """Return the Event of a raised value that status knew nothing of."""
    value = "unset" if original.value is None else str(original.value)
    what = f"{original.field} of {original.object.kind}/{original.object.name}"
    owner = f" by {original.manager}" if original.manager else ""
    text = f"{what} is {original.ours} by an earlier correction that this status did not know; it was {value}{owner}"
    return Event(TWIN, NORMAL, "CorrectionTakenUp", shorten(text))


def _what(record: CorrectionRecord) -> str:
    return f"{record.field} of {record.object.kind}/{record.object.name}"


def _from(record: CorrectionRecord) -> str:
    return "unset" if record.from_ is None else str(record.from_)
