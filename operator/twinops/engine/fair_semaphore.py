"""A semaphore whose permits are shared fairly between the requests that wait for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

Key = tuple[str, ...]
"""Who requests a permit, from coarse to fine: for example namespace and twin."""


class Permit:
    """One permit that is held. A ``with`` statement releases it at its end."""

    def __init__(self, semaphore: FairSemaphore, key: Key, *, background: bool) -> None:
        self._semaphore: FairSemaphore | None = semaphore
        self._key = key
        self._background = background

    def release(self) -> bool:
        """Free the permit for the next request, and return True; a second call does nothing, and returns False."""
        semaphore, self._semaphore = self._semaphore, None
        if semaphore is None:
            return False
        semaphore.take_back(self._key, background=self._background)
        return True

    def __enter__(self) -> Self:
        """Do nothing: the permit is held already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the permit."""
        self.release()


@dataclass(slots=True, eq=False)
class _Queue:
    """Requests that wait: a tree by the parts of their keys, with a first-in, first-out queue at each leaf."""

    parts: dict[str, _Queue] = field(default_factory=dict)
    waiting: dict[asyncio.Future[Permit], None] = field(default_factory=dict)

    def add(self, key: Key, waiter: asyncio.Future[Permit]) -> None:
        queue = self
        for part in key:
            queue = queue.parts.setdefault(part, _Queue())
        queue.waiting[waiter] = None

    def remove(self, key: Key, waiter: asyncio.Future[Permit]) -> None:
        if not key:
            self.waiting.pop(waiter, None)
            return
        queue = self.parts.get(key[0])
        if queue is not None:
            queue.remove(key[1:], waiter)
            if not queue.parts and not queue.waiting:
                del self.parts[key[0]]


class FairSemaphore:
    """Grants permits round robin: first between the first parts of keys, then between the second ones, and so on.

    However many requests one key has, it gets as many turns as any other. And it cannot take every permit: a key that
    holds one already leaves some free for keys that hold none, so that one whose requests take long does not make the
    others wait for as long. Background requests come after all others, and hold at most half of the permits.

    Not thread-safe: everything happens in one event loop.

    Args:
        size: permits in all.
        spare: for each part of a key, permits that stay free for keys that hold none by that part.
        most: for each part of a key, permits that one may hold; no limit where it is left out.
    """

    def __init__(self, size: int, *, spare: Sequence[int] = (), most: Sequence[int] = ()) -> None:
        self._free = self._size = size
        self._spare = tuple(spare)
        self._most = tuple(most)
        self._held: Counter[Key] = Counter()
        self._background = 0
        self._queues = (_Queue(), _Queue())

    @property
    def free(self) -> int:
        """Permits that are not held."""
        return self._free

    def resize(self, size: int, *, spare: Sequence[int]) -> None:
        """Change the number of permits. Where more are held than there are now, the next ones that come back are kept.

        Args:
            size: permits in all.
            spare: for each part of a key, permits that stay free for keys that hold none by that part.
        """
        self._free += size - self._size
        self._size, self._spare = size, tuple(spare)
        self._grant()

    async def acquire(self, key: Key, *, background: bool = False) -> Permit:
        """Wait for a permit. The caller must release it.

        Args:
            key: who requests it; all keys have the same number of parts.
            background: whether all other requests go first.
        """
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        queue = self._queues[background]
        queue.add(key, waiter)
        self._grant()
        try:
            return await waiter
        except asyncio.CancelledError:
            queue.remove(key, waiter)
            if waiter.done() and not waiter.cancelled():
                waiter.result().release()
            else:
                # Permits may have stayed free for this request.
                self._grant()
            raise

    def take_back(self, key: Key, *, background: bool) -> None:
        """Take back a permit; ``Permit.release`` calls this."""
        self._free += 1
        self._background -= background
        for length in range(1, len(key) + 1):
            self._held[key[:length]] -= 1
            if not self._held[key[:length]]:
                del self._held[key[:length]]
        self._grant()

    def _grant(self) -> None:
        while self._free > 0:
            found = self._next(self._queues[False], ())
            background = found is None and self._background_allowed()
            if background:
                found = self._next(self._queues[True], ())
            if found is None:
                return
            key, waiter = found
            self._free -= 1
            self._background += background
            for length in range(1, len(key) + 1):
                self._held[key[:length]] += 1
            waiter.set_result(Permit(self, key, background=background))

    def _next(self, queue: _Queue, key: Key) -> tuple[Key, asyncio.Future[Permit]] | None:
        """Take the next request that may have a permit out of the queue; None when there is none."""
        while queue.waiting:
            waiter = next(iter(queue.waiting))
            del queue.waiting[waiter]
            # A request that is being cancelled may not have been removed yet.
            if not waiter.done():
                return key, waiter
        # Only keys that hold a permit can be passed over, so few are looked at, however many wait.
        for part, within in queue.parts.items():
            found = self._next(within, (*key, part)) if self._allowed((*key, part)) else None
            if found is not None:
                del queue.parts[part]
                if within.parts or within.waiting:
                    queue.parts[part] = within
                return found
        return None

    def _allowed(self, key: Key) -> bool:
        held, level = self._held[key], len(key) - 1
        if not held:
            return True
        spare = self._spare[level] if level < len(self._spare) else 0
        most = self._most[level] if level < len(self._most) else self._size
        return self._free > spare and held < most

    def _background_allowed(self) -> bool:
        return not self._background or (self._background < self._size // 2 and self._free > self._size // 4)
