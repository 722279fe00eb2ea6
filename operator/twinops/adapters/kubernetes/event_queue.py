"""Events that wait to be posted: bounded, by turns between namespaces, and few about any one object."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from twinops.core.events import Event

LENGTH = 1000
"""Events that wait at most; of more, the oldest of the namespace with the most of them is dropped."""

BURST = 25
REFILL_SECONDS = 300.0
"""Events about one object: so many at once, and one more each so many seconds, as client-go has it."""

REMEMBERED = 4096
"""Objects whose allowance is remembered."""

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class QueuedEvent:
    """An Event that waits to be posted.

    Attributes:
        time: Unix seconds at which it happened last.
        count: how often it happened while it waited.
    """

    event: Event
    time: float
    count: int = 1

    @property
    def key(self) -> Key:
        """What makes two Events the same: object, type, reason and message."""
        return (self.object, self.event.type, self.event.reason, self.event.message)

    @property
    def object(self) -> str:
        """The object that it is about, by uid where that is known."""
        about = self.event.about
        return about.uid or f"{about.kind}/{about.namespace}/{about.name}"

    @property
    def namespace(self) -> str:
        """Where the Event goes: one about a cluster-scoped object goes into ``default``, as the API demands."""
        return self.event.about.namespace or "default"


@dataclass(slots=True)
class _Allowance:
    left: float
    since: float


class Allowances:
    """How many Events an object may still have: a token bucket each, as in client-go's event correlator."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._objects: OrderedDict[str, _Allowance] = OrderedDict()

    def spend(self, key: str, now: float) -> bool:
        """Tell whether one more Event about this object may be posted, and count it.

        Args:
            key: names the object (``QueuedEvent.object``).
            now: monotonic seconds.
        """
        allowance = self._objects.pop(key, None) or _Allowance(BURST, now)
        left = min(float(BURST), allowance.left + (now - allowance.since) / REFILL_SECONDS)
        allowed = left >= 1
        self._objects[key] = _Allowance(left - allowed, now)
        while len(self._objects) > REMEMBERED:
            self._objects.popitem(last=False)
        return allowed


class EventQueue:
    """Events that wait, the same ones counted together."""

    def __init__(self) -> None:
        """Start empty."""
        self._lines: OrderedDict[str, OrderedDict[Key, QueuedEvent]] = OrderedDict()
        self._size = 0
        self._taken = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """Return how many wait."""
        return self._size

    def put(self, queued: QueuedEvent) -> QueuedEvent | None:
        """Add an event; return the one that had to make room for it, None where there was room."""
        line = self._lines.get(queued.namespace)
        same = None if line is None else line.get(queued.key)
        if same is not None:
            same.count += 1
            same.time = queued.time
            return None
        dropped = self._drop() if self._size >= LENGTH else None
        self._lines.setdefault(queued.namespace, OrderedDict())[queued.key] = queued
        self._size += 1
        self._idle.clear()
        self._some.set()
        return dropped

    async def get(self) -> QueuedEvent:
        """Wait for an event, and take the oldest of the namespace whose turn it is; ``done`` must follow."""
        while not self._size:
            self._some.clear()
            await self._some.wait()
        namespace, line = next(iter(self._lines.items()))
        queued = self._pop(namespace)
        if line:
            self._lines.move_to_end(namespace)
        self._taken += 1
        return queued

    def done(self) -> None:
        """Tell that an event that was taken has been dealt with."""
        self._taken -= 1
        if not self._taken and not self._size:
            self._idle.set()

    async def join(self) -> None:
        """Wait until every event has been dealt with."""
        await self._idle.wait()

    def _drop(self) -> QueuedEvent:
        return self._pop(max(self._lines, key=lambda namespace: len(self._lines[namespace])))

    def _pop(self, namespace: str) -> QueuedEvent:
        line = self._lines[namespace]
        _, queued = line.popitem(last=False)
        if not line:
            del self._lines[namespace]
        self._size -= 1
        return queued
