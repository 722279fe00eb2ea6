"""The list of decisions in status: adding to it, setting outcomes, and when to try again after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count

from twinops.api.base import utc
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.core.correction.reasons import FailureReason
from twinops.core.correction.saved_values import key_of
from twinops.core.lever import LeverKey
from twinops.core.state import TwinState
from twinops.core.text import shorten

Records = tuple[CorrectionRecord, ...]

MAX_RECORDS = 10
"""As many as ``status.corrections`` may hold."""

INTERRUPTED = "interrupted before it was carried out"
"""Message of a failed write whose answer was lost, so that it may still arrive; see ``is_interrupted``."""

ARRIVED_LATE = "carried out late: its answer was lost"
"""Message of such a write that has arrived."""

CHANGED = "the object was changed meanwhile; judged anew at the next sync"
"""Message of a write that was not made because its decision did not fit the object any more."""

PENDING_SECONDS = 5.0
"""Seconds after which a sync finds out whether a write without an answer has arrived."""

FACTOR = 3
"""Each pause after a failure is this factor longer than the one before."""

LONGEST_SECONDS = 3600
"""Seconds that no pause after a failure exceeds."""

IN_FLIGHT_SECONDS = 100
"""Seconds for which a write without an answer may still be carried out: a minute in an API server, and what went
before."""

_CARRIED_OUT = frozenset({Outcome.PENDING, Outcome.APPLIED, Outcome.VERIFIED})


def add(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> Records:
    """Append a decision. The oldest that changed nothing goes first when there are too many."""
    kept = [*records, _with_unique_id(records, record)]
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
    key: LeverKey | None = None,
    *,
    previewed: bool = False,
) -> CorrectionRecord | None:
    """Return the newest raise that was carried out and stood, of one field where one is named.

    Args:
        records: oldest first.
        key: the object and field, None for any.
        previewed: whether one that was only previewed counts, too.
    """
    return _last(
        records,
        lambda record: (
            record.action is CorrectionAction.RAISE
            and (record.outcome in _CARRIED_OUT or (previewed and record.outcome is Outcome.PREVIEWED))
            and (key is None or key_of(record) == key)
        ),
    )


def metrics_held_for(state: TwinState) -> frozenset[str]:
    """Return the metrics that the values held now were raised for."""
    return frozenset(
        record.trigger.partition("/")[2] for saved in state.saved_values for record in raises_since(state, saved)
    )


def raises_since(state: TwinState, saved: Original) -> Records:
    """Return the raises of a field that have been carried out since its value was saved, oldest first."""
    return tuple(
        record
        for record in state.corrections
        if record.action is CorrectionAction.RAISE
        and record.outcome in _CARRIED_OUT
        and key_of(record) == key_of(saved)
        and record.time >= saved.time
    )


def is_interrupted(record: CorrectionRecord) -> bool:
    """Tell whether the write failed without an answer, so that it may have been, or may still be, carried out."""
    return record.outcome is Outcome.FAILED and record.message == INTERRUPTED


def unanswered(state: TwinState, saved: Original, action: CorrectionAction) -> Records:
    """Return the decisions about a field whose writes were not answered, oldest first."""
    return tuple(
        record
        for record in state.corrections
        if record.action is action and key_of(record) == key_of(saved) and is_interrupted(record)
    )


def in_flight(state: TwinState, saved: Original, action: CorrectionAction, now: float) -> Records:
    """Return those decisions whose writes were not answered and may still be carried out."""
    found = unanswered(state, saved, action)
    return tuple(record for record in found if now - record.time.timestamp() < IN_FLIGHT_SECONDS)


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """Why the write of a correction was not carried out.

    Attributes:
        reason: for the condition ``CorrectionBlocked``.
        at_once: whether the next sync may try again the first time that this happens.
        lasting: whether the same may be expected again, so that it is tried less and less often.
    """

    message: str
    reason: FailureReason = FailureReason.WRITE_FAILED
    at_once: bool = False
    lasting: bool = True

    def pause(self, attempts: int) -> float:
        """Return the seconds until the next attempt, given how many have failed in a row."""
        first = self.reason.first_pause_seconds
        if not self.lasting:
            return first
        steps = attempts - 1 - self.at_once
        return 0.0 if steps < 0 else min(float(LONGEST_SECONDS), first * float(FACTOR) ** min(steps, 10))


def fail(records: Sequence[CorrectionRecord], record_id: str, failure: WriteFailure, *, now: float) -> Records:
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
        "reason": failure.reason.value,
        "attempts": attempts,
        "retry_time": utc(now + pause) if pause else None,
    }
    # The record of a write that may still be carried out is kept.
    replaces = again is not None and (again.message != INTERRUPTED or failure.message == INTERRUPTED)
    kept = [each for each in records if again is None or not replaces or each.id != again.id]
    return tuple(each.model_copy(update=update) if each.id == record_id else each for each in kept)


def without_pauses(records: Sequence[CorrectionRecord]) -> Records:
    """Return the decisions with no pause after any failure: its cause may be gone."""
    update = {"attempts": 0, "retry_time": None}
    return tuple(each.model_copy(update=update) if each.retry_time else each for each in records)


def waiting_failure(records: Sequence[CorrectionRecord], reference: ObjectRef, now: float) -> CorrectionRecord | None:
    """Return the newest decision about the object while it is too early to try it again, else None."""
    last = last_failure(records, reference)
    if last is None or last.retry_time is None:
        return None
    left = last.retry_time.timestamp() - now
    # A clock that was set back must not stretch the wait.
    return last if 0 < left <= LONGEST_SECONDS else None


def last_failure(records: Sequence[CorrectionRecord], reference: ObjectRef | None) -> CorrectionRecord | None:
    """Return the newest decision about the object whose outcome is known, where that is a failure, else None."""
    undecided = (Outcome.BLOCKED, Outcome.PENDING)
    last = _last(records, lambda record: record.object == reference and record.outcome not in undecided)
    return last if last is not None and last.outcome is Outcome.FAILED else None


def retry_pause(records: Sequence[CorrectionRecord]) -> float | None:
    """Return the seconds between the last decision's failure and its next attempt, None where it has none."""
    last = records[-1] if records else None
    if last is None or last.retry_time is None:
        return None
    return (last.retry_time - (last.outcome_time or last.time)).total_seconds()


def next_check(records: Sequence[CorrectionRecord]) -> float | None:
    """Return after how many seconds to sync again because of the last decision, None when its outcome is final."""
    if pending(records) is not None:
        return PENDING_SECONDS
    last = records[-1] if records else None
    if last is None or last.outcome is not Outcome.FAILED:
        return None
    known = retry_pause(records)
    return FailureReason.WRITE_FAILED.first_pause_seconds if known is None else known


def _same_write(one: CorrectionRecord, other: CorrectionRecord) -> bool:
    """Tell whether both would write the same field in the same direction, and something was tried."""
    same_field = key_of(one) == key_of(other)
    return one.outcome is not Outcome.BLOCKED and same_field and one.action is other.action


def _with_unique_id(records: Sequence[CorrectionRecord], record: CorrectionRecord) -> CorrectionRecord:
    """Return the decision with a unique id: the same may be decided twice within a second."""
    taken = {each.id for each in records}
    names = chain([record.id], (f"{record.id}-{number}" for number in count(2)))
    return record.model_copy(update={"id": next(name for name in names if name not in taken)})


def _last(records: Sequence[CorrectionRecord], fits: Callable[[CorrectionRecord], bool]) -> CorrectionRecord | None:
    return next((record for record in reversed(records) if fits(record)), None)
