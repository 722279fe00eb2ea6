"""Which pods belong to a target: its selector says, and where selectors overlap, who made them."""

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
from twinops.api.twin.spec import TargetRef
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
"""Kinds whose pods always have an owner that leads to them."""

_BY_REPLICA_SETS = frozenset({"Deployment", "Rollout"})
"""Those of them whose pods are made by ReplicaSets; the others make their pods themselves."""

_HASH_OF = {"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}
"""Label by which these mark the pods of their ReplicaSets, each its own."""

UNKNOWN = Owner("", "", "", "")
"""Stands for a controller that cannot be read, or is gone."""

_MOST_STEPS = 5
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class FoundPods:
    """The pods of a target.

    Attributes:
        pods: sorted by name; None where they cannot be told.
        problem: why they cannot be told.
        others: names of other pods in the namespace that begin in some way, as far as they are known.
    """

    pods: tuple[KeptPod, ...] | None
    problem: str = ""
    others: Callable[[str], Iterable[str]] = lambda _: ()


def _unreadable(error: Refused) -> FoundPods:
    return FoundPods(None, refusal(str(error), error.status).message)


def readable(body: Mapping[str, Any]) -> KeptPod | None:
    """Return what is kept of a pod, None of one that cannot be read."""
    try:
        return kept_pod(body)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        log.warning("object could not be read", path=PLURAL, error=str(error))
        return None


class PodFinder:
    """Finds the pods of targets, from the watch while that is current, else by a list.

    Args:
        client: for what is not watched.
        discovery: where the owners of pods live.
        watched: keeps the pods up; None where nothing does.
        index: what it keeps up.
    """

    def __init__(
        self, client: KubeClient, discovery: Discovery, watched: Watched[KeptPod] | None, index: PodIndex
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._watched = watched
        self._index = index
        # Who controls what never changes while it lives, and uids are never used again.
        self._controllers: dict[str, Owner | None] = {}
        self._refused: set[tuple[str, str]] = set()

    async def find(self, namespace: str, target: TargetRef, uid: str, selector: Selector | None) -> FoundPods:
        """Return the pods of a target.

        Args:
            namespace: its namespace.
            target: what it is.
            uid: its own.
            selector: as the target or its ``/scale`` gives it.

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
            strange = {pod.name for pod in found} - {pod.name for pod in mine}
            return FoundPods(tuple(mine), others=lambda prefix: (name for name in strange if name.startswith(prefix)))
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
        """Leave out what somebody else has made, and what has ended."""
        owners = {pod.owner: pod for pod in found if pod.owner is not None}
        known = (target.api_version.rpartition("/")[0], target.kind) in _STRICT
        leads = {
            owner: await self._leads_to(namespace, target, uid, owner, pod, known=known)
            for owner, pod in owners.items()
        }
        # A kind of its own may make pods, or other workloads, without putting its name on them.
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
        """Tell whether the chain of owners leads to the target; None where it cannot be followed."""
        if owner.uid == uid:
            return True
        hashed = pod.labels.get(_HASH_OF.get(target.kind, ""))
        if hashed and owner.kind == "ReplicaSet" and owner.name == f"{target.name}-{hashed}":
            # Only this one makes ReplicaSets of this name and label: no need to ask.
            return True
        if known and not (target.kind in _BY_REPLICA_SETS and owner.kind == "ReplicaSet"):
            # Whatever made this one, a Job perhaps, is not to be asked for: it cannot be of the target.
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
        """Return what controls an owner: None for nothing, ``UNKNOWN`` where it cannot be read."""
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
            place = namespace if resource.namespaced else None
            path = resource_path(owner.api_version, resource.plural, namespace=place, name=owner.name)
            meta: Mapping[str, Any] = (await self._client.get(path))["metadata"]
        except NotFound:
            return UNKNOWN
        except Refused:
            # Not asked for again, for any object: every pod that such a kind makes would cost a refusal.
            self._refused.add(kind)
            return UNKNOWN
        return controller(meta) if meta["uid"] == owner.uid else UNKNOWN
