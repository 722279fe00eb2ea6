"""The list of decisions in status, and the values held."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinops.api.base import utc
from twinops.api.status import CorrectionAction, CorrectionRecord, DigitalTwinStatus, ObjectRef, Original, Outcome
from twinops.core.conditions import shorten

MAX_RECORDS = 10
INTERRUPTED = "interrupted before it was carried out"
CHANGED = "the object was changed meanwhile; judged anew at the next sync"
RETRY_SECONDS = 60
"""A refused write is tried again after this time."""

_CARRIED_OUT = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED})


def add(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> list[CorrectionRecord]:
    """Append a decision. The oldest that changed nothing goes first when there are too many."""
    kept = [*records, record]
    while len(kept) > MAX_RECORDS:
        idle = (place for place, each in enumerate(kept[:-1]) if each.outcome not in _CARRIED_OUT)
        del kept[next(idle, 0)]
    return kept


def resolve(
    records: Sequence[CorrectionRecord], record_id: str, outcome: Outcome, *, now: float, message: str = ""
) -> list[CorrectionRecord]:
    """Return the decisions with the outcome of one of them set."""
    update = {"outcome": outcome, "outcome_time": utc(now), "message": shorten(message)}
    return [each.model_copy(update=update) if each.id == record_id else each for each in records]


def pending(status: DigitalTwinStatus) -> CorrectionRecord | None:
    """Return the decision whose outcome is not known yet; there is at most one."""
    return _last(status.corrections, lambda record: record.outcome is Outcome.PENDING)


def last_raise(
    records: Sequence[CorrectionRecord], reference: ObjectRef | None = None, field: str = ""
) -> CorrectionRecord | None:
    """Return the newest raise that was carried out and stood, of one field where one is named."""
    return _last(
        records,
        lambda record: (
            record.action is CorrectionAction.RAISE
            and record.outcome in _CARRIED_OUT
            and (reference is None or (record.object == reference and record.field == field))
        ),
    )


def failing(records: Sequence[CorrectionRecord], reference: ObjectRef, now: float) -> str:
    """Return the error of the newest decision about the object while it is too early to try again, else empty."""
    last = _last(records, lambda record: record.object == reference and record.outcome is not Outcome.BLOCKED)
    if last is None or last.outcome is not Outcome.FAILED or last.message in (INTERRUPTED, CHANGED):
        return ""
    age = now - (last.outcome_time or last.time).timestamp()
    return last.message if 0 <= age < RETRY_SECONDS else ""


def with_original(originals: Sequence[Original], new: Original) -> list[Original]:
    """Return the values held with this one added, or in place of the one of the same field."""
    return [*without_original(originals, new), new]


def without_original(originals: Sequence[Original], gone: Original) -> list[Original]:
    """Return the values held without the one of this field."""
    return [each for each in originals if (each.object, each.field) != (gone.object, gone.field)]


def _last(records: Sequence[CorrectionRecord], fits: Callable[[CorrectionRecord], bool]) -> CorrectionRecord | None:
    return next((record for record in reversed(records) if fits(record)), None)
