"""The list of decisions in status, and the values held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count

from twinops.api.base import utc
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.core.state import TwinState
from twinops.core.text import shorten

Records = tuple[CorrectionRecord, ...]

MAX_RECORDS = 10
INTERRUPTED = "interrupted before it was carried out"
LATE = "carried out late: its answer was lost"
CHANGED = "the object was changed meanwhile; judged anew at the next sync"
RETRY_SECONDS = 60
"""A refused write is tried again after this time, and after three times as long each time it is refused again."""

PENDING_SECONDS = 5.0
"""Whether a write without an answer has arrived is found out after this time."""

FORBIDDEN, WRITE_FAILED = "Forbidden", "WriteFailed"
FORBIDDEN_SECONDS = 300
"""A right that is missing is seldom granted within a minute."""

FACTOR = 3
LONGEST_SECONDS = 3600

LATE_SECONDS = 100
"""A write that was given up may still be carried out for so long: a minute in an API server, and what went before."""

_CARRIED_OUT = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED})


def add(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> Records:
    """Append a decision. The oldest that changed nothing goes first when there are too many."""
    kept = [*records, _named_apart(records, record)]
    while len(kept) > MAX_RECORDS:
        idle = (place for place, each in enumerate(kept[:-1]) if each.outcome not in _CARRIED_OUT)
        del kept[next(idle, 0)]
    return tuple(kept)


def resolve(
    records: Sequence[CorrectionRecord], record_id: str, outcome: Outcome, *, now: float, message: str = ""
) -> Records:
    """Return the decisions with the outcome of one of them set."""
    update = {"outcome": outcome, "outcome_time": utc(now), "message": shorten(message)}
    return tuple(each.model_copy(update=update) if each.id == record_id else each for each in records)


def pending(records: Sequence[CorrectionRecord]) -> CorrectionRecord | None:
    """Return the decision whose outcome is not known yet; there is at most one."""
    return _last(records, lambda record: record.outcome is Outcome.PENDING)


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


def held_by(state: TwinState) -> frozenset[str]:
    """Return the metrics that what is held now was raised for."""
    return frozenset(
        record.trigger.partition("/")[2] for original in state.originals for record in held(state, original)
    )


def held(state: TwinState, original: Original) -> Records:
    """Return the raises of a field that have been carried out since its original was written down, oldest first."""
    return tuple(
        record
        for record in state.corrections
        if record.action is CorrectionAction.RAISE
        and record.outcome in _CARRIED_OUT
        and (record.object, record.field) == (original.object, original.field)
        and record.time >= original.time
    )


def given_up(state: TwinState, original: Original, action: CorrectionAction) -> Records:
    """Return the decisions about a field that were given up without an answer, oldest first."""
    return tuple(
        record
        for record in state.corrections
        if record.action is action
        and (record.object, record.field) == (original.object, original.field)
        and (record.outcome, record.message) == (Outcome.FAILED, INTERRUPTED)
    )


def interrupted(state: TwinState, original: Original, action: CorrectionAction, now: float) -> Records:
    """Return those of them that may still arrive."""
    found = given_up(state, original, action)
    return tuple(record for record in found if now - record.time.timestamp() < LATE_SECONDS)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something was not carried out.

    Attributes:
        reason: CamelCase, for the condition ``CorrectionBlocked``.
        at_once: whether the next sync may try again the first time that this happens.
        lasting: whether the same may be expected again, so that it is tried less and less often.
    """

    message: str
    reason: str = WRITE_FAILED
    at_once: bool = False
    lasting: bool = True

    def pause(self, attempts: int) -> float:
        """Return the seconds until the next attempt, after so many that failed in a row."""
        first = FORBIDDEN_SECONDS if self.reason == FORBIDDEN else RETRY_SECONDS
        if not self.lasting:
            return first
        steps = attempts - 1 - self.at_once
        return 0.0 if steps < 0 else min(float(LONGEST_SECONDS), first * float(FACTOR) ** min(steps, 10))


