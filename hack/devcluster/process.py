"""A child process with a name, a log file and an idea of when it is ready."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from devcluster.errors import DeadlineError, ProcessError
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from devcluster.warden import Warden

STOP_SECONDS = 10.0
_TAIL_BYTES = 16_384


class Process:
    """A child that can be started, stopped, paused and started again.

    Attributes:
        name: What it is called in messages.
        argv: Program and arguments; may be changed while it is stopped.
        log: Where its output is appended.
    """

    def __init__(  # noqa: PLR0913 - all but two are told by name
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        warden: Warden,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Callable[[], bool] | None = None,
        ready_within: float = 60.0,
        grace: float = STOP_SECONDS,
    ) -> None:
        """Describe the process; nothing is started yet.

        Args:
            name: What it is called in messages.
            argv: Program and arguments.
            log: Where its output is appended.
            warden: Starts it, and ends it when this process is gone.
            env: Variables added to the inherited environment.
            cwd: Working directory.
            ready: Whether it is ready to serve; errors of I/O count as not yet.
            ready_within: Deadline of `start` for that, in seconds.
            grace: Seconds that `stop` leaves it to end by itself.
        """
        self.name = name
        self.argv = list(argv)
        self.log = log
        self._warden = warden
        self._env = dict(env or {})
        self._cwd = cwd
        self._ready = ready
        self._ready_within = ready_within
        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while started (also the id of its process group)."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit status of the last run as `subprocess` gives it, None before its end."""
        return self._child.poll() if self._child else None

    def launch(self) -> None:
        """Start it without waiting for it to be ready."""
        if self.alive:
            return
        if self._child:
            self._warden.release(self._child)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._child = self._warden.spawn(
                self.argv,
                output=output,
                # Nobody finds the user's own cluster by accident.
                env={**os.environ, "KUBECONFIG": os.devnull, **self._env},
                cwd=self._cwd,
            )

    def wait_ready(self) -> None:
        """Wait until it is ready.

        Raises:
            ProcessError: It ended, or was not ready in time; the end of its log is told.
        """
        try:
            wait_until(self._is_ready, within=self._ready_within, what=f"{self.name} is ready")
        except DeadlineError as error:
            message = f"{error}\n{self._evidence()}"
            raise ProcessError(message) from error

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def stop(self, grace: float | None = None) -> int | None:
        """End it by SIGTERM, after its grace by SIGKILL, with its whole group.

        Args:
            grace: Seconds, where other than usual.

        Returns:
            The exit status, None if it was never started.
        """
        if self.alive:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        return self._end(self._grace if grace is None else grace)

    def kill(self) -> int | None:
        """End it and its whole group by SIGKILL; returns the exit status."""
        self.send(signal.SIGKILL)
        return self._end(STOP_SECONDS)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Halt it by SIGSTOP: its sockets stay open and nothing answers."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.send(signal.SIGCONT)

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to its process group; no error if it has ended."""
        if self._child and self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal_number)

    def wait(self, within: float) -> int:
        """Wait for its end and return its exit status.

        Raises:
            ProcessError: It was never started, or still runs after `within` seconds.
        """
        if self._child is None:
            message = f"{self.name} was never started"
            raise ProcessError(message)
        try:
            status = self._child.wait(within)
        except subprocess.TimeoutExpired as error:
            message = f"{self.name} still runs after {within:g} s\n{self._evidence()}"
            raise ProcessError(message) from error
        self._warden.release(self._child)
        return status

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _is_ready(self) -> bool:
        if not self.alive:
            message = f"{self.name} ended with {self.returncode}\n{self._evidence()}"
            raise ProcessError(message)
        try:
            return self._ready is None or self._ready()
        except OSError:
            return False

    def _end(self, grace: float) -> int | None:
        child = self._child
        if child is None:
            return None
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            child.wait()
        self._warden.release(child)
        return child.returncode

    def _evidence(self) -> str:
        return f"--- end of {self.log} ---\n{self.tail()}"
