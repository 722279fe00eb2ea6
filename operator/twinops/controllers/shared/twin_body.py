"""The body of a twin as the API server sends it: which parts are kept, and how spec and status are parsed.

Only what is used is kept, and nothing whose size its author could choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from twinops.api import ORIGINAL_ANNOTATION, SYNC_REQUESTED_ANNOTATION, TOUCHED_ANNOTATION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.correction import saved_annotation
from twinops.errors import SpecError, StatusUnreadable
from twinops.printable import printable

log = structlog.get_logger()

LONGEST_REQUEST = 256
"""Characters of a sync request that count."""

_METADATA = (
    "namespace",
    "name",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
_ANNOTATIONS: Mapping[str, int] = {
    SYNC_REQUESTED_ANNOTATION: LONGEST_REQUEST,
    TOUCHED_ANNOTATION: LONGEST_REQUEST,
    # One more than is read, so that what was too long is still recognized as too long.
    ORIGINAL_ANNOTATION: saved_annotation.LONGEST + 1,
}
"""Our own annotations, with the number of characters that is kept of each."""


def trimmed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without managed fields, labels, owners and annotations of others.

    Annotations alone may take 256 KiB of each object. Spec and status, whose size the CRD bounds, are shared with
    the body that is given.
    """
    metadata: dict[str, Any] = {key: value for key in _METADATA if (value := body["metadata"].get(key)) is not None}
    annotations = annotations_of(body)
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: body[key] for key in ("apiVersion", "kind", "spec", "status") if key in body}
    return {**rest, "metadata": metadata}


def trim(body: dict[str, Any]) -> dict[str, Any]:
    """Trim a body in place, so that every reference to it is to the trimmed one, and return it."""
    kept = trimmed(body)
    body.clear()
    body.update(kept)
    return body


def annotations_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return our own annotations, printable and cut to the length that is kept of each."""
    given = body["metadata"].get("annotations") or {}
    return {key: printable(given[key], most) for key, most in _ANNOTATIONS.items() if key in given}


def read_spec(body: Mapping[str, Any]) -> DigitalTwinSpec | SpecError:
    """Return the spec, or a ``SpecError`` that says what is wrong with it and how to correct it."""
    try:
        return DigitalTwinSpec.from_wire(body.get("spec") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return SpecError(f"spec.{where}: {first['msg']}; correct it and apply again", reason="InvalidSpec")


def read_status(body: Mapping[str, Any]) -> DigitalTwinStatus:
    """Return the status of a twin.

    A status may not be readable as a whole, for example by an operator that is older than the one that wrote it;
    then every field that can be read is kept.

    Raises:
        StatusUnreadable: the saved values (``originals``) cannot be read; a sync would lose them.
    """
    raw = body.get("status") or {}
    try:
        return DigitalTwinStatus.from_wire(raw)
    except ValidationError as error:
        meta = body["metadata"]
        log.warning("status unreadable in part", namespace=meta["namespace"], twin=meta["name"], error=str(error))
    readable = {}
    for field, value in raw.items():
        try:
            DigitalTwinStatus.from_wire({field: value})
        except ValidationError as error:
            if field == "originals":
                raise StatusUnreadable(f"status.originals cannot be read: {error}") from error
        else:
            readable[field] = value
    return DigitalTwinStatus.from_wire(readable)
