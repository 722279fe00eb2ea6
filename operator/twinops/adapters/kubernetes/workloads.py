"""Targets (namespaced objects with a ``/scale`` subresource) and their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twinops.adapters.kubernetes import selectors
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import ApiResource, Discovery
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.pod_cache import PodIndex
from twinops.adapters.kubernetes.pods import FoundPods, PodFinder
from twinops.adapters.kubernetes.quantities import Capacity, PodResources, capacity, pod_resources
from twinops.adapters.kubernetes.rollouts import rollout
from twinops.adapters.kubernetes.selectors import Selector
from twinops.api.references import TargetRef
from twinops.core.metrics.pod_names import NamedPod, regex_of
from twinops.core.observation import Workload
from twinops.errors import NotFound, Refused, SpecError, TargetNotFound

VERSION_LABEL = "app.kubernetes.io/version"

_COUNTS_READY = frozenset(
    {("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")}
)
"""Kinds whose missing ``status.readyReplicas`` means 0; of other kinds it means unknown."""

_Json = Mapping[str, Any]


class ClusterWorkloads:
    """Reads targets from the API server, and their pods from the watch. Satisfies ``ports.kubernetes.Workloads``.

    Args:
        client: of the API server.
        discovery: paths of kinds.
        pods: finds pods; by default by a list at each call.
    """

    def __init__(self, client: KubeClient, discovery: Discovery, pods: PodFinder | None = None) -> None:
        self._client = client
        self._discovery = discovery
        self._pods = pods or PodFinder(client, discovery, None, PodIndex())

    async def get(self, namespace: str, ref: TargetRef) -> Workload:
        """Return the target as it is now.

        Raises:
            TargetNotFound: there is no such object, or it has no ``/scale``.
            SpecError: ``UnsupportedTarget``, for a kind whose fields have another form than a Deployment's.
            ClusterError: the API server did not answer, or the target may not be read.
        """
        resource = await self._resource(ref)
        path = resource_path(ref.api_version, resource.plural, namespace=namespace, name=ref.name)
        group = ref.api_version.rpartition("/")[0]
        try:
            body = await self._client.get(path)
            # Needed only for kinds whose own fields are unknown.
            scale = None if (group, ref.kind) in _COUNTS_READY else await self._client.get(f"{path}/scale")
        except NotFound as error:
            raise TargetNotFound(
                f"{ref.kind}/{ref.name} does not exist in namespace {namespace}: "
                "create it or correct spec.source.targetRef"
            ) from error
        with _readable(ref):
            selector, uid = _selector(ref, body, scale), str(body["metadata"]["uid"])
        found = await self._pods.find(namespace, ref, uid, selector)
        with _readable(ref):
            return workload(ref, body, scale, await self._template(namespace, body), found)

    async def _resource(self, ref: TargetRef) -> ApiResource:
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
        return resource

    async def _template(self, namespace: str, body: _Json) -> _Json:
        """Return the pod template; for an Argo Rollout with ``workloadRef`` that of the referenced workload."""
        spec = body.get("spec") or {}
        if spec.get("template") or not spec.get("workloadRef"):
            return spec.get("template") or {}
        named = spec["workloadRef"]
        try:
            resource = await self._discovery.find(named["apiVersion"], named["kind"])
            path = resource_path(named["apiVersion"], resource.plural, namespace=namespace, name=named["name"])
            return ((await self._client.get(path)).get("spec") or {}).get("template") or {}
        except (NotFound, Refused):
            return {}


@contextmanager
def _readable(ref: TargetRef) -> Iterator[None]:
    """Translate errors of reading an object whose fields have an unknown form."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise SpecError(
            f"{ref.kind}/{ref.name} cannot be read as a workload: its replicas or its pod template are not where "
            "Deployments have them; leave targetRef out and give source.metrics",
            reason="UnsupportedTarget",
        ) from error


def _selector(ref: TargetRef, body: _Json, scale: _Json | None) -> Selector | None:
    own = (body.get("spec") or {}).get("selector")
    if scale is None:
        return selectors.of_labels(own) if ref.kind == "ReplicationController" else selectors.of_object(own)
    of_scale = selectors.of_text((scale.get("status") or {}).get("selector") or "")
    # The status of /scale may be empty; many kinds have spec.selector as Deployments have.
    return of_scale or (selectors.of_object(own) if isinstance(own, Mapping) else None)


def workload(ref: TargetRef, body: _Json, scale: _Json | None, template: _Json, found: FoundPods) -> Workload:
    """Return the workload of a target's object, its ``/scale`` (None for kinds in ``_COUNTS_READY``) and its pods."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    if scale is None:
        # The API server defaults spec.replicas to 1.
        ready, desired = status.get("readyReplicas") or 0, spec.get("replicas", 1)
    else:
        ready = status.get("readyReplicas", (scale.get("status") or {}).get("replicas", 0))
        desired = (scale.get("spec") or {}).get("replicas") or 0
    pods = found.pods or ()
    resources = _Resources.of(ref, template, found)
    cpu, memory = resources.cpu, resources.memory
    named = [
        NamedPod(pod.name, pod.owner.kind if pod.owner else "", pod.owner.name if pod.owner else "") for pod in pods
    ]
    regex = "" if found.pods is None else regex_of(ref, named, found.others)
    notes = [f"{found.problem}; until then its pods are told by their names"] if found.problem else []
    if regex is None:
        notes.append(f"the names of its {len(named)} pods follow no rule and are too many to be listed")
    return Workload(
        ref=ref,
        uid=body["metadata"]["uid"],
        ready=int(ready),
        desired=int(desired),
        pod_cpu_cores=cpu.amount,
        pod_memory_bytes=memory.amount,
        cpu_basis=cpu.basis,
        memory_basis=memory.basis,
        cpu_problem=cpu.problem,
        memory_problem=memory.problem,
        containers=resources.containers,
        pods_read=resources.pods_read,
        read_from=resources.read_from,
        version=version(body, template),
        labels=dict(body["metadata"].get("labels") or {}),
        pods=None if found.pods is None else tuple(pod.pod for pod in pods),
        rollout=rollout(ref.kind, body, pods),
        pod_regex=regex,
        notes=tuple(notes),
    )


class _Resources:
    """Mean CPU and memory per pod, and where they were read."""

    def __init__(self, pods: Mapping[str, PodResources], read_from: str, *, pods_read: bool) -> None:
        self.cpu: Capacity = capacity({name: each.cpu for name, each in pods.items()})
        self.memory: Capacity = capacity({name: each.memory for name, each in pods.items()})
        self.containers = tuple(sorted({name for each in pods.values() for name in each.containers}))
        self.read_from = read_from
        self.pods_read = pods_read

    @classmethod
    def of(cls, ref: TargetRef, template: _Json, found: FoundPods) -> _Resources:
        """Read from running pods, else from pending ones, else from the template."""
        pods = found.pods or ()
        counted = [pod for pod in pods if pod.running] or pods
        if counted:
            return cls({f"pod {pod.name}": pod.resources for pod in counted}, "its pods", pods_read=True)
        why = "no pod is there" if found.pods is not None else "its pods are not known"
        of_template = {f"the pod template of {ref.kind}/{ref.name}": pod_resources(template.get("spec") or {})}
        read_from = f"the pod template: {why}"
        return cls(of_template if template.get("spec") else {}, read_from, pods_read=False)


def version(body: _Json, template: _Json) -> str | None:
    """Return the target's version: the label of its pod template or itself, else the tag of its first image."""
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
