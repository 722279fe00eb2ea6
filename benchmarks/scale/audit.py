"""What the operator asked of the API server, from the API server's own audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from statistics import mean
from typing import Any

_WRITES = frozenset({"update", "patch"})


@dataclass(frozen=True)
class Requests:
    """The requests of one account.

    Attributes:
        counts: how many, by verb and resource (`update digitaltwins/status`). A watch counts once, when it begins.
        refused: how many were answered with an error. 404 is none: it is how one learns that a kind is not served.
        status_bytes: of the bodies of written twins' statuses, as compact JSON.
        object_bytes: of the twins as the API server answered with them.
    """

    counts: Counter[str]
    refused: int
    status_bytes: list[int]
    object_bytes: list[int]

    @property
    def total(self) -> int:
        """Number of requests."""
        return sum(self.counts.values())

    @property
    def mean_status_bytes(self) -> float | None:
        """Mean length of a status write, None if there was none."""
        return mean(self.status_bytes) if self.status_bytes else None

    @property
    def mean_object_bytes(self) -> float | None:
        """Mean length of a twin, None if none was written."""
        return mean(self.object_bytes) if self.object_bytes else None


def requests(logs: Iterable[Path], account: str, begin: float, end: float) -> Requests:
    """Return the requests of an account that came in between two times, in seconds since 1970.

    Args:
        logs: files of the audit log; those that were closed before `begin` are not read.
        account: the user's name.
        begin: of the window.
        end: of the window.
    """
    events = (
        event
        for log in logs
        if log.stat().st_mtime >= begin
        for event in _events(log, account)
        if begin <= _received(event) < end
    )
    return count(events)


def count(events: Iterable[dict[str, Any]]) -> Requests:
    """Count the events of an audit log."""
    found = Requests(Counter(), 0, [], [])
    refused = 0
    for event in events:
        if event["verb"] == "watch" and event["stage"] == "ResponseComplete":
            continue
        named = event.get("objectRef", {})
        resource = "/".join(filter(None, (named.get("resource"), named.get("subresource"))))
        found.counts[f"{event['verb']} {resource or event['requestURI']}"] += 1
        code = int(event.get("responseStatus", {}).get("code", 0))
        failed = code >= HTTPStatus.BAD_REQUEST
        refused += failed and code != HTTPStatus.NOT_FOUND
        if resource == "digitaltwins/status" and event["verb"] in _WRITES and not failed:
            found.status_bytes.extend(_length(event, "requestObject"))
            found.object_bytes.extend(_length(event, "responseObject"))
    return Requests(found.counts, refused, found.status_bytes, found.object_bytes)


def _events(log: Path, account: str) -> Iterator[dict[str, Any]]:
    name = f'"username":"{account}"'.encode()
    with log.open("rb") as lines:
        for line in lines:
            # A line that the API server is still writing has no end.
            if name in line and line.endswith(b"\n"):
                yield json.loads(line)


def _received(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def _length(event: dict[str, Any], part: str) -> Iterator[int]:
    if part in event:
        yield len(json.dumps(event[part], separators=(",", ":"), ensure_ascii=False).encode())
