"""The real control plane does what the other tests take for granted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from devcluster.cluster import DevCluster
from devcluster.errors import CommandError
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

# Several times what it takes on two cores.
START_SECONDS = 20.0
# metrics-server looks every ten seconds and needs two looks.
USAGE_SECONDS = 45.0


def deployment(name: str, annotations: dict[str, str]) -> dict[str, object]:
    """Return a Deployment of one pod that requests 100m of CPU."""
    labels = {"app": name}
    container = {
        "name": "main",
        "image": "example.invalid/app",
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    pod = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"nodeName": "node-0", "containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
    }


def usage(cpu: str, memory: str) -> dict[str, str]:
    """Return the annotations that make kwok report so much."""
    return {"kwok.x-k8s.io/usage-cpu": cpu, "kwok.x-k8s.io/usage-memory": memory}


def create(cluster: DevCluster, namespace: str, body: dict[str, object]) -> None:
    """Apply an object."""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(body))


def test_starts_in_seconds_and_leaves_nothing(cluster: DevCluster, tmp_path: Path) -> None:
    # What was missing is built by now; a second cluster runs beside the first.
    assert cluster.apiserver.alive
    began = time.monotonic()
    with DevCluster(tmp_path) as second:
        assert time.monotonic() - began < START_SECONDS
        assert second.kubectl("get", "--raw", "/readyz") == "ok"
        processes = [*second.control_plane.processes, second.prometheus.process]
        assert all(process.alive for process in processes)
    assert not any(process.alive for process in processes)


def test_nodes_are_ready(cluster: DevCluster) -> None:
    listed = cluster.kubectl("get", "nodes", "--no-headers")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["node-0", "Ready"],
        ["node-1", "Ready"],
    ]


def test_a_service_account_is_denied_what_it_was_not_given(cluster: DevCluster, namespace: str) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default")
    with pytest.raises(CommandError, match="forbidden"):
        cluster.kubectl("get", "pods", kubeconfig=kubeconfig)
    user = f"system:serviceaccount:{namespace}:default"
    [event] = [e for e in cluster.audit_events() if e["user"]["username"] == user]
    assert event["responseStatus"]["code"] == 403
    assert event["objectRef"]["resource"] == "pods"


def test_the_audit_log_keeps_what_was_written_to_scale(cluster: DevCluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", {}))
    cluster.kubectl("scale", "-n", namespace, "deployment/web", "--replicas=3")
    [event] = [
        event
        for event in cluster.audit_events()
        if event["objectRef"].get("subresource") == "scale" and event["objectRef"]["namespace"] == namespace
    ]
    assert event["responseObject"]["spec"]["replicas"] == 3


def test_usage_reaches_kubectl_and_the_hpa(cluster: DevCluster, namespace: str) -> None:
    create(cluster, namespace, deployment("web", usage("90m", "48Mi")))
    cluster.kubectl("autoscale", "-n", namespace, "deployment/web", "--cpu=30%", "--min=1", "--max=3")

    def top() -> list[str]:
        return cluster.kubectl("top", "pods", "-n", namespace, "--no-headers").split()

    _pod, cpu, memory = wait_until(top, within=USAGE_SECONDS, what="the pod's usage is known", retry_on=(CommandError,))
    # A rate between two looks, rounded up.
    assert cpu in {"89m", "90m", "91m"}
    assert memory == "48Mi"

    def ready() -> bool:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
        return bool(cluster.api.get(path)["status"].get("readyReplicas") == 3)

    wait_until(ready, within=USAGE_SECONDS, what="the HPA has scaled to three ready pods")
