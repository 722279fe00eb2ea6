"""Texts for conditions and Events, within the API's limits."""

from __future__ import annotations

from twinops.printable import printable

MAX_MESSAGE = 1024
"""Characters of a message: as many as an Event takes."""


def shorten(message: str, limit: int = MAX_MESSAGE) -> str:
    """Return the message, printable and cut to what the schema allows."""
    return printable(message, limit)
