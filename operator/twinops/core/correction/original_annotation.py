"""The original of a raised field, written beside it, for the day on which the status that holds it is lost.

A status does not survive every backup, nor a twin that is made anew; without its original a raised value would be
taken for one. On an HPA the annotation ``twinops.dev/original`` is applied together with the value. ``/scale`` takes no
annotations, so there it stands on the twin. Whoever may edit either could write anything into it: it is believed
only where the field is ours, and only for a value that lies below the one that stands.
"""

from __future__ import annotations

import json
from typing import Any, Final

from twinops.api import FIELD_MANAGER
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, Original
from twinops.core.correction import records
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.observation import Lever, is_hpa
from twinops.core.state import TwinState

LONGEST: Final = 1024
"""Characters; ours are far shorter."""

_APPLIER: Final = "kubectl-client-side-apply"
_MOST_REPLICAS: Final = 2**31 - 1
_LONGEST_MANAGER: Final = 128
_DEFAULTED: Final = 1


def text(original: Original, value: int, twin: str) -> str:
    """Return what is written beside a field that is raised.

    Args:
        original: what it was before.
        value: what it is raised to.
        twin: name of the twin that raises it, for people who wonder.
    """
    known = {
        "twin": twin,
        "value": original.value,
        "manager": original.manager,
        "operation": original.operation,
        "ours": value,
        "min": original.bounds_min,
        "max": original.bounds_max,
    }
    return json.dumps({key: each for key, each in known.items() if each not in (None, "")}, separators=(",", ":"))


def on_twin(state: TwinState, twin: str) -> str:
    """Return what is written on the twin for the raise that is about to be made; empty where the HPA holds it."""
    record = records.pending(state.corrections)
    if record is None or record.action is not CorrectionAction.RAISE or record.to is None or is_hpa(record.object):
        return ""
    original = next((o for o in state.originals if (o.object, o.field) == (record.object, record.field)), None)
    return "" if original is None else text(original, record.to, twin)


def recovered(lever: Lever, noted_on_twin: str, now: float) -> Original | None:
    """Return the original of a field that we raised and of which status knows nothing; None when it is not such.

    Args:
        lever: as it is now.
        noted_on_twin: the twin's annotation; anything may stand in it, as in the lever's own.
        now: Unix seconds.
    """
    written = lever.witness if lever.is_hpa else noted_on_twin
    if lever.value is None or not is_ours(lever, lever.value) or lever.applied_value == lever.value:
        return None
    return _noted(lever, written, now) or _declared(lever, now)


def _noted(lever: Lever, written: str, now: float) -> Original | None:
    known = _read(written)
    value, ours = known.get("value"), known.get("ours")
    if not (value is None or _replicas(value)) or ours is None or not _replicas(ours):
        return None
    if not (_DEFAULTED if value is None else value) < (lever.value or 0) <= ours:
        return None
    manager, operation = known.get("manager", ""), known.get("operation", "")
    if not _owner(manager, operation):
        return None
    first = {name: known.get(name) for name in ("min", "max")}
    return Original(
        object=lever.object,
        field=lever.field,
        value=value,
        manager=manager,
        operation=operation,
        time=utc(now),
        ours=lever.value,
        bounds_min=first["min"] if _replicas(first["min"]) else None,
        bounds_max=first["max"] if _replicas(first["max"]) else None,
    )


def _declared(lever: Lever, now: float) -> Original | None:
    """Take the manifest's own word: a value of ours above what was applied last is one that we raised."""
    applied = lever.applied_value
    if applied is None or applied >= (lever.value or 0) or others_of(lever):
        return None
    return Original(
        object=lever.object,
        field=lever.field,
        value=applied,
        manager=_APPLIER,
        operation="Update",
        time=utc(now),
        ours=lever.value,
        bounds_min=None if lever.minimum is None else applied,
        bounds_max=lever.maximum,
    )


def _read(written: str) -> dict[str, Any]:
    if not written or len(written) > LONGEST:
        return {}
    try:
        known = json.loads(written)
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _replicas(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_REPLICAS


def _owner(manager: Any, operation: Any) -> bool:
    """Tell whether these can be a former owner, or that there was none."""
    if not isinstance(manager, str) or len(manager) > _LONGEST_MANAGER or not manager.isprintable():
        return False
    return manager != FIELD_MANAGER and (operation in ("Update", "Apply") if manager else operation == "")
