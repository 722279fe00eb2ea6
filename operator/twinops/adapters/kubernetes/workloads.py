"""Targets (namespaced objects with a ``/scale`` subresource) and their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twinops.adapters.kubernetes import rollouts
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import ApiResource, Discovery
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.pod_cache import PodIndex
from twinops.adapters.kubernetes.pods import FoundPods, PodFinder
from twinops.adapters.kubernetes.quantities import Capacity, PodResources, capacity
from twinops.adapters.kubernetes.target_cache import TargetCache
from twinops.adapters.kubernetes.targets import PLURALS, Target, read_target
from twinops.api.references import TargetRef
from twinops.core.metrics.pod_names import NamedPod, regex_of
from twinops.core.observation import Workload
from twinops.errors import NotFound, Refused, SpecError, TargetNotFound

_Json = Mapping[str, Any]


class ClusterWorkloads:
    """Reads targets and their pods from the watch, and live what the watch does not know.

    Satisfies ``ports.kubernetes.Workloads``.

    Args:
        client: of the API server.
        discovery: paths of kinds.
        pods: finds pods; by default by a list at each call.
        known: watched targets; without it they are read at each call.
    """

    def __init__(
        self,
        client: KubeClient,
        discovery: Discovery,
        pods: PodFinder | None = None,
        known: TargetCache | None = None,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._pods = pods or PodFinder(client, discovery, None, PodIndex())
        self._known = known

    async def get(self, namespace: str, ref: TargetRef) -> Workload:
        """Return the target as it is now.

        Raises:
            TargetNotFound: there is no such object, or it has no ``/scale``.
            SpecError: ``UnsupportedTarget``, for a kind whose fields have another form than a Deployment's.
            ClusterError: the API server did not answer, or the target may not be read.
        """
        kept = None if self._known is None else await self._known.get(namespace, ref)
        target = await self._live(namespace, ref) if kept is None else kept.target
        found = await self._pods.find(namespace, ref, target.uid, target.selector)
        return workload(ref, target, found)

    async def _live(self, namespace: str, ref: TargetRef) -> Target:
        resource = await self._resource(ref)
        path = resource_path(ref.api_version, resource.plural, namespace=namespace, name=ref.name)
        try:
            body = await self._client.get(path)
            # Needed only for kinds whose own fields are unknown.
            scale = None if (ref.api_version, ref.kind) in PLURALS else await self._client.get(f"{path}/scale")
        except NotFound as error:
            raise TargetNotFound(
                f"{ref.kind}/{ref.name} does not exist in namespace {namespace}: "
                "create it or correct spec.source.targetRef"
            ) from error
        with _readable(ref):
            return read_target(ref.kind, body, scale, await self._template(namespace, body))

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


def workload(ref: TargetRef, target: Target, found: FoundPods) -> Workload:
    """Return the workload of a target and its pods."""
    pods = found.pods or ()
    resources = _Resources.of(ref, target.template, found)
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
        uid=target.uid,
        ready=target.ready,
        desired=target.desired,
        pod_cpu_cores=cpu.amount,
        pod_memory_bytes=memory.amount,
        cpu_basis=cpu.basis,
        memory_basis=memory.basis,
        cpu_problem=cpu.problem,
        memory_problem=memory.problem,
        containers=resources.containers,
        pods_read=resources.pods_read,
        read_from=resources.read_from,
        version=target.version,
        labels=target.labels,
        pods=None if found.pods is None else tuple(pod.pod for pod in pods),
        rollout=target.rollout or rollouts.of_pods(ref.kind, pods),
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
    def of(cls, ref: TargetRef, template: PodResources | None, found: FoundPods) -> _Resources:
        """Read from running pods, else from pending ones, else from the template."""
        pods = found.pods or ()
        counted = [pod for pod in pods if pod.running] or pods
        if counted:
            return cls({f"pod {pod.name}": pod.resources for pod in counted}, "its pods", pods_read=True)
        why = "no pod is there" if found.pods is not None else "its pods are not known"
        of_template = {} if template is None else {f"the pod template of {ref.kind}/{ref.name}": template}
        return cls(of_template, f"the pod template: {why}", pods_read=False)
