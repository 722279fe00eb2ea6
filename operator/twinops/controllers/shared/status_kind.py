"""What differs from kind to kind when a status is written: log lines, heartbeats and the rule for conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Purpose(StrEnum):
    """What a status is written for."""

    OBSERVATION = "observation"
    """What a sync observed: written within the budget, and only while the spec is the one that it was made from."""
    INTENT = "intent"
    """What is about to be changed: written at once, only while the spec is the one that it was made from, and never to
    an object that is being deleted."""
    OUTCOME = "outcome"
    """What was changed: written at once, whether or not the spec has changed meanwhile, since it must be recorded."""


ConflictRule = Callable[[Mapping[str, Any], Mapping[str, Any], Purpose], str]
"""Returns after a conflict why the status may not replace the one on the API server; an empty text where it may.

Arguments: the object from which the status was made, the object as it is now, and the purpose.
"""


@dataclass(frozen=True, slots=True)
class StatusKind:
    """A kind whose statuses are written.

    Attributes:
        word: names an object of this kind in log lines.
        conflict: applied to an object that changed since it was read.
        last_write_field: the field of the status with the time of its last write, by which heartbeats are spaced.
            Empty for a kind that has no heartbeats.
    """

    word: str
    conflict: ConflictRule
    last_write_field: str = ""


def unless_changed(body: Mapping[str, Any], fresh: Mapping[str, Any], purpose: Purpose) -> str:
    """Refuse when somebody else wrote the status, or changed the spec; an outcome is written onto any spec.

    The status may be that of another leader, or our own of which no answer came. A change of labels, owners
    or finalizers does not matter.
    """
    if (fresh.get("status") or {}) != (body.get("status") or {}):
        return "the status changed since the sync began"
    if _generation(fresh) != _generation(body) and purpose is not Purpose.OUTCOME:
        return "the spec changed since the sync began"
    return ""


def unless_changed_or_unguarded(finalizer: str) -> ConflictRule:
    """Return ``unless_changed``, which also refuses an intent where ``finalizer`` would not hold up a deletion."""

    def rule(body: Mapping[str, Any], fresh: Mapping[str, Any], purpose: Purpose) -> str:
        reason = unless_changed(body, fresh, purpose)
        if reason or purpose is not Purpose.INTENT:
            return reason
        meta = fresh["metadata"]
        guarded = not meta.get("deletionTimestamp") and finalizer in (meta.get("finalizers") or ())
        return "" if guarded else "it is being deleted, or its finalizer was taken off"

    return rule


def _generation(body: Mapping[str, Any]) -> Any:
    return body["metadata"].get("generation")
