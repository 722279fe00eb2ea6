"""Workloads whose pods may use something else than their template says, each with an HPA on CPU."""

from __future__ import annotations

import json
from typing import Any

from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from devcluster.waiting import wait_until

Json = dict[str, Any]

USAGE = "kwok.x-k8s.io/usage-cpu"
WITHIN = 30.0

_SCALABLE: Json = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    "subresources": {
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    },
}


def container(name: str, cpu: str | None = None, **more: Any) -> Json:
    """Build a container that asks for so much CPU, or for nothing."""
    return {"name": name, "image": f"{name}:1", "resources": {"requests": {"cpu": cpu}} if cpu else {}, **more}


def template(app: str, *containers: Json, usage: str, labels: Json | None = None, **spec: Any) -> Json:
    """Build a pod template; each of its containers uses so much."""
    return {
        "metadata": {"labels": {"app": app, **(labels or {})}, "annotations": {USAGE: usage}},
        "spec": {"nodeName": "node-0", "containers": list(containers), **spec},
    }


def selecting(app: str, pods: Json, replicas: int = 2, **spec: Any) -> Json:
    """Build the spec of a workload whose pods are labelled with its name."""
    return {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": pods, **spec}


class Place:
    """A namespace in which workloads are made.

    Args:
        cluster: the control plane.
        namespace: it exists.
    """

    def __init__(self, cluster: DevCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    @classmethod
    def new(cls, cluster: DevCluster, namespace: str, labels: Json | None = None) -> Place:
        """Make the namespace, too."""
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels or {}}})
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        wait_until(lambda: cluster.api.get(path), within=WITHIN, what="a service account", retry_on=(ApiError,))
        return cls(cluster, namespace)

    def path(self, api_version: str, plural: str, name: str = "") -> str:
        """Return a path within the namespace."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def make(self, kind: str, name: str, spec: Json, *, api_version: str = "apps/v1", **meta: Any) -> Json:
        """Create an object."""
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **meta}, "spec": spec}
        return self.cluster.api.create(self.path(api_version, f"{kind.lower()}s"), body)

    def hpa(self, kind: str, name: str, api_version: str = "apps/v1") -> None:
        """Create an HPA that asks for what never scales anything."""
        utilization = {"type": "Utilization", "averageUtilization": 1000}
        spec = {
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": name},
            "minReplicas": 2,
            "maxReplicas": 2,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
        }
        body = {"metadata": {"name": name}, "spec": spec}
        self.cluster.api.create(self.path("autoscaling/v2", "horizontalpodautoscalers"), body)

    def utilization(self, name: str) -> int | None:
        """Return what the HPA says of this workload now, None while it does not."""
        body = self.cluster.api.get(self.path("autoscaling/v2", "horizontalpodautoscalers", name))
        for metric in (body.get("status") or {}).get("currentMetrics") or ():
            current = (metric or {}).get("resource", {}).get("current", {})
            if "averageUtilization" in current:
                return int(current["averageUtilization"])
        return None

    def pods(self, app: str) -> list[Json]:
        """Return the running pods with this label."""
        items = self.cluster.api.get(f"{self.path('v1', 'pods')}?labelSelector=app%3D{app}")["items"]
        return [pod for pod in items if pod["status"].get("phase") == "Running"]

    def until_running(self, app: str, count: int = 2) -> list[Json]:
        """Wait until so many pods run."""
        return wait_until(
            lambda: found if len(found := self.pods(app)) == count else None,
            within=WITHIN,
            what=f"{count} pods of {app}",
        )

    def resize(self, pod: Json, cpu: str) -> None:
        """Let a pod's first container ask for so much from now on, in place."""
        path = self.path("v1", "pods", pod["metadata"]["name"])
        spec, status = pod["spec"]["containers"][0], pod["status"]["containerStatuses"]
        # As a kubelet that can resize reports what is in force; kwok does not.
        told = [{**one, "resources": spec["resources"]} for one in status]
        self.cluster.api.merge(f"{path}/status", {"status": {"containerStatuses": told}})
        wanted = {"requests": {"cpu": cpu}}
        containers = [{**spec, "resources": wanted}, *pod["spec"]["containers"][1:]]
        self.cluster.api.merge(f"{path}/resize", {"spec": {"containers": containers}})

    def replica_set(self, owner: Json, revision: str, pods: Json, *, label: str) -> Json:
        """Create a ReplicaSet with one pod, as the controller of another kind would."""
        meta = owner["metadata"]
        controller = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        labels = {**pods["metadata"]["labels"], label: revision}
        pods = {**pods, "metadata": {**pods["metadata"], "labels": labels}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pods}
        return self.make("ReplicaSet", f"{meta['name']}-{revision}", spec, ownerReferences=[controller])

    def tell_scale(self, plural: str, api_version: str, name: str, app: str) -> None:
        """Write the status that ``/scale`` reads, as the controller of another kind would."""
        status = {"status": {"replicas": 2, "selector": f"app={app}"}}
        self.cluster.api.merge(self.path(api_version, plural, name), status)


def define(cluster: DevCluster, group: str, kind: str) -> None:
    """Serve a kind that can be scaled and that no controller looks after."""
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [_SCALABLE]},
    }
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}"
    cluster.api.apply(path, body)
    wait_until(
        lambda: any(c["type"] == "Established" and c["status"] == "True" for c in established(cluster, path)),
        within=WITHIN,
        what=f"{kind} is served",
    )


def established(cluster: DevCluster, path: str) -> list[Json]:
    """Return the conditions of a definition."""
    return list((cluster.api.get(path).get("status") or {}).get("conditions") or ())


def inject_sidecars(cluster: DevCluster, mesh: str, **resources: Json) -> None:
    """Put a second container with these requests and limits into every pod that is created in such a namespace."""
    given = ", ".join(f"{basis}: {json.dumps(amounts)}" for basis, amounts in resources.items())
    expression = (
        'Object{spec: Object.spec{containers: [Object.spec.containers{name: "proxy", image: "proxy:1", '
        f"resources: Object.spec.containers.resources{{{given}}}}}]}}}}"
    )
    spec = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ],
            "namespaceSelector": {"matchLabels": {"mesh": mesh}},
        },
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
    }
    group = "admissionregistration.k8s.io/v1"
    for kind, plural, its in (
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies", spec),
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", {"policyName": mesh}),
    ):
        body = {"apiVersion": group, "kind": kind, "metadata": {"name": mesh}, "spec": its}
        cluster.api.apply(f"/apis/{group}/{plural}/{mesh}", body)


def until_injecting(place: Place, pods: Json) -> None:
    """Wait until the API server follows the policy: it learns of it by a watch."""

    def injects() -> bool:
        body = {"metadata": {**pods["metadata"], "name": "probe"}, "spec": pods["spec"]}
        made = place.cluster.api.create(f"{place.path('v1', 'pods')}?dryRun=All", body)
        return len(made["spec"]["containers"]) > len(pods["spec"]["containers"])

    wait_until(injects, within=WITHIN, what="sidecars are injected")
