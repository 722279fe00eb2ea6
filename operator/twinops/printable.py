"""Text that somebody else wrote, fit to be shown: in a status, an Event, a log line, a table, at a terminal.

Queries, names of files, columns and versions may hold what steers a terminal (escape sequences), turns the order of
letters around, or breaks a line in two. All that leaves this program goes through here once.
"""

from __future__ import annotations

UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, most: int | None = None) -> str:
    """Return the text in one line, without anything that is not seen where it stands.

    Controls, marks of direction, letters of no width and halves of pairs become U+FFFD; line breaks, tabs and other
    blanks become spaces.

    Args:
        text: any.
        most: characters of the result; a longer one ends with an ellipsis.
    """
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str, most: int | None = None) -> str:
    """Return the text like ``printable``, its line breaks kept; of a longer one the middle is left out."""
    if most is not None and len(text) > most:
        text = f"{text[: most // 2]}\n… {len(text) - most} characters left out …\n{text[-(most // 2) :]}"
    return "\n".join(map(printable, text.split("\n")))


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else UNPRINTABLE
