"""What the API server answers: JSON objects, events of a watch, and errors, translated into ours.

Source: Kubernetes API concepts, "Efficient detection of changes", and ``metav1.Status``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.exceptions import OpenApiException

from twinops.errors import ClusterError, Conflict, NotFound, Refused, Unavailable

Json = dict[str, Any]

_LONGEST_EVENT: Final = 16 << 20
_MESSAGE_LENGTH: Final = 500

BROKEN: Final = (TimeoutError, aiohttp.ClientError, OpenApiException, OSError)
"""What is raised when no complete answer came."""


def unavailable(what: str, error: BaseException) -> Unavailable:
    """Translate one of ``BROKEN``; ``what`` names the request."""
    return Unavailable(f"{what}: {type(error).__name__} {error}".rstrip())


async def read_lines(what: str, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a watch; ``StreamReader.readline`` would fail on lines longer than its buffer.

    Raises:
        Unavailable: a line is longer than 16 MiB.
    """
    rest = bytearray()
    async for chunk in content.iter_any():
        *whole, tail = chunk.split(b"\n")
        for part in whole:
            yield bytes(rest + part)
            rest.clear()
        rest += tail
        if len(rest) > _LONGEST_EVENT:
            raise Unavailable(f"{what}: an event of more than {_LONGEST_EVENT} bytes")


def read_event(what: str, line: bytes) -> Json:
    """Read one event of a watch: ``type`` and ``object``.

    Raises:
        ClusterError: the event is of type ERROR, or is not an event.
    """
    event = read_object(what, line)
    item = event.get("object")
    if not isinstance(item, dict):
        raise Unavailable(f"{what}: an event without an object")
    if event.get("type") == "ERROR":
        code = item.get("code")
        status = code if isinstance(code, int) else 500
        raise _error_class(status)(
            f"{what}: {status} {item.get('message') or ''}".rstrip()[:_MESSAGE_LENGTH], status=status
        )
    return event


def read_object(what: str, raw: bytes) -> Json:
    """Read a JSON object.

    Raises:
        Unavailable: the answer is not a JSON object.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{what}: the answer is not JSON that can be read") from error
    if not isinstance(data, dict):
        raise Unavailable(f"{what}: the answer is not a JSON object")
    return data


def read_error(what: str, status: int, raw: bytes, retry_after: str | None) -> ClusterError:
    """Return the error that an answer with this HTTP status means; its ``metav1.Status`` gives the message."""
    try:
        message = str(json.loads(raw).get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        message = ""
    text = f"{what}: {status} {message}".rstrip()[:_MESSAGE_LENGTH]
    return _error_class(status)(text, status=status, retry_after=_retry_after(retry_after))


def _error_class(status: int) -> type[ClusterError]:
    match status:
        case 404:
            return NotFound
        case 409:
            return Conflict
        # A token may just have run out (it is read again), and an expired list must only be started again.
        case 401 | 408 | 410 | 429:
            return Unavailable
        case _ if 400 <= status < 500:  # noqa: PLR2004 - HTTP's client errors
            return Refused
        case _:
            return Unavailable


def _retry_after(retry_after: str | None) -> float | None:
    """Read a ``Retry-After`` header; the API server sends whole seconds."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
