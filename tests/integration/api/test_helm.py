"""The chart on the real API server: it installs, upgrades, and grants exactly what its README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError, CommandError
from devcluster.options import ClusterOptions
from devcluster.waiting import wait_until
from support.chart import CHART, ROOT, install_chart, operator_environment, render
from support.manifests import SPEC, merged

Json = dict[str, Any]

SOURCE = "/apis/twinops.dev/v1alpha1/metricssources/default"


class Helm:
    """Runs helm against a cluster, for one release."""

    def __init__(self, cluster: DevCluster, home: Path) -> None:
        self._cluster = cluster
        self._env = os.environ | cluster.environment | {"HELM_CACHE_HOME": str(home), "HELM_DATA_HOME": str(home)}

    def __call__(self, verb: str, values: Json | None = None) -> str:
        arguments = [] if values is None else [str(CHART), "-f", "-"]
        if verb == "install":
            arguments.append("--create-namespace")
        done = subprocess.run(  # noqa: S603 - our own helm
            [self._cluster.bin("helm"), verb, "twinops", *arguments, "-n", "twinops-system"],
            env=self._env,
            # Nobody runs the pods of a Job here; tests/integration/test_uninstall.py does.
            input=json.dumps({"uninstall": {"giveBack": False}, **(values or {})}),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[DevCluster]:
    """A cluster that knows nothing of us: the definitions would bind the shared one to this release."""
    options = ClusterOptions(kwok=False, metrics_server=False, prometheus=None)
    with DevCluster(tmp_path / "cluster", options) as cluster:
        yield cluster


def source(url: str) -> Json:
    return {"metricsSource": {"url": url}}


def test_install_upgrade_uninstall(fresh: DevCluster, tmp_path: Path) -> None:
    helm = Helm(fresh, tmp_path)

    notes = helm("install", source("http://one"))
    assert "kubectl -n twinops-system rollout status deployment/twinops" in notes
    first = fresh.api.get(SOURCE)
    assert first["spec"]["url"] == "http://one"

    helm("upgrade", source("http://one"))
    assert fresh.api.get(SOURCE)["metadata"]["uid"] == first["metadata"]["uid"], "an upgrade must not recreate it"

    for url in ("http://two", "http://three"):
        helm("upgrade", source(url))
        assert fresh.api.get(SOURCE)["spec"]["url"] == url

    twin = {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "checkout"}, "spec": SPEC}
    fresh.api.create("/apis/twinops.dev/v1alpha1/namespaces/default/digitaltwins", twin)
    helm("uninstall")
    left = fresh.api.get("/apis/twinops.dev/v1alpha1/digitaltwins")["items"]
    assert [one["metadata"]["name"] for one in left] == ["checkout"], "definitions and twins are kept"


def test_a_source_that_comes_with_an_upgrade_is_an_ordinary_part(fresh: DevCluster, tmp_path: Path) -> None:
    helm = Helm(fresh, tmp_path)
    assert "There is no MetricsSource yet" in helm("install", {})
    helm("upgrade", source("http://one"))
    uid = fresh.api.get(SOURCE)["metadata"]["uid"]
    helm("upgrade", source("http://two"))
    after = fresh.api.get(SOURCE)
    assert (after["metadata"]["uid"], after["spec"]["url"]) == (uid, "http://two")
    helm("uninstall")
    assert fresh.api.get("/apis/twinops.dev/v1alpha1/metricssources")["items"] == []


@pytest.mark.usefixtures("definitions")
def test_the_deployment_passes_restricted_pod_security(cluster: DevCluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    deployment = next(one for one in render(cluster.bin("helm"), "r", namespace) if one["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"]}
    pod["spec"]["serviceAccountName"] = "default"
    cluster.kubectl("apply", "--dry-run=server", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(CommandError, match="violates PodSecurity"):
        cluster.kubectl("apply", "--dry-run=server", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))


@pytest.mark.usefixtures("definitions")
def test_everything_is_accepted_by_the_api_server(cluster: DevCluster, namespace: str) -> None:
    values = {
        "metricsSource": {"url": "https://p", "name": namespace, "extraSpec": {"tls": {"insecureSkipVerify": True}}},
        "watchNamespaces": [namespace],
        "podLabels": {"team": "sre"},
        "podAnnotations": {"example.com/a": "b"},
        "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "operator": {"extraEnv": [{"name": "TZ", "value": "UTC"}]},
        "rbac": {"extraObserveRules": [{"apiGroups": ["a.b"], "resources": ["c"], "verbs": ["get"]}]},
        "serviceAccount": {"annotations": {"a": "b"}},
    }
    manifest = yaml.safe_dump_all(render(cluster.bin("helm"), "r", namespace, values))
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest)


ALLOWED = [
    "get twinops.dev digitaltwins",
    "list twinops.dev digitaltwins",
    "watch twinops.dev digitaltwins",
    "patch twinops.dev digitaltwins",
    "update twinops.dev digitaltwins/status",
    "get apps deployments",
    "watch apps statefulsets",
    "get apps deployments/scale",
    "get argoproj.io rollouts/scale",
    "watch autoscaling horizontalpodautoscalers",
    "list keda.sh scaledobjects",
    "watch keda.sh scaledobjects",
    "list core pods",
    "watch core pods",
    "create core events",
    "patch core events",
]
CORRECTING = [
    "patch autoscaling horizontalpodautoscalers",
    "patch apps deployments/scale",
    "patch argoproj.io rollouts/scale",
]
SOURCES = [
    "list twinops.dev metricssources",
    "watch twinops.dev metricssources",
    "update twinops.dev metricssources/status",
]
OWN_NAMESPACE = ["create coordination.k8s.io leases", "get core secrets"]
DENIED = [
    "create twinops.dev digitaltwins",
    "delete twinops.dev digitaltwins",
    "update twinops.dev digitaltwins",
    "patch twinops.dev metricssources",
    "patch apps deployments",
    "update apps deployments/scale",
    "get argoproj.io rollouts",
    "update autoscaling horizontalpodautoscalers",
    "delete autoscaling horizontalpodautoscalers",
    "patch keda.sh scaledobjects",
    "patch twinops.dev digitaltwins/status",
    "patch apps replicasets",
    "list core secrets",
    "watch core secrets",
    "get core pods",
    "get core configmaps",
    "list core namespaces",
    "impersonate core serviceaccounts",
    "list coordination.k8s.io leases",
    "delete coordination.k8s.io leases",
    "list apiextensions.k8s.io customresourcedefinitions",
]


class Account:
    """What a ServiceAccount may do, as the API server's authorizer says."""

    def __init__(self, cluster: DevCluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        self._user = f"system:serviceaccount:{namespace}:{name}"

    def can(self, right: str, namespace: str, name: str = "") -> bool:
        """Ask about a right, written as verb, group and resource; ``core`` is the group without a name."""
        verb, group, resource = right.split()
        resource, _, subresource = resource.partition("/")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": self._user,
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "group": "" if group == "core" else group,
                    "resource": resource,
                    "subresource": subresource,
                    "name": name,
                },
            },
        }
        answer = self._cluster.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def allowed(self, rights: list[str], namespace: str) -> list[str]:
        return [right for right in rights if self.can(right, namespace)]


