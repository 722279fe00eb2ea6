"""Built-in queries on pods that a real kube-controller-manager made, and a kubelet's own metrics."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.waiting import wait_until
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.pod_names import pod_regex
from twinops.core.observation import Workload
from twinops.ports.metrics import SourceAccess

SECONDS = 30.0


def manifest(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the API path's end and an object of this kind with two pods."""
    labels = {"app": name[:63]}
    template: dict[str, Any] = {
        "metadata": {"labels": labels},
        "spec": {"nodeName": "node-0", "containers": [{"name": "main", "image": "x"}]},
    }
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template, "replicas": 2}
    if kind == "StatefulSet":
        spec["serviceName"] = "none"
    if kind == "DaemonSet":
        del spec["replicas"]
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
        spec = {"template": template, "parallelism": 2, "completions": 2, "completionMode": "Indexed"}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return f"/apis/{group}/namespaces", {"kind": kind, "apiVersion": group, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param("Deployment", "checkout", id="deployment"),
        *(
            pytest.param("Deployment", "a" * length, id=f"deployment of {length} letters")
            for length in (46, 47, 50, 56, 57, 58, 63)
        ),
        pytest.param("StatefulSet", "checkout", id="stateful set"),
        pytest.param("ReplicaSet", "checkout", id="replica set"),
        pytest.param("ReplicaSet", "a" * 60, id="replica set of 60 letters"),
        pytest.param("DaemonSet", "checkout", id="daemon set"),
        pytest.param("Job", "checkout", id="indexed job"),
    ],
)
def test_real_pods_are_matched(cluster: DevCluster, namespace: str, kind: str, name: str) -> None:
    path, body = manifest(kind, name)
    collection = {"Job": "jobs"}.get(kind, f"{kind.lower()}s")
    cluster.api.create(f"{path}/{namespace}/{collection}", body)

    def pods() -> list[str]:
        return [pod["metadata"]["name"] for pod in cluster.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]]

    wanted = 1 if kind == "DaemonSet" else 2
    names = wait_until(
        lambda: found if len(found := pods()) >= wanted else None, within=SECONDS, what=f"pods of {kind} {name}"
    )

    regex = pod_regex(TargetRef(kind=kind, name=name))
    assert [pod for pod in names if not re.fullmatch(regex, pod)] == []
    if len(name) < 50:
        longer = pod_regex(TargetRef(kind=kind, name=f"{name}-worker"))
        assert [pod for pod in names if re.fullmatch(longer, pod)] == []


async def test_cpu_and_memory_of_a_deployment(cluster: DevCluster, namespace: str) -> None:
    for name in ("checkout", "checkout-worker"):
        path, body = manifest("Deployment", name)
        cluster.api.create(f"{path}/{namespace}/deployments", body)

    def pods() -> list[str]:
        return [pod["metadata"]["name"] for pod in cluster.api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]]

    for pod in wait_until(lambda: found if len(found := pods()) == 4 else None, within=SECONDS, what="four pods"):
        mine = "worker" not in pod
        cluster.set_pod_usage(namespace, pod, cpu="200m" if mine else "5", memory="64Mi" if mine else "4Gi")

    target = {"name": "checkout"}
    spec = DigitalTwinSpec.from_wire(
        {"source": {"systemType": "Worker", "targetRef": target}, "syncFrequencySeconds": 5}
    )
    workload = Workload(TargetRef(name="checkout"), "uid", 2, 2, 0.5, 128 * 2**20, "limits", "requests")
    source = SourceAccess("kubelet", MetricsSourceSpec(url=cluster.prometheus_url, scrape_interval_seconds=2))
    backend = PrometheusBackend()
    gatherer = Gatherer(backend, PrometheusTexts())
    end = time.monotonic() + SECONDS
    while True:
        gathered = await gatherer.gather(
            spec, source, namespace=namespace, workload=workload, previous=[], now=time.time()
        )
        cpu, memory = gathered.samples["cpuUsage"], gathered.samples["memoryUsage"]
        if cpu.value == pytest.approx(40, abs=2) and memory.value == pytest.approx(50):
            break
        assert time.monotonic() < end, (cpu, memory)
        await asyncio.sleep(0.5)
    await backend.aclose()

    assert (cpu.query, memory.query) == ("container-cpu", "container-memory")
    assert (cpu.unit, memory.unit) == ("% of limits", "% of requests")
