"""The twin for which a metrics source is queried, so that its connections can be shared fairly.

A context variable carries it from the sync to the HTTP client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from twinops.engine.fair_semaphore import Key
from twinops.ports.kubernetes import TwinRef

_REQUESTER: ContextVar[Key | None] = ContextVar("requester", default=None)


@contextmanager
def requested_by(ref: TwinRef) -> Iterator[None]:
    """Count all queries that are sent inside, also by tasks that are started inside, as this twin's."""
    token = _REQUESTER.set((ref.namespace, ref.uid))
    try:
        yield
    finally:
        _REQUESTER.reset(token)


def requester() -> Key | None:
    """Return namespace and UID of the twin that is being synced; None outside of a sync."""
    return _REQUESTER.get()
