"""The twins this operator knows, by uid: their newest body, and who corrects and holds which target.

Filled by a list at the start and by watch events after that; a cache that a restart rebuilds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twinops.api.references import ObjectRef
from twinops.api.twin.spec import CorrectionMode
from twinops.controllers.shared.bodies import trimmed
from twinops.ports.kubernetes import TwinRef


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Names an object that twins depend on: a target, an HPA, a metrics source (without namespace)."""

    kind: str
    namespace: str
    name: str
    group: str = ""


SOURCE_KIND = "MetricsSource"
HPA_KIND = "HorizontalPodAutoscaler"

REMEMBERED_GONE = 10_000
"""Twins that have gone are remembered until so many others have."""


def group_of(api_version: str) -> str:
    """Return the API group of an ``apiVersion``; empty for the core group."""
    return api_version.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a twin keeps others from correcting.

    Attributes:
        corrects: what its spec lets it correct.
        holds: what it has raised and not given back yet, whatever its spec says, and what it names meanwhile.
    """

    corrects: frozenset[ObjectKey]
    holds: frozenset[ObjectKey]


def claims(body: Mapping[str, Any]) -> Claims:
    """Return what this twin claims."""
    held = _held(body)
    return Claims(_corrects(body), frozenset(held | _levers(body)) if held else frozenset())


@dataclass(slots=True)
class _Entry:
    ref: TwinRef
    body: Mapping[str, Any]
    levers: frozenset[ObjectKey]
    claims: Claims
    depends: frozenset[ObjectKey]
    age: tuple[str, str]


class TwinStore:
    """Newest body of every twin, and the links between twins and what they depend on."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[str, _Entry] = {}
        self._dependents: dict[ObjectKey, set[str]] = {}
        self._gone: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many twins are known."""
        return len(self._entries)

    def __iter__(self) -> Iterator[TwinRef]:
        """Iterate over the twins known now."""
        return iter([entry.ref for entry in self._entries.values()])

    def put(self, body: Mapping[str, Any]) -> TwinRef:
        """Keep what is used of this body unless a newer one is known or the twin is gone, and return whose it is."""
        meta = body["metadata"]
        ref = TwinRef(meta["namespace"], meta["name"], meta["uid"])
        if ref.uid in self._gone:
            return ref
        known = self._entries.get(ref.uid)
        if known is not None and _version(known.body) > _version(body):
            return ref
        if known is not None:
            self._unlink(known)
        age = (str(meta.get("creationTimestamp", "")), ref.uid)
        entry = _Entry(ref, trimmed(body), frozenset(_levers(body)), claims(body), _depends(body), age)
        self._entries[ref.uid] = entry
        for key in entry.depends:
            self._dependents.setdefault(key, set()).add(ref.uid)
        return ref

    def drop(self, uid: str) -> None:
        """Forget a twin that is gone; what was on its way about it then brings it back no more."""
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._unlink(entry)

    def body(self, uid: str) -> Mapping[str, Any] | None:
        """Return the newest body known, None for an unknown twin."""
        entry = self._entries.get(uid)
        return None if entry is None else entry.body

    def dependents(self, key: ObjectKey) -> tuple[TwinRef, ...]:
        """Return the twins that name this object, or hold it."""
        return tuple(self._entries[uid].ref for uid in sorted(self._dependents.get(key, ())))

    def rival(self, uid: str) -> str:
        """Return the name of the older twin that corrects the same target or HPA; empty when there is none.

        Of several twins on one target the oldest corrects; twins that are suspended, only preview or
        have corrections switched off do not count.
        """
        mine = self._entries.get(uid)
        if mine is None:
            return ""
        corrects = mine.claims.corrects
        older = [
            entry for entry in self._others(uid, corrects) if entry.claims.corrects & corrects and entry.age < mine.age
        ]
        return min(older, key=lambda entry: entry.age).ref.name if older else ""

    def holder(self, uid: str, lever: ObjectRef | None) -> str:
        """Return the name of another twin that holds a value of the same target or HPA; empty when there is none.

        Until it has given that back, what stands in the field is not the original. The spec does not matter:
        a twin that was suspended or switched off a moment ago holds on until its own next sync.

        Args:
            uid: of the twin that asks.
            lever: what was found for it to correct, an HPA that its spec does not name among others.
        """
        mine = self._entries.get(uid)
        if mine is None:
            return ""
        keys = mine.levers | ({_key_of(lever, mine.ref.namespace)} if lever else set())
        holders = [entry for entry in self._others(uid, keys) if entry.claims.holds & keys]
        return min(holders, key=lambda entry: entry.age).ref.name if holders else ""

    def _others(self, uid: str, keys: frozenset[ObjectKey]) -> Iterator[_Entry]:
        others = {other for key in keys for other in self._dependents.get(key, ())} - {uid}
        return (self._entries[other] for other in others)

    def _unlink(self, entry: _Entry) -> None:
        for key in entry.depends:
            linked = self._dependents.get(key)
            if linked is not None:
                linked.discard(entry.ref.uid)
                if not linked:
                    del self._dependents[key]


def _version(body: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number.

    Kubernetes has promised since 1.35 that those of one resource can be compared so; an unreadable one
    (some other API server) counts as newest.
    """
    try:
        return int(body["metadata"].get("resourceVersion", "0"))
    except ValueError:
        return 0


def _key_of(reference: ObjectRef, namespace: str) -> ObjectKey:
    return ObjectKey(reference.kind, namespace, reference.name, group_of(reference.api_version))


def _held(body: Mapping[str, Any]) -> set[ObjectKey]:
    namespace = body["metadata"]["namespace"]
    held = (original["object"] for original in (body.get("status") or {}).get("originals") or ())
    return {ObjectKey(each["kind"], namespace, each["name"], group_of(each["apiVersion"])) for each in held}


def _levers(body: Mapping[str, Any]) -> set[ObjectKey]:
    spec, namespace = body.get("spec") or {}, body["metadata"]["namespace"]
    target = (spec.get("source") or {}).get("targetRef")
    keys = set()
    if target:
        group = group_of(target.get("apiVersion", "apps/v1"))
        keys.add(ObjectKey(target.get("kind", "Deployment"), namespace, target["name"], group))
    hpa = (spec.get("autoCorrection") or {}).get("horizontalPodAutoscalerRef")
    if hpa:
        keys.add(ObjectKey(HPA_KIND, namespace, hpa["name"], "autoscaling"))
    return keys


def _depends(body: Mapping[str, Any]) -> frozenset[ObjectKey]:
    source = ((body.get("spec") or {}).get("source") or {}).get("metricsSourceRef") or {}
    return frozenset(_levers(body) | _held(body) | {ObjectKey(SOURCE_KIND, "", source.get("name", "default"))})


def _corrects(body: Mapping[str, Any]) -> frozenset[ObjectKey]:
    spec = body.get("spec") or {}
    correction = spec.get("autoCorrection") or {}
    idle = (
        spec.get("suspend", False)
        or not correction.get("enabled", True)
        or correction.get("mode", CorrectionMode.APPLY) != CorrectionMode.APPLY
        or body["metadata"].get("deletionTimestamp") is not None
    )
    return frozenset() if idle else frozenset(_levers(body))
