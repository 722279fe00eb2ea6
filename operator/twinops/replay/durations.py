"""Durations as people write them: ``30s``, ``5m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re

from twinops.errors import InputError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([0-9]+[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_MOST_LETTERS = 100
_LONGEST = 10 * 365 * 86_400


def parse_duration(text: str, what: str) -> int:
    """Return a duration in seconds.

    Args:
        text: one or more numbers, each with s, m, h, d or w.
        what: option that gave it, for messages.

    Raises:
        InputError: it has another form, or is zero or longer than ten years.
    """
    compact = text.strip().lower()
    parts = _PART.findall(compact) if len(compact) <= _MOST_LETTERS else ()
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if not _FORM.fullmatch(compact) or not 0 < seconds <= _LONGEST:
        raise InputError(f"{what} {text!r} is not a span of time: write for example 30s, 5m, 1h30m or 7d")
    return seconds


def short(seconds: float) -> str:
    """Return a duration in its largest exact unit: ``15m``, ``1h``, ``90s``."""
    whole = round(seconds)
    for unit in ("d", "h", "m"):
        if whole and whole % _SECONDS[unit] == 0:
            return f"{whole // _SECONDS[unit]}{unit}"
    return f"{whole}s"
