"""Reading small files: as much as such a file may hold, whatever stands at its path."""

from __future__ import annotations

from pathlib import Path

from twinops.errors import InputError

MOST_BYTES = 1024 * 1024
"""Manifests, tokens and certificates are smaller; the API server would take no larger object either."""


def read_text(path: Path, option: str = "") -> str:
    """Return a file's text, without a byte order mark.

    Args:
        path: of the file; a device or a pipe is read as far as it may be.
        option: of the command line that names it, for the message.

    Raises:
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    what = f"{option} {path}".lstrip()
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{what} has more than {MOST_BYTES // 1024} KiB: is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} is not UTF-8") from error
