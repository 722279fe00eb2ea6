"""The stored part of pods, and their index by namespace, label and name."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from twinops.adapters.kubernetes.quantities import PodResources, pod_resources
from twinops.adapters.kubernetes.reflector import version_of
from twinops.adapters.kubernetes.selectors import Selector
from twinops.core.observation import Pod

API_VERSION = "v1"
PLURAL = "pods"

REVISION_LABELS = ("pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash")
"""Labels that hold a pod's revision: of Deployments, Argo Rollouts, and StatefulSets and DaemonSets."""

_DONE = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller of an object."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class KeptPod:
    """The stored part of a pod.

    Attributes:
        version: resourceVersion.
        owner: its controller, None for a bare pod.
        running: whether its phase is Running.
        done: whether its phase is Succeeded or Failed.
        resources: requests and limits.
        pod: the part that the core uses.
    """

    namespace: str
    name: str
    version: int
    labels: Mapping[str, str]
    owner: Owner | None
    running: bool
    done: bool
    resources: PodResources
    pod: Pod

    @property
    def revision(self) -> tuple[str, str] | None:
        """Key and value of the label that holds the pod's revision, None without one."""
        return next(((key, self.labels[key]) for key in REVISION_LABELS if key in self.labels), None)


def kept_pod(body: Mapping[str, Any]) -> KeptPod:
    """Return the stored part of a pod. Equal labels, owners and resources are shared among pods to save memory."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    phase = status.get("phase")
    return KeptPod(
        namespace=meta["namespace"],
        name=meta["name"],
        version=version_of(dict(body)),
        labels=shared_labels(frozenset((meta.get("labels") or {}).items())),
        owner=controller(meta),
        running=phase == "Running",
        done=phase in _DONE,
        resources=shared_resources(pod_resources(spec, status)),
        pod=Pod(
            name=meta["name"],
            started=_seconds(status.get("startTime")),
            ready_since=_ready_since(status),
            terminating=meta.get("deletionTimestamp") is not None,
        ),
    )


def controller(meta: Mapping[str, Any]) -> Owner | None:
    """Return the controller of an object, None without one."""
    for each in meta.get("ownerReferences") or ():
        if each.get("controller"):
            return _shared_owner(Owner(each["apiVersion"], each["kind"], each["name"], each["uid"]))
    return None


@lru_cache(maxsize=8192)
def shared_labels(items: frozenset[tuple[str, str]]) -> Mapping[str, str]:
    """Return labels, one mapping for all objects with the same; nobody changes it."""
    return dict(items)


@lru_cache(maxsize=8192)
def shared_resources(resources: PodResources) -> PodResources:
    """Return the one that equals these."""
    return resources


@lru_cache(maxsize=8192)
def _shared_owner(owner: Owner) -> Owner:
    return owner


def _ready_since(status: Mapping[str, Any]) -> float | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            return _seconds(condition.get("lastTransitionTime")) if condition.get("status") == "True" else None
    return None


def _seconds(time: str | None) -> float | None:
    return None if time is None else datetime.fromisoformat(time).timestamp()


class PodIndex:
    """Pods by namespace and label, and their names in order.

    A label key is indexed in a namespace when a selector first uses it, since selectors use few keys and pods carry
    many.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._pods: dict[str, dict[str, KeptPod]] = {}
        self._names: dict[str, list[str]] = {}
        self._by_label: dict[tuple[str, str], dict[str, set[str]]] = {}

    def changed(self, before: KeptPod | None, now: KeptPod | None, _first: bool = False) -> None:  # noqa: FBT001, FBT002 - as Reflector calls it
        """Update the index for a pod that was added, changed or deleted (None)."""
        if before is not None and (now is None or before.labels is not now.labels):
            self._unlink(before)
        if now is None:
            if before is not None:
                self._remove(before)
            return
        pods = self._pods.setdefault(now.namespace, {})
        if now.name not in pods:
            insort(self._names.setdefault(now.namespace, []), now.name)
        pods[now.name] = now
        if before is None or before.labels is not now.labels:
            self._link(now)

    def select(self, namespace: str, selector: Selector) -> list[KeptPod]:
        """Return the pods that match a selector."""
        pods = self._pods.get(namespace, {})
        narrow = selector.narrowest
        if narrow is None:
            return [pod for pod in pods.values() if selector.holds(pod.labels)]
        index = self._index(namespace, narrow.key)
        names = {name for value in narrow.values for name in index.get(value, ())}
        return [pods[name] for name in sorted(names) if selector.holds(pods[name].labels)]

    def beginning(self, namespace: str, prefix: str) -> Iterator[str]:
        """Yield the names of a namespace's pods with this prefix, sorted."""
        names = self._names.get(namespace, [])
        for at in range(bisect_left(names, prefix), len(names)):
            if not names[at].startswith(prefix):
                return
            yield names[at]

    def _index(self, namespace: str, key: str) -> dict[str, set[str]]:
        index = self._by_label.get((namespace, key))
        if index is None:
            index = self._by_label[namespace, key] = {}
            for pod in self._pods.get(namespace, {}).values():
                if key in pod.labels:
                    index.setdefault(pod.labels[key], set()).add(pod.name)
        return index

    def _indexed(self, pod: KeptPod) -> Iterable[tuple[dict[str, set[str]], str]]:
        for key, value in pod.labels.items():
            index = self._by_label.get((pod.namespace, key))
            if index is not None:
                yield index, value

    def _link(self, pod: KeptPod) -> None:
        for index, value in self._indexed(pod):
            index.setdefault(value, set()).add(pod.name)

    def _unlink(self, pod: KeptPod) -> None:
        for index, value in self._indexed(pod):
            names = index.get(value)
            if names is not None:
                names.discard(pod.name)
                if not names:
                    del index[value]

    def _remove(self, pod: KeptPod) -> None:
        pods, names = self._pods[pod.namespace], self._names[pod.namespace]
        del pods[pod.name]
        del names[bisect_left(names, pod.name)]
        if not pods:
            del self._pods[pod.namespace], self._names[pod.namespace]
            for key in [each for each in self._by_label if each[0] == pod.namespace]:
                del self._by_label[key]
