"""A cluster that runs on its own, between `up` and `down`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from devcluster.cluster import DevCluster
from devcluster.errors import DeadlineError, ProcessError
from devcluster.state import State
from devcluster.text import last_lines
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

_UP_SECONDS = 180.0
_DOWN_SECONDS = 30.0
_TOUCH_SECONDS = 2.0
_NAP_SECONDS = 1.0


def running(directory: Path) -> State | None:
    """Return the cluster that is up in a folder, None if there is none."""
    return State.read(directory) if _is_held(directory) else None


def serve(directory: Path, on_ready: Callable[[State], None]) -> None:
    """Run a cluster in this process until SIGTERM or Ctrl-C.

    Args:
        directory: The cluster's folder.
        on_ready: Called once everything works.

    Raises:
        ProcessError: Another process runs a cluster in that folder.
    """
    asked = _interrupts()
    directory.mkdir(parents=True, exist_ok=True)
    # Held for as long as this process lives, however it ends: that is what "up" means.
    lock = _lock(directory)
    try:
        # Others touch it for a moment to see whether it is held.
        lock.acquire(timeout=_TOUCH_SECONDS)
    except Timeout as error:
        raise ProcessError(f"a cluster is up already in {directory}") from error
    State.forget(directory)
    try:
        with suppress(KeyboardInterrupt), DevCluster(directory) as cluster:
            state = State.of(cluster, os.getpid())
            state.write(directory)
            on_ready(state)
            while not asked.is_set():
                time.sleep(_NAP_SECONDS)
    finally:
        State.forget(directory)
        lock.release()


def _interrupts() -> threading.Event:
    """Let SIGTERM and SIGINT interrupt whatever is under way; the event tells of one that Python has dropped.

    It does so with an exception that is raised while a finalizer or a callback runs.
    """
    asked = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        asked.set()
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    return asked


def start(directory: Path) -> State:
    """Start a process that serves a cluster, and return when the cluster works.

    Raises:
        ProcessError: It did not come up; the end of its log is told.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "devcluster.log"
    with log.open("ab") as output:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent), "serve", "--dir", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answer() -> State | None:
        if server.poll() is not None:
            raise ProcessError(f"the cluster did not come up:\n{last_lines(log.read_text())}")
        state = State.read(directory)
        # What a killed one left is not ours.
        return state if state and state.pid == server.pid else None

    try:
        return wait_until(answer, within=_UP_SECONDS, what="the cluster is up")
    except BaseException:
        server.terminate()
        server.wait(_DOWN_SECONDS)
        raise


def stop(directory: Path) -> bool:
    """Stop the cluster of a folder; return whether there was one."""
    if not _is_held(directory):
        return False
    # It may still be on its way up.
    state = wait_until(lambda: State.read(directory), within=_UP_SECONDS, what="the cluster is up")
    os.kill(state.pid, signal.SIGTERM)
    try:
        wait_until(lambda: not _is_held(directory), within=_DOWN_SECONDS, what="the cluster is down")
    except DeadlineError:
        # Its children end with it.
        os.kill(state.pid, signal.SIGKILL)
        wait_until(lambda: not _is_held(directory), within=_DOWN_SECONDS, what="the cluster is killed")
    State.forget(directory)
    return True


def _is_held(directory: Path) -> bool:
    lock = _lock(directory)
    if not directory.exists():
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _lock(directory: Path) -> FileLock:
    return FileLock(directory / "lock")
