"""What differs from kind to kind when a status is written: log lines, heartbeats and the rule for conflicts."""

from __future__ import annotations

import hashlib
import json
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


@dataclass(frozen=True, slots=True)
class ReadObject:
    """What a write must know of the object as it was read.

    Attributes:
        generation: None where there is none.
        status: the digest of its status.
        last_write: ``status.lastSyncTime`` as it stands there, which spaces heartbeats; empty when there is none.
    """

    resource_version: str
    generation: int | None
    status: bytes
    last_write: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> ReadObject:
        """Return it of an object as the API server sent it."""
        meta, status = body["metadata"], body.get("status") or {}
        last = status.get("lastSyncTime")
        return cls(
            resource_version=meta.get("resourceVersion", ""),
            generation=meta.get("generation"),
            status=digest(status),
            last_write=last if isinstance(last, str) else "",
        )


def digest(status: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that tell a status from another one, whatever the order of its keys; none of an empty one.

    It takes the place of the status itself, which as a dict is twenty kilobytes of every twin.
    """
    if not status:
        return b""
    text = json.dumps(status, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


ConflictRule = Callable[[ReadObject, Mapping[str, Any], Purpose], str]
"""Returns after a conflict why the status may not replace the one on the API server; an empty text where it may.

Arguments: the object from which the status was made, the object as it is now, and the purpose.
"""


@dataclass(frozen=True, slots=True)
class StatusKind:
    """A kind whose statuses are written.

    Attributes:
        word: names an object of this kind in log lines.
        conflict: applied to an object that changed since it was read.
    """

    word: str
    conflict: ConflictRule


def unless_changed(read: ReadObject, fresh: Mapping[str, Any], purpose: Purpose) -> str:
    """Refuse when somebody else wrote the status, or changed the spec; an outcome is written onto any spec.

    The status may be that of another leader, or our own of which no answer came. A change of labels, owners
    or finalizers does not matter.
    """
    if digest(fresh.get("status") or {}) != read.status:
        return "the status changed since the sync began"
    if fresh["metadata"].get("generation") != read.generation and purpose is not Purpose.OUTCOME:
        return "the spec changed since the sync began"
    return ""


def unless_changed_or_unguarded(finalizer: str) -> ConflictRule:
    """Return ``unless_changed``, which also refuses an intent where ``finalizer`` would not hold up a deletion."""

    def rule(read: ReadObject, fresh: Mapping[str, Any], purpose: Purpose) -> str:
        reason = unless_changed(read, fresh, purpose)
        if reason or purpose is not Purpose.INTENT:
            return reason
        meta = fresh["metadata"]
        guarded = not meta.get("deletionTimestamp") and finalizer in (meta.get("finalizers") or ())
        return "" if guarded else "it is being deleted, or its finalizer was taken off"

    return rule
