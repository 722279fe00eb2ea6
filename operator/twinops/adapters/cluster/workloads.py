"""Targets: any object of a namespace that has a ``/scale`` subresource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinops.adapters.cluster.client import KubeClient, resource_path
from twinops.adapters.cluster.discovery import Discovery
from twinops.adapters.cluster.quantities import per_pod
from twinops.api.twin import TargetRef
from twinops.core.observation import Workload
from twinops.errors import NotFound, SpecError, TargetNotFound

VERSION_LABEL = "app.kubernetes.io/version"

_COUNTS_READY = frozenset(
    {("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")}
)
"""Kinds that leave ``status.readyReplicas`` out when it is 0. Of others its absence says nothing."""


class ClusterWorkloads:
    """Reads targets from the API server. Satisfies ``ports.Workloads``."""

    def __init__(self, client: KubeClient, discovery: Discovery) -> None:
        self._client = client
        self._discovery = discovery

    async def get(self, namespace: str, ref: TargetRef) -> Workload:
        """Return the target as it is now.

        Raises:
            TargetNotFound: there is no such object, or it has no ``/scale``.
            ClusterError: the API server did not answer.
        """
        what = f"{ref.kind}/{ref.name}"
        try:
            resource = await self._discovery.find(ref.api_version, ref.kind)
        except NotFound as error:
            raise TargetNotFound(
                f"the cluster serves no kind {ref.kind} in {ref.api_version}: correct spec.source.targetRef"
            ) from error
        if not resource.scalable or not resource.namespaced:
            raise TargetNotFound(
                f"{ref.kind} in {ref.api_version} has no /scale subresource: target an object that can be scaled"
            )
        path = resource_path(ref.api_version, resource.plural, namespace=namespace, name=ref.name)
        try:
            return workload(ref, await self._client.get(path), await self._scale(path, ref))
        except NotFound as error:
            raise TargetNotFound(
                f"{what} does not exist in namespace {namespace}: create it or correct spec.source.targetRef"
            ) from error

    async def _scale(self, path: str, ref: TargetRef) -> Mapping[str, Any] | None:
        """Read ``/scale`` only of kinds whose own fields we do not know."""
        if (ref.api_version.rpartition("/")[0], ref.kind) in _COUNTS_READY:
            return None
        return await self._client.get(f"{path}/scale")


def workload(ref: TargetRef, body: Mapping[str, Any], scale: Mapping[str, Any] | None) -> Workload:
    """Read a target's own object, and its ``/scale`` where its kind is not known to us.

    Raises:
        SpecError: ``UnsupportedTarget``, for a kind that keeps other things in the usual places.
    """
    try:
        return _workload(ref, body, scale)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"{ref.kind}/{ref.name} cannot be read as a workload: its replicas or its pod template are not where "
            "Deployments have them; leave targetRef out and give source.metrics",
            reason="UnsupportedTarget",
        ) from error


def _workload(ref: TargetRef, body: Mapping[str, Any], scale: Mapping[str, Any] | None) -> Workload:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    template = spec.get("template") or {}
    if scale is None:
        # The API server defaults spec.replicas to 1.
        ready, desired = status.get("readyReplicas") or 0, spec.get("replicas", 1)
    else:
        ready = status.get("readyReplicas", (scale.get("status") or {}).get("replicas", 0))
        desired = (scale.get("spec") or {}).get("replicas") or 0
    cores, cpu_basis = per_pod(template, "cpu")
    memory, memory_basis = per_pod(template, "memory")
    return Workload(
        ref=ref,
        uid=body["metadata"]["uid"],
        ready=int(ready),
        desired=int(desired),
        pod_cpu_cores=cores,
        pod_memory_bytes=memory,
        cpu_basis=cpu_basis,
        memory_basis=memory_basis,
        version=version(body),
        labels=dict(body["metadata"].get("labels") or {}),
    )


def version(body: Mapping[str, Any]) -> str | None:
    """Return the version a target runs: the label on its pods or itself, else its first image's tag."""
    template = (body.get("spec") or {}).get("template") or {}
    for labelled in (template, body):
        found = ((labelled.get("metadata") or {}).get("labels") or {}).get(VERSION_LABEL)
        if found:
            return str(found)
    containers = (template.get("spec") or {}).get("containers") or ()
    return image_tag(str(containers[0].get("image") or "")) if containers else None


def image_tag(image: str) -> str | None:
    """Return the tag of an image reference, None when it has none (``name``, ``name@sha256:…``)."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or None
