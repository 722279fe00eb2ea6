"""Reading the audit log: who wrote what, and what was denied."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.api import Json

_READS = frozenset({"get", "list", "watch"})


def read_audit_log(path: Path, *, reads: bool = False) -> list[Json]:
    """Return the events of an audit log, the oldest first.

    Args:
        path: The log, one JSON object a line; a line still being written is left out.
        reads: Whether reads that were granted are wanted too, as far as they are logged.
    """
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text().split("\n")
    events: list[Json] = [json.loads(line) for line in lines]
    return [event for event in events if reads or not _is_granted_read(event)]


def _is_granted_read(event: Json) -> bool:
    status = int(event.get("responseStatus", {}).get("code", 0))
    return event["verb"] in _READS and status < HTTPStatus.BAD_REQUEST
