"""A least-recently-used cache bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_ENTRY_BYTES = 400
"""Estimated overhead of an entry, in bytes."""


class Memo(Generic[_Key, _Value]):
    """A cache that evicts the least recently used entries. Thread-safe.

    Args:
        capacity: bound of the size of all entries, in bytes.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _Key) -> _Value | None:
        """Return a cached value, None without one."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: _Key, value: _Value, *, size: int) -> None:
        """Store a value of ``size`` bytes (key included), unless it alone exceeds the capacity."""
        size += _ENTRY_BYTES
        with self._lock:
            if size > self._capacity or key in self._entries:
                return
            self._entries[key] = (value, size)
            self.size += size
            while self.size > self._capacity:
                _, (_, freed) = self._entries.popitem(last=False)
                self.size -= freed
