"""What tests do to a control plane, it gets over."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from devcluster import daemon
from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from devcluster.state import State
from devcluster.waiting import wait_until

WITHIN = 30.0
TOOL = Path(daemon.__file__).parent


def write(cluster: DevCluster, namespace: str, name: str) -> bool:
    """Create a ConfigMap."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    return bool(cluster.api.create(path, {"metadata": {"name": name}}))


def test_etcd_goes_and_comes_back(cluster: DevCluster, namespace: str) -> None:
    cluster.etcd.stop()
    try:
        assert cluster.apiserver.alive
        wait_until(lambda: not cluster.api.ready(), within=WITHIN, what="the API server notices")
    finally:
        cluster.etcd.start()
    wait_until(
        lambda: write(cluster, namespace, "after"), within=WITHIN, what="a write works", retry_on=(ApiError, OSError)
    )


def test_the_api_server_goes_and_comes_back_at_its_address(cluster: DevCluster, namespace: str) -> None:
    cluster.apiserver.kill()
    cluster.apiserver.start()
    assert write(cluster, namespace, "after")
    # The controller manager is back at work, too.
    cluster.kubectl("create", "namespace", f"{namespace}-more")
    wait_until(
        lambda: cluster.api.get(f"/api/v1/namespaces/{namespace}-more/serviceaccounts/default"),
        within=WITHIN,
        what="the controller manager works",
        retry_on=(ApiError,),
    )
    cluster.api.delete(f"/api/v1/namespaces/{namespace}-more")


def test_a_supervised_program_acts_as_its_service_account(cluster: DevCluster, namespace: str) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default")
    whoami = [str(cluster.bin("kubectl")), "auth", "whoami", "-o", "json"]
    program = cluster.supervise("whoami", whoami, env={"KUBECONFIG": str(kubeconfig)}, restart=False)
    wait_until(lambda: program.exits, within=WITHIN, what="it has ended")
    told = json.loads(program.process.log.read_text())
    assert told["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert program.exits == [0]


def tool(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line tool."""
    return subprocess.run(  # noqa: S603
        [sys.executable, str(TOOL), command, "--dir", str(directory)], capture_output=True, text=True, check=False
    )


def up(directory: Path) -> State:
    """Bring a cluster up and return what is noted about it."""
    done = tool("up", directory)
    assert done.returncode == 0, done.stderr
    state = State.read(directory)
    assert state
    return state


def test_up_and_down_and_killed_in_between(cluster: DevCluster, tmp_path: Path) -> None:
    assert cluster.apiserver.alive  # what was missing is built
    first = up(tmp_path)
    assert "is up already" in tool("up", tmp_path).stderr
    assert tool("status", tmp_path).returncode == 0
    assert f"export KUBECONFIG={tmp_path}" in tool("env", tmp_path).stdout
    line = next(line for line in tool("up", tmp_path).stderr.splitlines() if "use it" in line).split(maxsplit=2)[2]
    assert as_printed(line, "kubectl get namespaces -o name").splitlines()[0] == "namespace/default"

    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(exists, first.processes.values())), within=WITHIN, what="all of it is gone")
    assert tool("status", tmp_path).returncode == 1

    second = up(tmp_path)
    assert "is down" in tool("down", tmp_path).stderr
    assert not any(map(exists, second.processes.values()))
    assert "no cluster" in tool("down", tmp_path).stderr
    kubectl = shlex.quote(str(cluster.bin("kubectl")))
    told = as_printed(line, f"{kubectl} get namespaces 2>&1 || true")
    assert "no-local-cluster-is-up" in told, "kubectl looks nowhere else"


def as_printed(line: str, then: str) -> str:
    """Type this line into another shell, in another folder, with no environment activated, and then a command."""
    done = subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", f"{line}\n{then}"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": "/home/me/.kube/production"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def exists(pid: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
