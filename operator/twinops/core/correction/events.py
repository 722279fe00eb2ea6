"""The Events that corrections are worth."""

from __future__ import annotations

from twinops.api.twin.status import (
    CorrectionAction,
    CorrectionRecord,
    Drift,
    Original,
    Outcome,
    Severity,
)
from twinops.core.observation import is_hpa
from twinops.core.state import TwinState
from twinops.core.status.conditions import MAX_MESSAGE, shorten
from twinops.core.status.events import NORMAL, WARNING, Note

REVIEW_NEEDED = "ReviewNeeded"


def reviews(previous: Drift, drift: Drift) -> tuple[Note, ...]:
    """Return what a person should look at: drift that has become lasting and that the twin may not correct."""
    before = {(alert.component, alert.direction) for alert in previous.alerts if alert.persistent}
    return tuple(
        Note(
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


def announced(before: TwinState, after: TwinState) -> tuple[Note, ...]:
    """Return the Event of a decision that was previewed now. Blocked ones speak through their condition."""
    last = after.corrections[-1] if after.corrections else None
    if last is None or last.outcome is not Outcome.PREVIEWED or last in before.corrections:
        return ()
    return (
        Note(NORMAL, "CorrectionPreviewed", f"would set {_what(last)} from {_from(last)} to {last.to}: {last.why}"),
    )


def carried_out(record: CorrectionRecord) -> Note:
    """Return the Event of a decision whose outcome is known."""
    if record.outcome is not Outcome.APPLIED:
        verb = "raise" if record.action is CorrectionAction.RAISE else "give back"
        return Note(WARNING, "CorrectionFailed", shorten(f"could not {verb} {_what(record)}: {record.message}"))
    if record.action is CorrectionAction.RAISE:
        limits = f" (limited by {', '.join(record.limited_by)})" if record.limited_by else ""
        text = f"raised {_what(record)} from {_from(record)} to {record.to}{limits}: {record.why}"
        return Note(NORMAL, "CorrectionApplied", shorten(text))
    text = f"gave back {_what(record)}, {record.from_} to {record.to} ({record.message}): {record.why}"
    return Note(NORMAL, "CorrectionGivenBack", shorten(text))


def for_owner(note: Note, record: CorrectionRecord, twin: str) -> Note:
    """Return the Event for the object that was changed: whoever owns an HPA is told how it can be changed now.

    A raised minReplicas makes the API server refuse every maxReplicas below it, whoever applies it.
    """
    if record.action is not CorrectionAction.RAISE or not is_hpa(record.object):
        return note
    told = (
        f". While this is held the API server refuses maxReplicas below {record.to}: apply minReplicas with it, or "
        f"lower spec.autoCorrection.bounds.maxReplicas of DigitalTwin {twin} likewise, or suspend that twin"
    )
    return Note(note.kind, note.reason, shorten(note.message, MAX_MESSAGE - len(told)) + told)


def taken_up(original: Original) -> Note:
    """Return the Event of a raised value that status knew nothing of."""
    value = "unset" if original.value is None else str(original.value)
    what = f"{original.field} of {original.object.kind}/{original.object.name}"
    owner = f" by {original.manager}" if original.manager else ""
    text = f"{what} is {original.ours} by an earlier correction that this status did not know; it was {value}{owner}"
    return Note(NORMAL, "CorrectionTakenUp", shorten(text))


def _what(record: CorrectionRecord) -> str:
    return f"{record.field} of {record.object.kind}/{record.object.name}"


def _from(record: CorrectionRecord) -> str:
    return "unset" if record.from_ is None else str(record.from_)
