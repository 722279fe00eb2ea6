"""The Events about corrections: on the twin, on the object that was changed, and on the workload."""

from __future__ import annotations

from dataclasses import replace

from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.drift import Drift, Severity
from twinops.core.correction.saved_values import key_of
from twinops.core.events import NORMAL, TWIN, WARNING, Event, InvolvedObject, about_lever
from twinops.core.lever import Lever
from twinops.core.state import TwinState
from twinops.core.text import MAX_MESSAGE, shorten

REVIEW_NEEDED = "ReviewNeeded"


def review_events(previous: Drift, drift: Drift) -> tuple[Event, ...]:
    """Return the Events for a person to review: drift that has become persistent and that the twin may not correct."""
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


def preview_events(before: TwinState, after: TwinState) -> tuple[Event, ...]:
    """Return the Event of a decision that was previewed now. A blocked one has its condition instead."""
    last = after.corrections[-1] if after.corrections else None
    if last is None or last.outcome is not Outcome.PREVIEWED or last in before.corrections:
        return ()
    return (
        Event(
            TWIN,
            NORMAL,
            "CorrectionPreviewed",
            f"would set {key_of(last).words} from {_from(last)} to {last.to}: {last.why}",
        ),
    )


def outcome_events(
    record: CorrectionRecord, lever: Lever, target: InvolvedObject | None, twin: str
) -> tuple[Event, ...]:
    """Return the Events of a decision whose outcome is known: on the twin, and of a change on what was changed, too.

    Args:
        record: the decision.
        lever: what was written to.
        target: the workload, where it is not the object that was changed; None where it gets no Event.
        twin: the twin's name, for the owner of what was changed.
    """
    if record.outcome is Outcome.FAILED and (record.attempts or 1) > 1:
        # The condition goes on showing it.
        return ()
    event = _outcome(record)
    if record.outcome is not Outcome.APPLIED:
        return (event,)
    events = (event, replace(event, about=about_lever(lever), message=_for_owner(event.message, record, twin)))
    on_target = target is not None and not lever.kind.of_target
    return (*events, replace(event, about=target)) if on_target and target is not None else events


def _outcome(record: CorrectionRecord) -> Event:
    if record.outcome is not Outcome.APPLIED:
        verb = "raise" if record.action is CorrectionAction.RAISE else "give back"
        message = f"could not {verb} {key_of(record).words}: {record.message}"
        return Event(TWIN, WARNING, "CorrectionFailed", shorten(message))
    if record.action is CorrectionAction.RAISE:
        limits = f" (limited by {', '.join(record.limited_by)})" if record.limited_by else ""
        message = f"raised {key_of(record).words} from {_from(record)} to {record.to}{limits}: {record.why}"
        return Event(TWIN, NORMAL, "CorrectionApplied", shorten(message))
    message = f"gave back {key_of(record).words}, {record.from_} to {record.to} ({record.message}): {record.why}"
    return Event(TWIN, NORMAL, "CorrectionGivenBack", shorten(message))


def _for_owner(message: str, record: CorrectionRecord, twin: str) -> str:
    """Return the message for the object that was changed, with what its owner can do while the value is held."""
    advice = key_of(record).kind.owner_advice.format(value=record.to, twin=twin)
    if record.action is not CorrectionAction.RAISE or not advice:
        return message
    return shorten(message, MAX_MESSAGE - len(advice)) + advice


def recovered_event(saved: Original) -> Event:
    """Return the Event of a saved value that status had lost."""
    value = "unset" if saved.value is None else str(saved.value)
    owner = f" by {saved.manager}" if saved.manager else ""
    text = (
        f"{key_of(saved).words} is {saved.ours} "
        f"by an earlier correction that this status did not know; it was {value}{owner}"
    )
    return Event(TWIN, NORMAL, "CorrectionTakenUp", shorten(text))


def _from(record: CorrectionRecord) -> str:
    return "unset" if record.from_ is None else str(record.from_)
