"""The guard that no child process outlives the one that started it.

A `Warden` starts children in sessions of their own and tells a small companion
process (`reaper`) about each *before* the child becomes what it shall be: the child
begins as a shell that waits for a go-ahead on its standard input. Whoever is killed,
and whenever, no child remains. It needs nothing but pipes, so it works on macOS too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from devcluster.errors import ProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REAPER = Path(__file__).with_name("reaper.py")
# Reads the go-ahead, or ends with its giver.
_GATE = 'read -r _ && exec "$@" </dev/null'
_REAPER_SECONDS = 10.0


class Warden:
    """Starts children that end when this process ends, however it ends."""

    def __init__(self) -> None:
        """Start the companion process."""
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_REAPER), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def spawn(
        self,
        argv: Sequence[str],
        *,
        output: IO[bytes],
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own.

        Args:
            argv: Program and arguments.
            output: Takes standard output and standard error.
            env: The whole environment of the child.
            cwd: Its working directory.

        Returns:
            The child; `release` is to be called once it has ended.
        """
        child = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "devcluster", *argv],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )
        self._tell("+", child.pid)
        with self._lock:
            self._groups.add(child.pid)
        if child.stdin:
            with child.stdin as gate:
                gate.write(b"go\n")
        return child

    def release(self, child: subprocess.Popen[bytes]) -> None:
        """End what is left of the group of a child that has ended, and forget it."""
        with self._lock:
            if child.pid not in self._groups:
                return  # released before: the number may be someone else's by now
            self._groups.remove(child.pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        self._tell("-", child.pid)

    def close(self) -> None:
        """End every child that is left, and the companion process."""
        with self._lock:
            if self._reaper.stdin and not self._reaper.stdin.closed:
                self._reaper.stdin.close()
        self._reaper.wait(_REAPER_SECONDS)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close."""
        self.close()

    def _tell(self, sign: str, group: int) -> None:
        with self._lock:
            pipe = self._reaper.stdin
            if pipe is None or pipe.closed:
                if sign == "-":
                    return
                message = "the warden is closed: nothing can be started any more"
                raise ProcessError(message)
            pipe.write(f"{sign}{group}\n".encode())
