"""A process that outlives its parent just long enough to end what the parent started.

Run as a script, with the parent holding the other end of standard input. Lines
`+PGID` and `-PGID` tell which process groups are alive. When the parent ends, however
it ends (`kill -9` included), standard input closes and every group left is killed.

Only the standard library may be imported here: it runs without site-packages.
"""

from __future__ import annotations

import os
import select
import signal
import sys

# A fork of the parent may hold the pipe open; then the change of parent tells.
_PARENT_CHECK_SECONDS = 0.5
_CHUNK_BYTES = 65_536


def main(parent: int) -> None:
    """Follow standard input until it closes or `parent` is gone, then kill."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for group in _groups_left(parent):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _groups_left(parent: int) -> set[int]:
    groups: set[int] = set()
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], _PARENT_CHECK_SECONDS)
        chunk = os.read(0, _CHUNK_BYTES) if readable else b""
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            group = int(line[1:])
            if line.startswith(b"+"):
                groups.add(group)
            else:
                groups.discard(group)
        if (readable and not chunk) or (not readable and os.getppid() != parent):
            return groups


if __name__ == "__main__":
    main(int(sys.argv[1]))
