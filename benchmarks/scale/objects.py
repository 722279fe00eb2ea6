"""The Kubernetes objects of the workloads and their twins, built purely."""

from __future__ import annotations

from typing import Any

from benchmarks.scale.workload import CPU_CORES, MEMORY_BYTES, PODS, REVISION, Place

Json = dict[str, Any]

TWINS = "/apis/twinops.dev/v1alpha1/digitaltwins"
_STARTED = "2026-01-01T00:00:00Z"
_MEBIBYTE = 2**20


def path(where: Place, resource: str, *names: str) -> str:
    """Return the path of a resource in a workload's namespace.

    Args:
        where: the workload.
        resource: group, version and plural, such as `apis/apps/v1/deployments`.
        names: name, and subresource if one is meant.
    """
    prefix, plural = resource.rsplit("/", 1)
    return "/".join((f"/{prefix}/namespaces/{where.namespace}", plural, *names))


def deployment(where: Place) -> Json:
    """Return the workload's Deployment."""
    template = {"metadata": {"labels": {"app": where.name}}, "spec": _pod_spec()}
    return {
        "metadata": {"name": where.name, "labels": {"app": where.name}},
        "spec": {"replicas": len(PODS), "selector": {"matchLabels": {"app": where.name}}, "template": template},
    }


def rolled_out(deployment: Json) -> Json:
    """Return a Deployment as it is when all its pods are ready."""
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), len(PODS))
    return {**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **counts}}


def replica_set(where: Place, owner: Json) -> Json:
    """Return the one ReplicaSet of a Deployment that was created."""
    labels = _labels(where)
    return {
        "metadata": {
            "name": f"{where.name}-{REVISION}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [_owner("Deployment", owner)],
        },
        "spec": {
            "replicas": len(PODS),
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec()},
        },
    }


def pod(where: Place, name: str, owner: Json) -> Json:
    """Return a pod of a ReplicaSet that was created."""
    references = [_owner("ReplicaSet", owner)]
    return {
        "metadata": {"name": name, "labels": _labels(where), "ownerReferences": references},
        "spec": _pod_spec(),
    }


def ready(pod: Json) -> Json:
    """Return a pod as its kubelet would have it: running and ready."""
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": _STARTED}
    return {**pod, "status": {"phase": "Running", "startTime": _STARTED, "conditions": [condition]}}


def autoscaler(where: Place) -> Json:
    """Return the HorizontalPodAutoscaler of a workload."""
    target = {"type": "Utilization", "averageUtilization": 60}
    return {
        "metadata": {"name": where.name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": where.name},
            "minReplicas": len(PODS),
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def twin(where: Place, interval: int) -> Json:
    """Return the DigitalTwin of a workload: five built-in metrics and one of its own.

    Args:
        where: the workload.
        interval: seconds between two syncs.
    """
    own = 'sum(app_open_connections{namespace="$(namespace)",pod=~"$(podRegex)"})'
    return {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {"name": where.name, "namespace": where.namespace},
        "spec": {
            "source": {
                "systemType": "WebService",
                "targetRef": {"name": where.name},
                "metrics": [{"name": "activeConnections", "query": own}],
            },
            "syncFrequencySeconds": interval,
            "expectedState": {"metrics": {"cpuUsage": 50, "latencyMs": 170}},
            "limits": {"cpuUsage": 95, "latencyMs": 1000},
        },
    }


def _labels(where: Place) -> dict[str, str]:
    return {"app": where.name, "pod-template-hash": REVISION}


def _owner(kind: str, owner: Json) -> Json:
    metadata = owner["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }


def _pod_spec() -> Json:
    amounts = {"cpu": f"{CPU_CORES:g}", "memory": f"{MEMORY_BYTES // _MEBIBYTE}Mi"}
    container = {
        "name": "app",
        "image": "shop.example/app:1",
        "resources": {"requests": amounts, "limits": amounts},
        "env": [{"name": f"VARIABLE_{number}", "value": "some value"} for number in range(8)],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
    }
    return {"containers": [container]}
