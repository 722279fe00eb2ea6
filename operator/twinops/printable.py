"""Makes text of foreign origin safe to show: in a status, an Event, a log record, a table or at a terminal.

Queries, file names, column names and versions may contain terminal escape sequences, bidirectional controls or line
breaks. All output of this program passes through here once.
"""

from __future__ import annotations

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, most: int | None = None) -> str:
    """Return the text as one line of printable characters.

    Control characters, bidirectional marks, zero-width characters and lone surrogates become U+FFFD; line breaks, tabs
    and other white space become spaces.

    Args:
        text: any.
        most: bound of the length in characters; a longer text is cut and ends with an ellipsis.
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str, most: int | None = None) -> str:
    """Like ``printable`` but with line breaks kept; the middle of a text longer than ``most`` is left out."""
    if most is not None and len(text) > most:
        text = f"{text[: most // 2]}\n… {len(text) - most} characters left out …\n{text[-(most // 2) :]}"
    return "\n".join(map(printable, text.split("\n")))


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else UNPRINTABLE
