"""Free TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux (32768+) and macOS (49152+) take the ports of
# outgoing connections: a stopped server then finds its port free when it comes back.
_LOWEST, _HIGHEST = 20_000, 32_000

_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens on and that was not given out before."""
    while True:
        port = random.randrange(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a connection of the past in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
