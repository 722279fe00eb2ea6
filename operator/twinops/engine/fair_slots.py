"""A bounded number of places, shared fairly between those who stand in line for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Key = tuple[str, ...]
"""Who asks, from the coarse to the fine: for example namespace and twin."""


class Place:
    """One place that is held. ``release`` may be called more than once."""

    def __init__(self, places: FairSlots, key: Key, *, background: bool) -> None:
        self._places: FairSlots | None = places
        self._key = key
        self._background = background

    def release(self) -> None:
        """Give the place to whoever is next."""
        places, self._places = self._places, None
        if places is not None:
            places.free_one(self._key, background=self._background)


@dataclass(slots=True, eq=False)
class _Line:
    """Those who wait: a tree of lines by the parts of their keys, and at its leaves a queue of requests."""

    parts: dict[str, _Line] = field(default_factory=dict)
    waiting: dict[asyncio.Future[Place], None] = field(default_factory=dict)

    def join(self, key: Key, waiter: asyncio.Future[Place]) -> None:
        line = self
        for part in key:
            line = line.parts.setdefault(part, _Line())
        line.waiting[waiter] = None

    def leave(self, key: Key, waiter: asyncio.Future[Place]) -> None:
        if not key:
            self.waiting.pop(waiter, None)
            return
        line = self.parts.get(key[0])
        if line is not None:
            line.leave(key[1:], waiter)
            if not line.parts and not line.waiting:
                del self.parts[key[0]]


class FairSlots:
    """Lends places by turns: first between the first parts of keys, then between the second ones, and so on.

    However many requests one asker has, it gets as many turns as any other. And it cannot take every place:
    whoever holds one already must leave some free for those who hold none, so that one whose requests take
    long never keeps the others waiting for as long. Background requests come after all others, and hold at
    most half of the places.

    Not thread-safe: everything happens in one event loop.

    Args:
        size: places in all.
        spare: for each part of a key, places that stay free for those who hold none by that part.
        most: for each part of a key, places that one may hold; no limit where it is left out.
    """

    def __init__(self, size: int, *, spare: Sequence[int] = (), most: Sequence[int] = ()) -> None:
        self._free = self._size = size
        self._spare = tuple(spare)
        self._most = tuple(most)
        self._held: Counter[Key] = Counter()
        self._background = 0
        self._lines = (_Line(), _Line())

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        return self._free

    async def take(self, key: Key, *, background: bool = False) -> Place:
        """Wait for a place. Whoever takes it must release it.

        Args:
            key: who asks; all keys have the same number of parts.
            background: let all others go first.
        """
        waiter: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        line = self._lines[background]
        line.join(key, waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            line.leave(key, waiter)
            if waiter.done() and not waiter.cancelled():
                waiter.result().release()
            else:
                # Who left may have kept a place from nobody but itself.
                self._serve()
            raise

    def free_one(self, key: Key, *, background: bool) -> None:
        """Take back a place; only ``Place.release`` calls this."""
        self._free += 1
        self._background -= background
        for length in range(1, len(key) + 1):
            self._held[key[:length]] -= 1
            if not self._held[key[:length]]:
                del self._held[key[:length]]
        self._serve()

    def _serve(self) -> None:
        while self._free:
            found = self._next(self._lines[False], ())
            background = found is None and self._room_in_background()
            if background:
                found = self._next(self._lines[True], ())
            if found is None:
                return
            key, waiter = found
            self._free -= 1
            self._background += background
            for length in range(1, len(key) + 1):
                self._held[key[:length]] += 1
            waiter.set_result(Place(self, key, background=background))

    def _next(self, line: _Line, key: Key) -> tuple[Key, asyncio.Future[Place]] | None:
        """Take the next request that may have a place out of the line; None when there is none."""
        while line.waiting:
            waiter = next(iter(line.waiting))
            del line.waiting[waiter]
            # Whoever is being cancelled may not have come to leave the line yet.
            if not waiter.done():
                return key, waiter
        # Only those who hold a place can be passed over, so few are looked at, however many wait.
        for part, within in line.parts.items():
            found = self._next(within, (*key, part)) if self._may((*key, part)) else None
            if found is not None:
                del line.parts[part]
                if within.parts or within.waiting:
                    line.parts[part] = within
                return found
        return None

    def _may(self, key: Key) -> bool:
        held, level = self._held[key], len(key) - 1
        if not held:
            return True
        spare = self._spare[level] if level < len(self._spare) else 0
        most = self._most[level] if level < len(self._most) else self._size
        return self._free > spare and held < most

    def _room_in_background(self) -> bool:
        return not self._background or (self._background < self._size // 2 and self._free > self._size // 4)
