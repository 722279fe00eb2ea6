"""Writing outcomes down in status."""

from __future__ import annotations

from datetime import UTC, datetime

from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.correction import records
from twinops.core.correction.restore import DEFAULTED
from twinops.core.status.conditions import shorten


def applied(
    status: DigitalTwinStatus, record: CorrectionRecord, original: Original, *, now: float
) -> DigitalTwinStatus:
    """Return the status after a raise was carried out."""
    held = original.model_copy(update={"ours": record.to})
    return status.model_copy(
        update={
            "corrections": records.resolve(status.corrections, record.id, Outcome.APPLIED, now=now),
            "originals": records.with_original(status.originals, held),
            "need_below_since": None,
        }
    )


def given_back(
    status: DigitalTwinStatus, record: CorrectionRecord, original: Original, message: str, *, now: float
) -> DigitalTwinStatus:
    """Return the status after a value was given back, or found to be no longer ours."""
    return status.model_copy(
        update={
            "corrections": records.resolve(status.corrections, record.id, Outcome.APPLIED, now=now, message=message),
            "originals": records.without_original(status.originals, original),
            "need_below_since": None,
        }
    )


def failed(
    status: DigitalTwinStatus,
    record: CorrectionRecord,
    original: Original | None,
    failure: records.Failure,
    *,
    now: float,
) -> DigitalTwinStatus:
    """Return the status after a write was refused. What was never written, and cannot be any more, is not held."""
    update: dict[str, object] = {"corrections": records.fail(status.corrections, record.id, failure, now=now)}
    late = original is not None and records.interrupted(status, original, CorrectionAction.RAISE, now)
    if original is not None and original.ours is None and not late:
        update["originals"] = records.without_original(status.originals, original)
    return status.model_copy(update=update)


def not_released(
    status: DigitalTwinStatus, original: Original, why: str, failure: records.Failure, *, now: float
) -> DigitalTwinStatus:
    """Return the status after giving back outside a sync was refused."""
    record = _of_release(original, why, now)
    tried = status.model_copy(update={"corrections": records.add(status.corrections, record)})
    return failed(tried, tried.corrections[-1], original, failure, now=now)


def released(status: DigitalTwinStatus, original: Original, why: str, message: str, *, now: float) -> DigitalTwinStatus:
    """Return the status after a value was given back outside a sync: on suspend, deletion or uninstall."""
    done = {"outcome": Outcome.APPLIED, "outcome_time": utc(now), "message": shorten(message)}
    record = _of_release(original, why, now).model_copy(update=done)
    return status.model_copy(
        update={
            "corrections": records.add(status.corrections, record),
            "originals": records.without_original(status.originals, original),
            "need_below_since": None,
        }
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