def fail(records: Sequence[CorrectionRecord], record_id: str, failure: Failure, *, now: float) -> Records:
    """Return the decisions with one of them failed. A failure that repeats the last one takes its place."""
    record = next(each for each in records if each.id == record_id)
    before = _last(records, lambda each: each.id != record_id and _same_write(each, record))
    again = before if before is not None and before.outcome is Outcome.FAILED else None
    tried = 0 if again is None else 1 if again.attempts is None else again.attempts
    attempts = tried + 1
    pause = failure.pause(attempts)
    update = {
        "outcome": Outcome.FAILED,
        "outcome_time": utc(now),
        "message": shorten(failure.message),
        "reason": failure.reason,
        "attempts": attempts,
        "retry_time": utc(now + pause) if pause else None,
    }
    # One that may still be carried out late stays known until it cannot be.
    told = again is not None and (again.message != INTERRUPTED or failure.message == INTERRUPTED)
    kept = [each for each in records if again is None or not told or each.id != again.id]
    return tuple(each.model_copy(update=update) if each.id == record_id else each for each in kept)


def anew(records: Sequence[CorrectionRecord]) -> Records:
    """Return the decisions with every failure forgiven: what stood in the way may be gone."""
    update = {"attempts": 0, "retry_time": None}
    return tuple(each.model_copy(update=update) if each.retry_time else each for each in records)


def failing(records: Sequence[CorrectionRecord], reference: ObjectRef, now: float) -> CorrectionRecord | None:
    """Return the newest decision about the object while it is too early to try it again, else None."""
    last = standing_failure(records, reference)
    if last is None or last.retry_time is None:
        return None
    left = last.retry_time.timestamp() - now
    # A clock that was set back must not stretch the wait.
    return last if 0 < left <= LONGEST_SECONDS else None


def standing_failure(records: Sequence[CorrectionRecord], reference: ObjectRef | None) -> CorrectionRecord | None:
    """Return the newest decision about the object whose outcome is known, where that is a failure, else None."""
    undecided = (Outcome.BLOCKED, Outcome.PENDING)
    last = _last(records, lambda record: record.object == reference and record.outcome not in undecided)
    return last if last is not None and last.outcome is Outcome.FAILED else None


def pause(records: Sequence[CorrectionRecord]) -> float | None:
    """Return for how many seconds the last decision is not to be tried again, None where nothing says so."""
    last = records[-1] if records else None
    if last is None or last.retry_time is None:
        return None
    return (last.retry_time - (last.outcome_time or last.time)).total_seconds()


def next_look(records: Sequence[CorrectionRecord]) -> float | None:
    """Return after how many seconds to look again at a correction that is not known to be done, None when it is."""
    if pending(records) is not None:
        return PENDING_SECONDS
    last = records[-1] if records else None
    if last is None or last.outcome is not Outcome.FAILED:
        return None
    known = pause(records)
    return RETRY_SECONDS if known is None else known


def _same_write(one: CorrectionRecord, other: CorrectionRecord) -> bool:
    """Tell whether both would write the same field in the same direction, and something was tried."""
    return one.outcome is not Outcome.BLOCKED and (one.object, one.field, one.action) == (
        other.object,
        other.field,
        other.action,
    )


def _named_apart(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> CorrectionRecord:
    """Return the decision under an id of its own: the same may be decided twice within a second."""
    taken = {each.id for each in records}
    names = chain([record.id], (f"{record.id}-{number}" for number in count(2)))
    return record.model_copy(update={"id": next(name for name in names if name not in taken)})


def with_original(originals: Sequence[Original], new: Original) -> tuple[Original, ...]:
    """Return the values held with this one added, or in place of the one of the same field."""
    return (*without_original(originals, new), new)


def without_original(originals: Sequence[Original], gone: Original) -> tuple[Original, ...]:
    """Return the values held without the one of this field."""
    return tuple(each for each in originals if (each.object, each.field) != (gone.object, gone.field))


def _last(records: Sequence[CorrectionRecord], fits: Callable[[CorrectionRecord], bool]) -> CorrectionRecord | None:
    return next((record for record in reversed(records) if fits(record)), None)
