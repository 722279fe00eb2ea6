"""Real processes: they start, stop, pause, come back, and never outlive their parent."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.errors import ProcessError
from devcluster.process import Process
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from devcluster.warden import Warden

WITHIN = 10.0

# Starts children without end, one of them deaf to SIGTERM and with a child of its own. Python drops an interrupt
# that comes while a finalizer runs, and that of a `Popen` would run at every turn: so each one is kept. And where
# the tests were started in the background, the shell has made all that they start deaf to SIGINT.
PARENT = """
import os, signal, sys
from devcluster.warden import Warden

signal.signal(signal.SIGINT, signal.default_int_handler)
kept = []
marker = sys.argv[1]
stubborn = f"trap '' TERM; sleep 300 & echo {marker}; while :; do sleep 300; done"
warden = Warden()
with open(os.devnull, "wb") as output:
    warden.spawn(["/bin/sh", "-c", stubborn, marker], output=output, env=os.environ)
    while True:
        kept.append(warden.spawn(["/bin/sh", "-c", "sleep 300; :", marker], output=output, env=os.environ))
        print(kept[-1].pid, flush=True)
"""


@pytest.fixture
def warden() -> Iterator[Warden]:
    with Warden() as warden:
        yield warden


def process(warden: Warden, tmp_path: Path, script: str, **options: object) -> Process:
    """Describe a process of a shell script."""
    return Process("script", ["/bin/sh", "-c", script], log=tmp_path / "log", warden=warden, **options)  # type: ignore[arg-type]


def processes_with(marker: str) -> list[str]:
    """Return the lines of `ps` that carry a marker."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)  # noqa: S607
    return [line for line in listed.stdout.splitlines() if marker in line]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_a_killed_parent_leaves_nothing(end: signal.Signals) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    hack = Path(sys.modules[Warden.__module__].__file__ or "").parents[1]
    parent = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", PARENT, marker],
        env={**os.environ, "PYTHONPATH": str(hack)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout
    try:
        with parent.stdout:
            for _child in range(5):
                parent.stdout.readline()
            # In the midst of starting children, whatever step it is at.
            parent.send_signal(end)
            parent.wait(WITHIN)
    finally:
        # One that has not ended would go on starting children.
        parent.kill()
    wait_until(lambda: not processes_with(marker), within=WITHIN, what="all children are gone")


def test_closing_the_warden_ends_what_is_left(tmp_path: Path) -> None:
    with Warden() as warden:
        left = process(warden, tmp_path, "sleep 300")
        left.start()
        assert left.alive
    assert left.wait(WITHIN) == -signal.SIGKILL
    with pytest.raises(ProcessError, match="closed"):
        left.start()


def test_stop_ends_the_whole_group(warden: Warden, tmp_path: Path) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    running = process(warden, tmp_path, f"sh -c 'sleep 300; :' {marker} & wait")
    running.start()
    wait_until(lambda: processes_with(marker), within=WITHIN, what="its child runs")
    assert running.stop() == -signal.SIGTERM
    wait_until(lambda: not processes_with(marker), within=WITHIN, what="its child is gone")


def test_a_deaf_process_is_killed_after_its_grace(warden: Warden, tmp_path: Path) -> None:
    deaf = process(warden, tmp_path, "trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    deaf.start()
    wait_until(lambda: deaf.tail() == "deaf", within=WITHIN, what="it is deaf")
    assert deaf.stop(grace=0.1) == -signal.SIGKILL


def test_a_paused_process_halts_and_goes_on(warden: Warden, tmp_path: Path) -> None:
    # No shell loop: a shell that is halted while its child begins (vfork) waits for that child, and shows so for ever.
    ticks = "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)"
    counting = process(warden, tmp_path, f'exec {shlex.quote(sys.executable)} -c "{ticks}"')
    counting.start()
    wait_until(counting.tail, within=WITHIN, what="it ticks")
    counting.pause()

    def state() -> str:
        command = ["ps", "-o", "stat=", "-p", str(counting.pid)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603

    wait_until(lambda: state().startswith("T"), within=WITHIN, what="it is halted")
    assert counting.alive
    size = counting.log.stat().st_size
    counting.resume()
    wait_until(lambda: counting.log.stat().st_size > size, within=WITHIN, what="it ticks again")
    counting.pause()
    assert counting.stop() == -signal.SIGTERM


def test_a_start_that_fails_shows_the_log(warden: Warden, tmp_path: Path) -> None:
    failing = process(warden, tmp_path, "echo no such luck; exit 3", ready=lambda: False)
    with pytest.raises(ProcessError, match=r"(?s)ended with 3.*no such luck"):
        failing.start()


def test_a_start_that_hangs_shows_the_log(warden: Warden, tmp_path: Path) -> None:
    ready = tmp_path / "never"
    hanging = process(warden, tmp_path, "echo still trying; sleep 300", ready=ready.exists, ready_within=0.5)
    with pytest.raises(ProcessError, match=r"(?s)script is ready.*still trying"):
        hanging.start()


def test_the_users_kubeconfig_is_out_of_reach(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    told = process(warden, tmp_path, "echo $KUBECONFIG; sleep 300")
    told.start()
    wait_until(lambda: told.tail() != "", within=WITHIN, what="it has told")
    assert told.tail() == os.devnull


def test_a_supervised_process_comes_back(warden: Warden, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/again && sleep 300; touch {tmp_path}/again; exit 7"
    supervised = Supervised(process(warden, tmp_path, script))
    wait_until(lambda: supervised.exits, within=WITHIN, what="the first run has ended")
    wait_until(lambda: supervised.process.alive, within=WITHIN, what="it runs again")
    supervised.process.kill()
    wait_until(lambda: len(supervised.exits) == 2, within=WITHIN, what="the second run has ended")
    wait_until(lambda: supervised.process.alive, within=WITHIN, what="it runs once more")
    supervised.stop()
    assert supervised.exits == [7, -signal.SIGKILL, -signal.SIGTERM]
    assert not supervised.process.alive


def test_without_restart_it_runs_once(warden: Warden, tmp_path: Path) -> None:
    supervised = Supervised(process(warden, tmp_path, "exit 4"), restart=False)
    wait_until(lambda: supervised.exits, within=WITHIN, what="it has ended")
    supervised.stop()
    assert supervised.exits == [4]
