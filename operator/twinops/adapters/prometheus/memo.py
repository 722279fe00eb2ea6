"""What has been worked out once, remembered up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

_ENTRY_BYTES = 400
"""What an entry takes beside its texts."""


class Memo(Generic[_Key, _Value]):
    """Answers by what was asked; the longest unused ones make room. May be used from several threads.

    Args:
        capacity: bytes that all entries together may take.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _Key) -> _Value | None:
        """Return what is remembered, None when nothing is."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: _Key, value: _Value, *, size: int) -> None:
        """Remember an answer that takes ``size`` bytes with its key, unless it alone is too large."""
        size += _ENTRY_BYTES
        with self._lock:
            if size > self._capacity or key in self._entries:
                return
            self._entries[key] = (value, size)
            self.size += size
            while self.size > self._capacity:
                _, (_, freed) = self._entries.popitem(last=False)
                self.size -= freed
