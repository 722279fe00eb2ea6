"""Reading and editing ``metadata.managedFields`` and the last client-side apply. Pure.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twinops.api import FIELD_MANAGER, ORIGINAL_ANNOTATION
from twinops.core.lever import FieldOwner, LeverValue

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

_WRITE_LAST_APPLIED: Final = frozenset(
    {"kubectl-client-side-apply", "kubectl-create", "argocd-controller", "argocd-application-controller"}
)
"""Managers that write the annotation with each update, so that it shows which fields they declared."""

_ANNOTATION_PATH: Final = ("metadata", "annotations", ORIGINAL_ANNOTATION)
_LONGEST_ANNOTATION: Final = 1025
"""Characters of the annotation that are read; one more than a valid one can have."""

Path = tuple[str, ...]
Entry = dict[str, Any]


def path_of(field: str) -> Path:
    """Return the parts of a dotted field such as ``spec.minReplicas``."""
    return tuple(field.split("."))


def owners(body: Mapping[str, Any], field: str) -> tuple[FieldOwner, ...]:
    """Return the owners of the field, in the order of ``managedFields``."""
    return tuple(
        FieldOwner(entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", ""))
        for entry in _entries(body)
        if _holds(entry, path_of(field))
    )


def applied_value(body: Mapping[str, Any], field: str) -> LeverValue | None:
    """Return the field's value in the last client-side apply, None without one."""
    return _applied(body, path_of(field))[1]


def declared(body: Mapping[str, Any], field: str) -> bool:
    """Whether an owner declared the field.

    A client-side applier also owns fields that the API server defaulted; its annotation shows which it declared.
    False only when every owner besides us applied client-side and left the field out.
    """
    others = [owner for owner in owners(body, field) if owner.manager != FIELD_MANAGER]
    only_appliers = all(owner.operation == "Update" and owner.manager in _WRITE_LAST_APPLIED for owner in others)
    annotated, value = _applied(body, path_of(field))
    return not (others and only_appliers and annotated and value is None)


def original_annotation(body: Mapping[str, Any]) -> str:
    """Return the annotation ``twinops.dev/original``, empty without one."""
    found = ((body.get("metadata") or {}).get("annotations") or {}).get(ORIGINAL_ANNOTATION)
    return str(found)[:_LONGEST_ANNOTATION] if found else ""


def handed_over(body: Mapping[str, Any], field: str, manager: str) -> list[Entry] | None:
    """Return ``managedFields`` with the field moved from our entry to the one that ``manager`` applied.

    Returns:
        None when ``manager`` has no applied entry.
    """
    path = path_of(field)
    entries = copy.deepcopy(list(_entries(body)))
    heirs = [each for each in entries if each.get("manager") == manager and each.get("operation") == "Apply"]
    if not heirs:
        return None
    _add(heirs[0].setdefault("fieldsV1", {}), path)
    for entry in entries:
        if entry.get("manager") == FIELD_MANAGER:
            _remove(entry.get("fieldsV1") or {}, path)
            _remove(entry.get("fieldsV1") or {}, _ANNOTATION_PATH)
    return [entry for entry in entries if entry.get("fieldsV1")]


def _entries(body: Mapping[str, Any]) -> Sequence[Entry]:
    found: Sequence[Entry] = (body.get("metadata") or {}).get("managedFields") or ()
    return found


def _holds(entry: Entry, path: Path) -> bool:
    node: Any = entry.get("fieldsV1") or {}
    for part in path:
        node = node.get(f"f:{part}")
        if node is None:
            return False
    return True


def _add(fields: Entry, path: Path) -> None:
    for part in path:
        fields = fields.setdefault(f"f:{part}", {})


def _remove(fields: Entry, path: Path) -> None:
    head, rest = f"f:{path[0]}", path[1:]
    if head not in fields:
        return
    if rest:
        _remove(fields[head], rest)
    # "." marks ownership of the parent itself; an entry with nothing else is dropped.
    if not rest or not set(fields[head]) - {"."}:
        del fields[head]


def _applied(body: Mapping[str, Any], path: Path) -> tuple[bool, LeverValue | None]:
    """Return whether there is a last-applied annotation, and the field's value in it."""
    text = ((body.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return False, None
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        return False, None
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    return True, node if isinstance(node, int) and not isinstance(node, bool) else None
