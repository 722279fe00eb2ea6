"""A process that is started again when it ends, as a kubelet would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from devcluster.errors import ProcessError

if TYPE_CHECKING:
    from devcluster.process import Process

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 10.0
_WATCH_SECONDS = 0.1


class Supervised:
    """Keeps a process running until it is told to stop.

    Attributes:
        process: The process; its `kill` and `pause` are faults that are got over.
        exits: Exit status of each run that ended, the oldest first (negative: a signal).
    """

    def __init__(self, process: Process, *, restart: bool = True) -> None:
        """Start the process and watch over it.

        Args:
            process: Not started yet.
            restart: Whether it is started again after it ended.
        """
        self.process = process
        self.exits: list[int] = []
        self._restart = restart
        self._stopping = threading.Event()
        process.launch()
        self._watcher = threading.Thread(target=self._watch, name=f"supervise-{process.name}", daemon=True)
        self._watcher.start()

    def stop(self) -> int | None:
        """End it for good and return its exit status."""
        self._stopping.set()
        self._watcher.join()
        running = self.process.alive
        status = self.process.stop()
        if running and status is not None:
            self.exits.append(status)
        return status

    def _watch(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._stopping.wait(_WATCH_SECONDS):
            status = self.process.returncode
            if status is None:
                continue
            self.exits.append(status)
            self.process.stop()  # sweeps what the run left of its group
            if not self._restart or self._stopping.wait(backoff):
                return
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)
            try:
                self.process.launch()
            except ProcessError:
                return  # the cluster is being stopped