def test_the_account_has_the_rights_that_the_readme_lists(cluster: DevCluster, namespace: str) -> None:
    account = Account(cluster, namespace, install_chart(cluster, namespace))
    wanted = [*ALLOWED, *CORRECTING, *SOURCES, *OWN_NAMESPACE]
    assert account.allowed([*wanted, *DENIED], namespace) == wanted

    lease = operator_environment(cluster, namespace)["TWINOPS_LEASE_NAME"]
    assert account.can("update coordination.k8s.io leases", namespace, lease)
    assert not account.can("update coordination.k8s.io leases", namespace, "another")
    # Twins of other namespaces are its business, their Secrets and Leases are not.
    assert account.allowed([*ALLOWED, *OWN_NAMESPACE], "kube-system") == ALLOWED
    assert not account.can("update coordination.k8s.io leases", "kube-system", lease)


def test_watching_one_namespace_ends_at_its_border(cluster: DevCluster, namespace: str) -> None:
    values = {"watchNamespaces": [namespace], "rbac": {"correct": False}}
    account = Account(cluster, namespace, install_chart(cluster, namespace, values))
    assert account.allowed([*ALLOWED, *CORRECTING], namespace) == ALLOWED
    assert account.allowed([*ALLOWED, *CORRECTING, *OWN_NAMESPACE], "default") == []
    assert account.allowed(SOURCES, "default") == SOURCES


@pytest.mark.parametrize("scoped", [pytest.param(False, id="whole-cluster"), pytest.param(True, id="one-namespace")])
def test_the_operator_asks_for_nothing_it_has_no_right_to(cluster: DevCluster, namespace: str, scoped: bool) -> None:  # noqa: FBT001 - a table case
    values: Json = {"metricsSource": {"url": cluster.prometheus_url, "name": namespace}}
    if scoped:
        values["watchNamespaces"] = [namespace]
    account = install_chart(cluster, namespace, values)
    kubeconfig = cluster.service_account_kubeconfig(namespace, account)
    environment = operator_environment(cluster, namespace, values) | {
        "TWINOPS_LISTEN_HOST": "127.0.0.1",
        "TWINOPS_LISTEN_PORT": "0",
    }
    argv = [sys.executable, "-m", "twinops.cli.main", "run", "--kubeconfig", str(kubeconfig)]
    operator = cluster.supervise(f"operator-{namespace}", argv, env=environment)
    try:
        wait_until(lambda: "leading" in operator.process.tail(), within=30, what="the operator leads")
        cluster.kubectl("apply", "-n", namespace, "-f", str(ROOT / "examples" / "workload.yaml"))
        twin = merged(SPEC, {"source": {"metricsSourceRef": {"name": namespace}}})
        path = f"/apis/twinops.dev/v1alpha1/namespaces/{namespace}/digitaltwins"
        body = {"apiVersion": "twinops.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "checkout"}}
        cluster.api.create(path, body | {"spec": twin})
        for kind in (f"{path}/checkout", f"/apis/twinops.dev/v1alpha1/metricssources/{namespace}"):
            wait_until(partial(ready, cluster, kind), within=30, what=f"{kind} is ready", retry_on=(ApiError,))
        # Deleting needs the finalizer to be taken off.
        cluster.kubectl("delete", "dt", "checkout", "-n", namespace, "--timeout=20s")
    finally:
        operator.stop()
        cluster.api.delete(f"/apis/twinops.dev/v1alpha1/metricssources/{namespace}")
    asked = [
        event
        for event in cluster.audit_events(reads=True)
        if event["user"]["username"] == f"system:serviceaccount:{namespace}:{account}"
    ]
    assert {"watch", "patch", "update"} <= {event["verb"] for event in asked}
    assert [event for event in asked if event["annotations"]["authorization.k8s.io/decision"] != "allow"] == []


def ready(cluster: DevCluster, path: str) -> bool:
    conditions = cluster.api.get(path).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
