"""The restart state: the packed calibration of all metrics of a twin as one short text, and back.

The text is base64 of a version byte and a deflated sequence of entries: the metric's name, and the state packed for it.
Status can be written by anybody with rights to it, so that whatever is not such a text is read as no state.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping

from twinops.api.twin.predictions import MAX_RESTART_STATE

_VERSION = 1
_LENGTHS = struct.Struct("<HH")
_MOST_BYTES = 65_536
"""More is never inflated: a short text could hold gigabytes."""


def encode(states: Mapping[str, str]) -> str:
    """Return the states of all metrics as one text, empty where there are none, or too many for a status.

    Args:
        states: base64 by metric.
    """
    parts: list[bytes] = []
    for metric, text in sorted(states.items()):
        try:
            name, state = metric.encode(), base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        if state:
            parts += (_LENGTHS.pack(len(name), len(state)), name, state)
    if not parts:
        return ""
    deflated = zlib.compress(b"".join(parts), 9)
    found = base64.b64encode(bytes([_VERSION]) + deflated).decode()
    return found if len(found) <= MAX_RESTART_STATE else ""


def decode(text: str) -> dict[str, str]:
    """Return the states of ``encode`` by metric; none of a text of another version, or of no such text."""
    try:
        raw = base64.b64decode(text, validate=True)
        if raw[:1] != bytes([_VERSION]):
            return {}
        entries = zlib.decompressobj().decompress(raw[1:], _MOST_BYTES)
        return _states(entries)
    except (ValueError, zlib.error, struct.error):
        return {}


def _states(entries: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(entries):
        name, state = _LENGTHS.unpack_from(entries, at)
        at += _LENGTHS.size
        end = at + name + state
        if end > len(entries):
            raise ValueError("the text ends within an entry")
        found[entries[at : at + name].decode()] = base64.b64encode(entries[at + name : end]).decode()
        at = end
    return found
