"""The list of decisions in status, and the values held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count

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
    kept = [*records, _named_apart(records, record)]
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
    records: Sequence[CorrectionRecord],
    reference: ObjectRef | None = None,
    field: str = "",
    *,
    previewed: bool = False,
) -> CorrectionRecord | None:
    """Return the newest raise that was carried out and stood, of one field where one is named.

    Args:
        records: oldest first.
        reference: the object, None for any.
        field: of that object.
        previewed: whether one that was only previewed counts, too.
    """
    return _last(
        records,
        lambda record: (
            record.action is CorrectionAction.RAISE
            and (record.outcome in _CARRIED_OUT or (previewed and record.outcome is Outcome.PREVIEWED))
            and (reference is None or (record.object == reference and record.field == field))
        ),
    )


def held_by(status: DigitalTwinStatus) -> frozenset[str]:
    """Return the metrics that what is held now was raised for."""
    since = {(original.object, original.field): original.time for original in status.originals}
    return frozenset(
        record.trigger.partition("/")[2]
        for record in status.corrections
        if record.action is CorrectionAction.RAISE
        and record.outcome in _CARRIED_OUT
        and (record.object, record.field) in since
        and record.time >= since[record.object, record.field]
    )


def failing(records: Sequence[CorrectionRecord], reference: ObjectRef, now: float) -> str:
    """Return the error of the newest decision about the object while it is too early to try again, else empty."""
    last = _last(records, lambda record: record.object == reference and record.outcome is not Outcome.BLOCKED)
    if last is None or last.outcome is not Outcome.FAILED or last.message in (INTERRUPTED, CHANGED):
        return ""
    age = now - (last.outcome_time or last.time).timestamp()
    return last.message if 0 <= age < RETRY_SECONDS else ""


def _named_apart(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> CorrectionRecord:
    """Return the decision under an id of its own: the same may be decided twice within a second."""
    taken = {each.id for each in records}
    names = chain([record.id], (f"{record.id}-{number}" for number in count(2)))
    return record.model_copy(update={"id": next(name for name in names if name not in taken)})


def with_original(originals: Sequence[Original], new: Original) -> list[Original]:
    """Return the values held with this one added, or in place of the one of the same field."""
    return [*without_original(originals, new), new]


def without_original(originals: Sequence[Original], gone: Original) -> list[Original]:
    """Return the values held without the one of this field."""
    return [each for each in originals if (each.object, each.field) != (gone.object, gone.field)]


def _last(records: Sequence[CorrectionRecord], fits: Callable[[CorrectionRecord], bool]) -> CorrectionRecord | None:
    return next((record for record in reversed(records) if fits(record)), None)
