"""The saved value as an annotation, from which it is recovered when the twin's status is lost.

A status does not survive every backup, nor a twin that is created again; without the saved value a raised one would be
taken for the saved. On an HPA the annotation ``twinops.dev/original`` is applied together with the value. ``/scale``
takes no annotations, so there it is written on the twin. Whoever may edit either object could write anything into the
annotation: it counts only where the field is ours, and only for a value that lies below the present one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from twinops.api import FIELD_MANAGER
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, Original
from twinops.core.correction import records
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.correction.saved_values import find, key_of
from twinops.core.lever import Lever, LeverValue
from twinops.core.state import TwinState

LONGEST: Final = 1024
"""Characters that are parsed at most; those that we write are far shorter."""

_APPLIER: Final = "kubectl-client-side-apply"
_MOST_REPLICAS: Final = 2**31 - 1
"""The fields are int32."""

_LONGEST_MANAGER: Final = 128
"""Characters that the API server allows for the name of a field manager."""


def annotation_text(saved: Original, value: LeverValue, twin: str) -> str:
    """Return the annotation's text for a field that is raised.

    Args:
        saved: the saved value.
        value: what it is raised to.
        twin: name of the twin that raises it, for people who read the annotation.
    """
    known = {
        "twin": twin,
        "value": saved.value,
        "manager": saved.manager,
        "operation": saved.operation,
        "ours": value,
        "min": saved.bounds_min,
        "max": saved.bounds_max,
    }
    return json.dumps({key: each for key, each in known.items() if each not in (None, "")}, separators=(",", ":"))


def annotation_on_twin(state: TwinState, twin: str) -> str:
    """Return the twin's annotation for the raise that is about to be made; empty where the object itself holds it."""
    record = records.pending(state.corrections)
    if record is None or record.action is not CorrectionAction.RAISE or record.to is None:
        return ""
    if key_of(record).kind.holds_annotation:
        return ""
    saved = find(state.saved_values, key_of(record))
    return "" if saved is None else annotation_text(saved, record.to, twin)


def recover(lever: Lever, twin_annotation: str, now: float) -> Original | None:
    """Return the saved value of a field that we raised and that status does not list; None where we did not.

    Args:
        lever: as it is now.
        twin_annotation: the twin's annotation; it may hold anything, as the lever's own.
        now: Unix seconds.
    """
    written = lever.original_annotation if lever.kind.holds_annotation else twin_annotation
    if lever.value is None or not is_ours(lever, lever.value) or lever.applied_value == lever.value:
        return None
    return _from_annotation(lever, written, now) or _from_last_applied(lever, now)


def _from_annotation(lever: Lever, written: str, now: float) -> Original | None:
    known = _read(written)
    value, ours = known.get("value"), known.get("ours")
    if not (value is None or _replicas(value)) or ours is None or not _replicas(ours):
        return None
    if not lever.kind.effective(value) < lever.current <= ours:
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


def _from_last_applied(lever: Lever, now: float) -> Original | None:
    """Return the value of the last client-side apply: a value of ours above it is one that we raised."""
    applied = lever.applied_value
    if applied is None or applied >= lever.current or others_of(lever):
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
