"""A decision in the twin's state: its record in the list of corrections, and the value that a raise will replace."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.core.correction import ownership, records, saved_values
from twinops.core.correction.decide import Decision, DecisionResult
from twinops.core.correction.reasons import FailureReason
from twinops.core.lever import Lever
from twinops.core.state import TwinState
from twinops.core.text import shorten


def record_decision(state: TwinState, result: DecisionResult, lever: Lever | None, now: float) -> TwinState:
    """Return the state with the decision in it: its record, and the value that a raise replaces.

    A decision that changes nothing is recorded once: not again while it stays the same.

    Args:
        state: the one before, earlier decisions settled.
        result: what was decided.
        lever: what a raise would write to.
        now: Unix seconds.
    """
    decision = result.decision
    corrections, saved = state.corrections, state.saved_values
    record = _record(decision, now)
    if record is not None and not _repeats(state, record):
        corrections = records.add(corrections, record)
    if lever is not None and decision.writes and decision.action is CorrectionAction.RAISE:
        saved = _with_lever_saved(state, lever, now)
    return dataclasses.replace(
        state,
        corrections=corrections,
        saved_values=saved,
        recommended_replicas=result.recommended,
        need_below_since=None if result.below_since is None else utc(result.below_since),
        replica_steps=result.steps,
        start_up=result.start_up,
    )


def _record(decision: Decision, now: float) -> CorrectionRecord | None:
    """Return the record of a decision, None when it is not worth one."""
    driven_but_blocked = decision.action is None and decision.blocked and decision.trigger
    if decision.lever is None or (decision.action is None and not driven_but_blocked):
        return None
    action = decision.action or CorrectionAction.RAISE
    if decision.action is None:
        outcome, message = Outcome.BLOCKED, f"{decision.reason}: {decision.message}"
    else:
        outcome, message = (Outcome.PENDING if decision.writes else Outcome.PREVIEWED), ""
    moment = datetime.fromtimestamp(now, UTC)
    return CorrectionRecord(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{action.value}-{decision.current}-{decision.to}",
        time=utc(now),
        action=action,
        mode=decision.mode,
        object=decision.lever.object,
        field=decision.lever.field,
        from_=decision.current,
        to=decision.to,
        trigger=decision.trigger,
        why=shorten(decision.why),
        limited_by=list(decision.limited_by),
        outcome=outcome,
        outcome_time=utc(now) if outcome is not Outcome.PENDING else None,
        message=shorten(message),
    )


def _repeats(state: TwinState, record: CorrectionRecord) -> bool:
    """Tell whether the newest record is the same already. Only a decision that changes nothing can repeat."""
    last = state.corrections[-1] if state.corrections else None
    if last is None or last.object != record.object:
        return False
    if last.outcome is Outcome.FAILED and record.outcome is Outcome.BLOCKED:
        # The failed record already gives the reason.
        return _block_reason(record) == (last.reason or FailureReason.WRITE_FAILED)
    if last.outcome is not record.outcome:
        return False
    if record.outcome is Outcome.BLOCKED:
        return _block_reason(last) == _block_reason(record)
    return record.outcome is Outcome.PREVIEWED and (last.from_, last.to) == (record.from_, record.to)


def _block_reason(record: CorrectionRecord) -> str:
    """Return the reason of a blocked decision, with which its message begins."""
    return record.message.partition(":")[0]


def _with_lever_saved(state: TwinState, lever: Lever, now: float) -> tuple[Original, ...]:
    """Return the saved values with the lever's among them; the value before the first raise stays saved."""
    known = saved_values.find(state.saved_values, lever.key)
    if known is not None and known.ours is not None:
        return state.saved_values
    others = ownership.others_of(lever)
    former = next((owner for owner in others if owner.operation == "Apply"), others[0] if others else None)
    new = Original(
        object=lever.object,
        field=lever.field,
        value=lever.value,
        manager=former.manager if former else "",
        operation=former.operation if former else "",
        declared=lever.declared,
        time=utc(now),
        bounds_min=lever.minimum,
        bounds_max=lever.maximum,
    )
    return saved_values.with_saved(state.saved_values, new)
