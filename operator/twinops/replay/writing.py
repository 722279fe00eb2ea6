"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from twinops.errors import InputError

FORMS = ("png", "svg", "html")
"""Endings of pictures."""

STDOUT = "-"


def check_writable(path: Path, option: str) -> None:
    """Tell early that a file could not be written, before long work is done for it.

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
    """Write a file so that nobody ever sees half of it: beside its place first, then moved there.

    Raises:
        InputError: it cannot be written; what stood there before still does.
    """
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe has no place to be moved to.
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
