"""Files of a replay: small ones are read up to a bound, results are written completely or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from twinops.errors import InputError

STDOUT = "-"
"""Stands for standard output in place of a file name."""

MOST_BYTES = 1024 * 1024
"""Bound of a manifest, token or certificate; the API server accepts no larger object either."""


def read_text(path: Path, option: str = "") -> str:
    """Return a file's text, without a byte order mark.

    Args:
        path: of the file; of a device or a pipe at most ``MOST_BYTES`` are read.
        option: command-line option that named the file, for the message.

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


def check_writable(path: Path, option: str) -> None:
    """Check that a file can be written, before a replay that takes minutes.

    Raises:
        InputError: it is a directory, or its directory is missing or may not be written.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{option} {path} is a directory: name a file")
    if not folder.is_dir():
        raise InputError(f"{option} {path}: there is no directory {folder}")
    if not os.access(folder if not path.exists() or path.is_file() else path, os.W_OK):
        raise InputError(f"{option} {path}: {folder} may not be written")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: to a temporary file in the same directory, then renamed.

    Raises:
        InputError: it cannot be written; an existing file is left as it was.
    """
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe cannot be replaced by a rename.
            path.write_bytes(content)
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
