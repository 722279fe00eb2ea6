"""However ``twinops run`` ends: the right exit status, soon, and nothing but JSON lines on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.waiting import wait_until
from support.chart import operator_environment
from support.operator import install
from support.shop import Shop
from support.silent import silent_server

WITHIN = 25.0
Line = dict[str, Any]


class Run:
    """One run of the command, whose output is a file."""

    def __init__(self, log: Path, *arguments: str, code: str = "", **env: str) -> None:
        self._log = log
        started = ["-c", code] if code else ["-m", "twinops.cli.main"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TWINOPS_", "KUBE"))}
        with log.open("wb") as output:
            self.child = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, *started, "run", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**kept, **env, "TWINOPS_LISTEN_HOST": "127.0.0.1", "TWINOPS_LISTEN_PORT": "0"},
            )

    def lines(self) -> list[Line]:
        """Return every line that is complete; one that is not JSON fails the test."""
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def until(self, holds: Callable[[Line], bool], what: str) -> None:
        wait_until(lambda: any(holds(line) for line in self.lines()), within=WITHIN, what=what)

    def end(self, *signals: int) -> tuple[int, float]:
        """Send these signals, and return the exit status and the seconds that it took."""
        began = time.monotonic()
        for number in signals:
            self.child.send_signal(number)
            time.sleep(0.2)
        return self.child.wait(2 * WITHIN), time.monotonic() - began


@contextmanager
def running(*arguments: Any, **env: Any) -> Iterator[Run]:
    run = Run(*arguments, **env)
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            run.child.kill()
        run.child.wait()


def kubeconfig(path: Path, url: str, user: Mapping[str, Any] | None = None) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


def test_an_api_server_that_does_not_answer(tmp_path: Path) -> None:
    with silent_server() as url:
        config = kubeconfig(tmp_path / "config", url)
        with running(tmp_path / "log", "--kubeconfig", config) as run:
            run.until(lambda line: line["event"] == "waiting for the lease", "a start")
            status, seconds = run.end(signal.SIGTERM)
    assert status == 0, run.lines()
    assert seconds < 10


def test_credentials_that_never_come(tmp_path: Path) -> None:
    exec_user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sleep",
            "args": ["600"],
            "interactiveMode": "Never",
        }
    }
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", exec_user)
    with running(tmp_path / "log", "--kubeconfig", config) as run:
        run.until(lambda line: line["event"] == "starting", "a start")
        status, seconds = run.end(signal.SIGINT, signal.SIGINT)
    assert status == 0
    assert seconds < WITHIN
    run.lines()


def test_a_signal_that_comes_before_anything_else(tmp_path: Path) -> None:
    with silent_server() as url:
        config = kubeconfig(tmp_path / "config", url)
        code = "import os, signal; from twinops.adapters import process; process.hold_signals();"
        code += "os.kill(os.getpid(), signal.SIGTERM); import sys; from twinops.cli.main import main; sys.exit(main())"
        with running(tmp_path / "log", "--kubeconfig", config, code=code) as run:
            assert run.child.wait(WITHIN) == 0
    run.lines()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        pytest.param(
            {"TWINOPS_HEARTBEAT_SECONDS": "soon"}, "TWINOPS_HEARTBEAT_SECONDS='soon' cannot be used", id="bad"
        ),
        pytest.param({}, "no way to reach a cluster", id="no-cluster"),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, env: dict[str, str], says: str) -> None:
    with running(tmp_path / "log", "--kubeconfig", str(tmp_path / "none"), **env) as run:
        assert run.child.wait(WITHIN) == 2
    assert says in run.lines()[-1]["error"]


def test_a_crash_is_one_line(tmp_path: Path) -> None:
    code = "import sys; from twinops import main as m; m.Operator.run = lambda *_: 1 / 0;"
    code += "from twinops.cli.main import main; sys.exit(main())"
    with running(tmp_path / "log", code=code) as run:
        assert run.child.wait(WITHIN) == 1
    (line,) = run.lines()
    assert (line["event"], "ZeroDivisionError" in line["exception"]) == ("crashed", True)


def test_a_loop_that_is_stuck(tmp_path: Path) -> None:
    code = "import sys, time; from twinops.adapters import process; process.hold_signals();"
    code += "from twinops import main as m; m.END_SECONDS = 1;"
    code += "m.Operator.run = lambda *_: (m.log.info('stuck'), time.sleep(600));"
    code += "from twinops.cli.main import main; sys.exit(main())"
    with running(tmp_path / "log", code=code) as run:
        run.until(lambda line: line["event"] == "stuck", "a loop that is stuck")
        status, seconds = run.end(signal.SIGTERM)
    assert status == 0
    assert seconds < 10
    assert [line["event"] for line in run.lines()] == ["stuck", "asked to end", "ended before everything was done"]


def test_a_source_that_does_not_answer(cluster: DevCluster, shop: Shop, tmp_path: Path) -> None:
    """Syncs, history reads and the source's own check all hang when the signal comes."""
    system = f"end-{uuid.uuid4().hex[:8]}"
    config = str(cluster.service_account_kubeconfig(system, install(cluster, system)))
    shop.apply(shop.deployment())
    with silent_server() as url:
        shop.source(shop.namespace, url, timeoutSeconds=60)
        twins = [shop.twin(f"twin-{number}") for number in range(20)]
        for twin in twins:
            twin["spec"]["source"]["metricsSourceRef"] = {"name": shop.namespace}
        shop.apply(*twins)
        env = operator_environment(cluster, system) | {"TWINOPS_WATCH_NAMESPACES": shop.namespace}
        with running(tmp_path / "log", "--kubeconfig", config, **env) as run:
            run.until(lambda line: line["event"] == "leading", "a leader")
            wait_until(lambda: "finalizers" in shop.get("twin-19")["metadata"], within=WITHIN, what="daemons")
            time.sleep(1)
            status, seconds = run.end(signal.SIGTERM)
    assert status == 0, run.lines()[-3:]
    assert seconds < WITHIN
    shop.cluster.kubectl("delete", "metricssource", shop.namespace)
