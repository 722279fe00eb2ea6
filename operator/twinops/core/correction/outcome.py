"""The twin's state after a correction was carried out, or failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.core.correction import records, saved_values
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.saved_values import value_to_restore
from twinops.core.state import TwinState
from twinops.core.text import shorten


def raised(state: TwinState, record: CorrectionRecord, saved: Original, *, now: float) -> TwinState:
    """Return the state after a raise was carried out."""
    held = saved.model_copy(update={"ours": record.to})
    return replace(
        state,
        corrections=records.resolve(state.corrections, record.id, Outcome.APPLIED, now=now),
        saved_values=saved_values.with_saved(state.saved_values, held),
        need_below_since=None,
    )


def restored(state: TwinState, record: CorrectionRecord, saved: Original, message: str, *, now: float) -> TwinState:
    """Return the state after a value was restored, or found to be no longer ours."""
    return replace(
        state,
        corrections=records.resolve(state.corrections, record.id, Outcome.APPLIED, now=now, message=message),
        saved_values=saved_values.without_saved(state.saved_values, saved),
        need_below_since=None,
    )


def write_failed(
    state: TwinState, record: CorrectionRecord, saved: Original | None, failure: records.WriteFailure, *, now: float
) -> TwinState:
    """Return the state after a write failed. A saved value whose raise was not, and cannot be, written is dropped."""
    in_flight = saved is not None and records.in_flight(state, saved, CorrectionAction.RAISE, now)
    state = replace(state, corrections=records.fail(state.corrections, record.id, failure, now=now))
    if saved is not None and saved.ours is None and not in_flight:
        return replace(state, saved_values=saved_values.without_saved(state.saved_values, saved))
    return state


def restore_failed(
    state: TwinState, saved: Original, trigger: RestoreTrigger, failure: records.WriteFailure, *, now: float
) -> TwinState:
    """Return the state after a restore outside a sync failed."""
    tried = replace(state, corrections=records.add(state.corrections, _record(saved, trigger, now)))
    return write_failed(tried, tried.corrections[-1], saved, failure, now=now)


def restored_outside_sync(
    state: TwinState, saved: Original, trigger: RestoreTrigger, message: str, *, now: float
) -> TwinState:
    """Return the state after a value was restored outside a sync: on suspend, deletion or uninstall."""
    done = {"outcome": Outcome.APPLIED, "outcome_time": utc(now), "message": shorten(message)}
    record = _record(saved, trigger, now).model_copy(update=done)
    return replace(
        state,
        corrections=records.add(state.corrections, record),
        saved_values=saved_values.without_saved(state.saved_values, saved),
        need_below_since=None,
    )


def _record(saved: Original, trigger: RestoreTrigger, now: float) -> CorrectionRecord:
    value = value_to_restore(saved)
    moment = datetime.fromtimestamp(now, UTC)
    return CorrectionRecord(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{CorrectionAction.GIVE_BACK.value}-{saved.ours}-{value}",
        time=utc(now),
        action=CorrectionAction.GIVE_BACK,
        mode=CorrectionMode.APPLY,
        object=saved.object,
        field=saved.field,
        from_=saved.ours,
        to=value,
        trigger=trigger.value,
        why=f"the twin is {trigger.lower()}",
        outcome=Outcome.PENDING,
    )
