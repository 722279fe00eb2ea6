"""TwinOps leaves a cluster as it found it: by hand, and by `helm uninstall`, whose hook's own pod is run here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from devcluster.options import ClusterOptions
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.chart import CHART
from support.ground import QUICK_LEASE
from support.operator import start, twin

Json = dict[str, Any]

SYSTEM = "twinops-system"
HPA = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/checkout"
TWINS = "/apis/twinops.dev/v1alpha1/namespaces/default/digitaltwins"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/twinops"
FINALIZERS = ["twinops.dev/daemon", "twinops.dev/give-back"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A control plane of its own: the definitions go, too."""
    options = ClusterOptions(kwok=False, metrics_server=False, prometheus=None)
    with DevCluster(tmp_path_factory.mktemp("uninstall"), options) as cluster:
        yield cluster


def helm(cluster: DevCluster, *arguments: str, values: Json | None = None) -> None:
    home = str(cluster.directory / "helm")
    env = os.environ | cluster.environment | {"HELM_CACHE_HOME": home, "HELM_DATA_HOME": home}
    done = subprocess.run(  # noqa: S603 - our own helm
        [cluster.bin("helm"), *arguments, "-n", SYSTEM],
        env=env,
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def uninstall(kubeconfig: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TWINOPS_", "KUBE"))}
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "twinops.cli.main", *arguments, "--kubeconfig", str(kubeconfig)],
        env=kept | env,
        capture_output=True,
        text=True,
        check=False,
    )


def raised(cluster: DevCluster) -> None:
    """Leave what an operator leaves that has raised a minimum of 2, applied with kubectl, to 6."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}
    spec = {"minReplicas": 2, "maxReplicas": 10, "scaleTargetRef": reference}
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "checkout"}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(hpa | {"spec": spec}))
    ours = ("apply", "--server-side", "--force-conflicts", "--field-manager=twinops", "-f", "-")
    cluster.kubectl(*ours, stdin=json.dumps(hpa | {"spec": {"minReplicas": 6}}))
    held = {
        "object": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "checkout"},
        "field": "spec.minReplicas",
        "value": 2,
        "ours": 6,
        "time": "2026-01-01T00:00:00Z",
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "boundsMin": 2,
        "boundsMax": 10,
    }
    for name in ("checkout", "search"):
        spec = {"source": {"systemType": "WebService", "targetRef": {"name": name}}, "suspend": name == "search"}
        body = twin(name, "default", **spec, expectedState={"metrics": {"cpuUsage": 50}})
        cluster.api.create(TWINS, body)
    cluster.api.merge(f"{TWINS}/checkout", {"metadata": {"finalizers": FINALIZERS}})
    cluster.api.merge(f"{TWINS}/checkout/status", {"status": {"observedGeneration": 1, "originals": [held]}})


def minimum(cluster: DevCluster) -> tuple[int, set[str]]:
    """Return the HPA's minimum and who owns it."""
    body = cluster.api.get(HPA)
    entries = body["metadata"]["managedFields"]
    owners = {one["manager"] for one in entries if "f:minReplicas" in one.get("fieldsV1", {}).get("f:spec", {})}
    return body["spec"]["minReplicas"], owners


def finalizers(cluster: DevCluster) -> dict[str, list[str]]:
    return {one["metadata"]["name"]: one["metadata"].get("finalizers", []) for one in cluster.api.get(TWINS)["items"]}


@dataclass
class Kubelet:
    """Runs what a kubelet would: the operator as long as its Deployment wants one, and the hook's pod."""

    cluster: DevCluster
    operator: Supervised
    ran: list[subprocess.CompletedProcess[str]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.wait(0.2):
            with suppress(ApiError):
                if self.cluster.api.get(DEPLOYMENT)["spec"]["replicas"] == 0:
                    self.operator.stop()
            for pod in self.cluster.api.get(f"/api/v1/namespaces/{SYSTEM}/pods")["items"]:
                if pod["metadata"]["name"].startswith("twinops-uninstall") and not self.ran:
                    # As long as it runs, somebody else has to stop the operator.
                    threading.Thread(target=self._run_pod, args=(pod,), daemon=True).start()
                    self.stopping.wait(0.5)
                    self._until_ran()

    def _until_ran(self) -> None:
        while not self.ran and not self.stopping.wait(0.2):
            if self.cluster.api.get(DEPLOYMENT)["spec"]["replicas"] == 0:
                self.operator.stop()

    def _run_pod(self, pod: Json) -> None:
        container = pod["spec"]["containers"][0]
        env = {one["name"]: SYSTEM if "valueFrom" in one else one.get("value", "") for one in container["env"]}
        kubeconfig = self.cluster.service_account_kubeconfig(SYSTEM, pod["spec"]["serviceAccountName"])
        done = uninstall(kubeconfig, *container["args"], **env)
        phase = "Succeeded" if done.returncode == 0 else "Failed"
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}/status"
        self.cluster.api.merge(path, {"status": {"phase": phase}})
        self.ran.append(done)


@contextmanager
def kubelet(cluster: DevCluster, operator: Supervised) -> Iterator[Kubelet]:
    playing = Kubelet(cluster, operator)
    thread = threading.Thread(target=playing.run, daemon=True)
    thread.start()
    try:
        yield playing
    finally:
        playing.stopping.set()
        thread.join()


def test_helm_uninstall_leaves_nothing_behind(cluster: DevCluster) -> None:
    helm(cluster, "install", "twinops", str(CHART), "--create-namespace", "-f", "-")
    raised(cluster)
    env = QUICK_LEASE | {"TWINOPS_NAMESPACE": SYSTEM, "TWINOPS_LEASE_NAME": "twinops"}
    operator = start(cluster, "twinops", SYSTEM, env=env)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/twinops"
    wait_until(
        lambda: cluster.api.get(lease)["spec"].get("holderIdentity"), within=30, what="a leader", retry_on=(ApiError,)
    )
    wait_until(lambda: "twinops.dev/daemon" in finalizers(cluster)["search"], within=30, what="a served twin")

    # By hand, while an operator works: it would undo everything.
    refused = uninstall(cluster.kubeconfig, "uninstall", **env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "leads, and would undo what is done here: scale its Deployment to zero first" in refused.stderr
    shown = uninstall(cluster.kubeconfig, "uninstall", "--dry-run", "--deployment=twinops", **env)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "would scale deployment twinops from 1 to 0" in shown.stdout
    assert "default/checkout: would give back HorizontalPodAutoscaler checkout spec.minReplicas=2" in shown.stdout
    assert minimum(cluster) == (6, {"twinops"})
    assert operator.process.alive

    with kubelet(cluster, operator) as playing:
        helm(cluster, "uninstall", "twinops", "--timeout", "90s")
    (done,) = playing.ran
    assert "twins: 2; values given back: 1; twins let go: 2" in done.stdout, done.stdout + done.stderr
    assert minimum(cluster) == (2, {"kubectl-client-side-apply"})
    assert finalizers(cluster) == {"checkout": [], "search": []}
    for kind in ("clusterroles", "clusterrolebindings"):
        left = cluster.api.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}")["items"]
        assert [one for one in left if one["metadata"]["name"].startswith("twinops")] == []
    cluster.kubectl("delete", "crd", "digitaltwins.twinops.dev", "--timeout=20s")
