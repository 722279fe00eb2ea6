"""Events that wait to be posted: bounded, by turns between namespaces, and few about any one object."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LENGTH = 1000
"""Events that wait at most; of more, the oldest of the namespace with the most of them is dropped."""

BURST = 25
REFILL_SECONDS = 300.0
"""Events about one object: so many at once, and one more each so many seconds, as client-go has it."""

REMEMBERED = 4096
"""Objects whose allowance is remembered."""

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class Note:
    """One Event to be.

    Attributes:
        time: Unix seconds at which it happened last.
        count: how often it happened while it waited.
    """

    involved: Mapping[str, Any]
    kind: str
    reason: str
    message: str
    time: float
    count: int = 1

    @property
    def key(self) -> Key:
        """What makes two notes the same."""
        return (self.object, self.kind, self.reason, self.message)

    @property
    def object(self) -> str:
        """The object that it is about."""
        involved = self.involved
        return str(
            involved.get("uid") or "/".join(str(involved.get(part, "")) for part in ("kind", "namespace", "name"))
        )

    @property
    def namespace(self) -> str:
        """Where the Event goes: one about a cluster-scoped object goes into ``default``, as the API demands."""
        return str(self.involved.get("namespace") or "default")


@dataclass(slots=True)
class _Allowance:
    left: float
    since: float


class Allowances:
    """How many Events an object may still have: a token bucket each, as in client-go's event correlator."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._objects: OrderedDict[str, _Allowance] = OrderedDict()

    def spend(self, about: str, now: float) -> bool:
        """Tell whether one more Event about this object may be posted, and count it.

        Args:
            about: the object.
            now: monotonic seconds.
        """
        allowance = self._objects.pop(about, None) or _Allowance(BURST, now)
        left = min(float(BURST), allowance.left + (now - allowance.since) / REFILL_SECONDS)
        allowed = left >= 1
        self._objects[about] = _Allowance(left - allowed, now)
        while len(self._objects) > REMEMBERED:
            self._objects.popitem(last=False)
        return allowed


class EventQueue:
    """Notes that wait, the same ones counted together."""

    def __init__(self) -> None:
        """Start empty."""
        self._lines: OrderedDict[str, OrderedDict[Key, Note]] = OrderedDict()
        self._size = 0
        self._taken = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """Return how many notes wait."""
        return self._size

    def put(self, note: Note) -> Note | None:
        """Add a note; return the one that had to make room for it, None where there was room."""
        line = self._lines.get(note.namespace)
        same = None if line is None else line.get(note.key)
        if same is not None:
            same.count += 1
            same.time = note.time
            return None
        dropped = self._drop() if self._size >= LENGTH else None
        self._lines.setdefault(note.namespace, OrderedDict())[note.key] = note
        self._size += 1
        self._idle.clear()
        self._some.set()
        return dropped

    async def get(self) -> Note:
        """Wait for a note, and take the oldest of the namespace whose turn it is; ``done`` must follow."""
        while not self._size:
            self._some.clear()
            await self._some.wait()
        namespace, line = next(iter(self._lines.items()))
        note = self._pop(namespace)
        if line:
            self._lines.move_to_end(namespace)
        self._taken += 1
        return note

    def done(self) -> None:
        """Tell that a note that was taken has been dealt with."""
        self._taken -= 1
        if not self._taken and not self._size:
            self._idle.set()

    async def join(self) -> None:
        """Wait until every note has been dealt with."""
        await self._idle.wait()

    def _drop(self) -> Note:
        return self._pop(max(self._lines, key=lambda namespace: len(self._lines[namespace])))

    def _pop(self, namespace: str) -> Note:
        line = self._lines[namespace]
        _, note = line.popitem(last=False)
        if not line:
            del self._lines[namespace]
        self._size -= 1
        return note
