"""Writing outcomes of corrections down in the twin's state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.core.correction import records
from twinops.core.correction.restore import DEFAULTED
from twinops.core.state import TwinState
from twinops.core.text import shorten


def applied(state: TwinState, record: CorrectionRecord, original: Original, *, now: float) -> TwinState:
    """Return the state after a raise was carried out."""
    held = original.model_copy(update={"ours": record.to})
    return replace(
        state,
        corrections=records.resolve(state.corrections, record.id, Outcome.APPLIED, now=now),
        originals=records.with_original(state.originals, held),
        need_below_since=None,
    )


def given_back(
    state: TwinState, record: CorrectionRecord, original: Original, message: str, *, now: float
) -> TwinState:
    """Return the state after a value was given back, or found to be no longer ours."""
    return replace(
        state,
        corrections=records.resolve(state.corrections, record.id, Outcome.APPLIED, now=now, message=message),
        originals=records.without_original(state.originals, original),
        need_below_since=None,
    )


def failed(
    state: TwinState, record: CorrectionRecord, original: Original | None, failure: records.Failure, *, now: float
) -> TwinState:
    """Return the state after a write was refused. What was never written, and cannot be any more, is not held."""
    late = original is not None and records.interrupted(state, original, CorrectionAction.RAISE, now)
    state = replace(state, corrections=records.fail(state.corrections, record.id, failure, now=now))
    if original is not None and original.ours is None and not late:
        return replace(state, originals=records.without_original(state.originals, original))
    return state


def not_released(state: TwinState, original: Original, why: str, failure: records.Failure, *, now: float) -> TwinState:
    """Return the state after giving back outside a sync was refused."""
    tried = replace(state, corrections=records.add(state.corrections, _of_release(original, why, now)))
    return failed(tried, tried.corrections[-1], original, failure, now=now)


def released(state: TwinState, original: Original, why: str, message: str, *, now: float) -> TwinState:
    """Return the state after a value was given back outside a sync: on suspend, deletion or uninstall."""
    done = {"outcome": Outcome.APPLIED, "outcome_time": utc(now), "message": shorten(message)}
    record = _of_release(original, why, now).model_copy(update=done)
    return replace(
        state,
        corrections=records.add(state.corrections, record),
        originals=records.without_original(state.originals, original),
        need_below_since=None,
    )


def _of_release(original: Original, why: str, now: float) -> CorrectionRecord:
    value = DEFAULTED if original.value is None else original.value
    moment = datetime.fromtimestamp(now, UTC)
    return CorrectionRecord(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{CorrectionAction.GIVE_BACK.value}-{original.ours}-{value}",
        time=utc(now),
        action=CorrectionAction.GIVE_BACK,
        mode=CorrectionMode.APPLY,
        object=original.object,
        field=original.field,
        from_=original.ours,
        to=value,
        trigger=why,
        why=f"the twin is {why.lower()}",
        outcome=Outcome.PENDING,
    )
