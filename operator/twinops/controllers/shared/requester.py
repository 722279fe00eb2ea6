"""Who asks a metrics source, so that its connections can be shared fairly: known from a sync down to the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from twinops.engine.fair_semaphore import Key
from twinops.ports.kubernetes import TwinRef

_ASKER: ContextVar[Key | None] = ContextVar("asker", default=None)


@contextmanager
def requested_by(ref: TwinRef) -> Iterator[None]:
    """Let everything that is asked within, and by tasks that are started within, count as asked by this twin."""
    token = _ASKER.set((ref.namespace, ref.uid))
    try:
        yield
    finally:
        _ASKER.reset(token)


def requester() -> Key | None:
    """Return namespace and UID of the twin that asks, None where no twin does."""
    return _ASKER.get()
