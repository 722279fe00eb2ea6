"""The pods of a target: by its selector, and where selectors overlap by the chain of owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.pod_cache import API_VERSION, PLURAL, KeptPod, Owner, PodIndex, controller, kept_pod
from twinops.adapters.kubernetes.reflector import is_forbidden
from twinops.adapters.kubernetes.selectors import Selector
from twinops.adapters.kubernetes.watched import Watched
from twinops.api.references import TargetRef
from twinops.core.rights import refusal
from twinops.errors import NotFound, Refused

log = structlog.get_logger()

_STRICT = frozenset(
    {
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "ReplicaSet"),
        ("", "ReplicationController"),
        ("argoproj.io", "Rollout"),
    }
)
"""Group and kind of workloads whose pods always have a chain of owners to them."""

_BY_REPLICA_SETS = frozenset({"Deployment", "Rollout"})
"""Kinds among them that create pods through ReplicaSets; the others create pods directly."""

_HASH_OF = {"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}
"""Label of the ReplicaSet's hash on their pods."""

UNKNOWN = Owner("", "", "", "")
"""Stands for a controller that cannot be read or no longer exists."""

_MOST_STEPS = 5
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class FoundPods:
    """The pods of a target.

    Attributes:
        pods: sorted by name; None when they are unknown.
        problem: why they are unknown.
        others: yields the names of the namespace's other known pods with a prefix.
    """

    pods: tuple[KeptPod, ...] | None
    problem: str = ""
    others: Callable[[str], Iterable[str]] = lambda _: ()


def _unreadable(error: Refused) -> FoundPods:
    return FoundPods(None, refusal(str(error), error.status).message)


def readable(body: Mapping[str, Any]) -> KeptPod | None:
    """Return the stored part of a pod, None when it cannot be read."""
    try:
        return kept_pod(body)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        log.warning("object could not be read", path=PLURAL, error=str(error))
        return None


class PodFinder:
    """Finds the pods of targets, in the watched copy while that is current, else by a list.

    Args:
        client: for lists and owners.
        discovery: paths of owner kinds.
        watched: the watched copy of pods, None without one.
        index: of the watched copy.
    """

    def __init__(
        self, client: KubeClient, discovery: Discovery, watched: Watched[KeptPod] | None, index: PodIndex
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._watched = watched
        self._index = index
        # Safe to cache: an object's controller does not change, and uids are not reused.
        self._controllers: dict[str, Owner | None] = {}
        self._refused: set[tuple[str, str]] = set()

    async def find(self, namespace: str, target: TargetRef, uid: str, selector: Selector | None) -> FoundPods:
        """Return the pods of a target.

        Args:
            namespace: of the target.
            target: its kind and name.
            uid: of the target.
            selector: of the target or its ``/scale``; None without one.

        Raises:
            ClusterError: the API server did not answer.
        """
        if selector is None:
            return FoundPods(None, f"{target.kind} tells no selector for its pods")
        watched = self._watched
        if watched is not None and watched.current(namespace):
            found, beginning = self._index.select(namespace, selector), self._index.beginning
        elif watched is not None and (forbidden := watched.forbidden(namespace)) is not None:
            return _unreadable(forbidden)
        else:
            try:
                found, beginning = await self._read(namespace, selector), None
            except Refused as error:
                if not is_forbidden(error):
                    raise
                return _unreadable(error)
        mine = await self._mine(namespace, target, uid, found)
        if beginning is None:
            foreign = {pod.name for pod in found} - {pod.name for pod in mine}
            return FoundPods(tuple(mine), others=lambda prefix: (name for name in foreign if name.startswith(prefix)))
        own = {pod.name for pod in mine}
        return FoundPods(
            tuple(mine), others=lambda prefix: (name for name in beginning(namespace, prefix) if name not in own)
        )

    async def _read(self, namespace: str, selector: Selector) -> list[KeptPod]:
        path = resource_path(API_VERSION, PLURAL, namespace=namespace)
        listed = await self._client.list(path, params={"labelSelector": selector.text})
        pods = [pod for body in listed["items"] if (pod := readable(body)) is not None]
        return sorted(pods, key=lambda pod: pod.name)

    async def _mine(self, namespace: str, target: TargetRef, uid: str, found: Sequence[KeptPod]) -> list[KeptPod]:
        """Return the found pods without those of other owners and those that have ended."""
        owners = {pod.owner: pod for pod in found if pod.owner is not None}
        known = (target.api_version.rpartition("/")[0], target.kind) in _STRICT
        leads = {
            owner: await self._leads_to(namespace, target, uid, owner, pod, known=known)
            for owner, pod in owners.items()
        }
        # A custom kind may create pods, or other workloads, without an owner reference to itself.
        strict = known or any(leads.values())

        def is_mine(pod: KeptPod) -> bool:
            if pod.owner is None:
                return not known
            verdict = leads[pod.owner]
            return verdict is True if known else verdict is not False or not strict

        return [pod for pod in found if not pod.done and is_mine(pod)]

    async def _leads_to(
        self, namespace: str, target: TargetRef, uid: str, owner: Owner, pod: KeptPod, *, known: bool
    ) -> bool | None:
        """Whether the chain of owners leads to the target; None when it cannot be followed."""
        if owner.uid == uid:
            return True
        hashed = pod.labels.get(_HASH_OF.get(target.kind, ""))
        if hashed and owner.kind == "ReplicaSet" and owner.name == f"{target.name}-{hashed}":
            # Only the target creates ReplicaSets with this name and label: no request needed.
            return True
        if known and not (target.kind in _BY_REPLICA_SETS and owner.kind == "ReplicaSet"):
            # Another kind, a Job for example, cannot be owned by the target: no request needed.
            return False
        step: Owner | None = owner
        for _ in range(_MOST_STEPS):
            step = None if step is None else await self._controller(namespace, step)
            if step is None or step is UNKNOWN:
                break
            if step.uid == uid:
                return True
        return False if step is None else None

    async def _controller(self, namespace: str, owner: Owner) -> Owner | None:
        """Return the controller of an owner: None without one, ``UNKNOWN`` when it cannot be read."""
        if owner.uid not in self._controllers:
            if len(self._controllers) >= _MOST_REMEMBERED:
                self._controllers.clear()
            self._controllers[owner.uid] = await self._ask(namespace, owner)
        return self._controllers[owner.uid]

    async def _ask(self, namespace: str, owner: Owner) -> Owner | None:
        kind = (owner.api_version, owner.kind)
        if kind in self._refused:
            return UNKNOWN
        try:
            resource = await self._discovery.find(owner.api_version, owner.kind)
            scope = namespace if resource.namespaced else None
            path = resource_path(owner.api_version, resource.plural, namespace=scope, name=owner.name)
            meta: Mapping[str, Any] = (await self._client.get(path))["metadata"]
        except NotFound:
            return UNKNOWN
        except Refused:
            # Do not ask for this kind again: every pod of it would cost a refused request.
            self._refused.add(kind)
            return UNKNOWN
        return controller(meta) if meta["uid"] == owner.uid else UNKNOWN
