"""How much of a twin's body is kept: what is used, and nothing that its author could make large at will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinops.api import ORIGINAL_ANNOTATION, SYNC_REQUESTED_ANNOTATION, TOUCHED_ANNOTATION
from twinops.core.correction import original_annotation
from twinops.printable import printable

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
    # One more than is read: what was too long stays so.
    ORIGINAL_ANNOTATION: original_annotation.LONGEST + 1,
}
"""Our own, by how much of each is kept."""


def trimmed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without managed fields, labels, owners and annotations of others.

    Annotations alone may take 256 KiB of each object. Spec and status, whose size the CRD bounds, are shared with
    the body that is given.
    """
    metadata: dict[str, Any] = {key: value for key in _METADATA if (value := body["metadata"].get(key)) is not None}
    told = body["metadata"].get("annotations") or {}
    annotations = {key: printable(told[key], most) for key, most in _ANNOTATIONS.items() if key in told}
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: body[key] for key in ("apiVersion", "kind", "spec", "status") if key in body}
    return {**rest, "metadata": metadata}


def trim(body: dict[str, Any]) -> dict[str, Any]:
    """Trim a body in place, for all who hold it, and return it."""
    kept = trimmed(body)
    body.clear()
    body.update(kept)
    return body
