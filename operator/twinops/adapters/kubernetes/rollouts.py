"""Whether a rollout (change of revision) of a workload is under way, and why.

Sources: ``kubectl rollout status`` (``k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go``) and the Deployment
controller (``pkg/controller/deployment/progress.go``: a complete Deployment stays complete while it is scaled).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twinops.adapters.kubernetes.pod_cache import KeptPod

_COMPLETE: Final = "NewReplicaSetAvailable"
_PAUSED: Final = "DeploymentPaused"
_RESUMED: Final = "DeploymentResumed"

_TOLD_BY_OBJECT: Final = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})


def of_object(kind: str, body: Mapping[str, Any]) -> str:
    """Return why the object itself says that a rollout is under way; empty when it does not.

    Scaling is not a rollout: new pods have the revision of the old ones.

    Args:
        kind: of the workload.
        body: the workload as the API server sends it.
    """
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    generation, observed = meta.get("generation"), status.get("observedGeneration")
    if isinstance(generation, int) and isinstance(observed, int) and observed < generation:
        return f"its controller has not acted on generation {generation} yet"
    if kind == "Deployment":
        return _deployment(status)
    if kind == "StatefulSet":
        return _stateful_set(spec, status)
    return ""


def of_pods(kind: str, pods: Iterable[KeptPod]) -> str:
    """Return the same from the revisions of its pods, for kinds whose own status fields are unknown."""
    return "" if kind in _TOLD_BY_OBJECT else _revisions(pods)


def _deployment(status: Mapping[str, Any]) -> str:
    replicas, updated = status.get("replicas") or 0, status.get("updatedReplicas") or 0
    if updated < replicas:
        return f"{replicas - updated} of {replicas} pods are of an older revision"
    conditions = status.get("conditions") or ()
    reason = next((str(one.get("reason")) for one in conditions if one.get("type") == "Progressing"), _COMPLETE)
    if reason in {_COMPLETE, _PAUSED, _RESUMED}:
        return ""
    available = status.get("availableReplicas") or 0
    return f"{updated - available} of {updated} new pods are not available ({reason})" if available < updated else ""


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    strategy = spec.get("updateStrategy") or {}
    if status.get("currentRevision") == status.get("updateRevision") or strategy.get("type") == "OnDelete":
        return ""
    # Pods below the partition keep their revision.
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    replicas, updated = status.get("replicas") or 0, status.get("updatedReplicas") or 0
    old = max(replicas - partition, 0) - updated
    return f"{old} of {replicas} pods are of an older revision" if old > 0 else ""


def _revisions(pods: Iterable[KeptPod]) -> str:
    """Judge by the revision labels of the pods, for kinds whose status fields are unknown."""
    revisions: dict[str, set[str]] = {}
    for pod in pods:
        if not pod.done and pod.revision is not None:
            revisions.setdefault(pod.revision[0], set()).add(pod.revision[1])
    several = max((len(found) for found in revisions.values()), default=0)
    return f"pods of {several} revisions are there" if several > 1 else ""
