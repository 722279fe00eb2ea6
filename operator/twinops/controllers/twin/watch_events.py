"""What watch events mean: which twins to wake, and which to give back for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twinops.api import GIVE_BACK_FINALIZER, SYNC_REQUESTED_ANNOTATION
from twinops.controllers.shared.bodies import trimmed
from twinops.controllers.shared.store import HPA_KIND, SOURCE_KIND, Claims, ObjectKey, TwinStore, claims, group_of
from twinops.controllers.shared.work_queue import Accepted, WorkQueue
from twinops.ports.kubernetes import TwinRef

_SCALING = frozenset({"replicas", "minReplicas"})
"""Fields of a spec that move with every scaling, our own corrections among them: no reason to look at once."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an event about a twin is compared with."""

    generation: int
    requested: str | None
    claims: Claims


class WatchEvents:
    """Keeps the index of twins true and wakes the twins that an event concerns.

    Args:
        index: the twins known.
        wakeups: how their daemons are woken.
        release: called for a twin that is being deleted while it still holds something; calls for
            a twin that is being released already are ignored.
        leaving: called likewise for every twin that is being deleted.
        source_changed: called with the name of a MetricsSource that is new or changed.
        source_gone: called with the name of one that went.
        busy: called with a twin's body when a sync is requested while one runs, once for each that runs; that
            request runs next.
    """

    def __init__(
        self,
        index: TwinStore,
        wakeups: WorkQueue,
        *,
        release: Callable[[TwinRef], None],
        leaving: Callable[[TwinRef], None],
        source_changed: Callable[[str], None],
        source_gone: Callable[[str], None],
        busy: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._index = index
        self._wakeups = wakeups
        self._release = release
        self._leaving = leaving
        self._source_changed = source_changed
        self._source_gone = source_gone
        self._busy = busy
        self._fingerprints: dict[ObjectKey, str] = {}
        self._seen: dict[str, _Seen] = {}
        self._told_busy: dict[str, float] = {}

    def twin_seen(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take note of a twin, and wake its daemon when its spec or its sync request is new.

        Others are woken when it makes room for them, or takes what was theirs.
        """
        body = trimmed(body)
        meta = body["metadata"]
        uid = meta["uid"]
        before = self._seen.pop(uid, None)
        if deleted:
            self._told_busy.pop(uid, None)
            self._index.drop(uid)
            self._wakeups.rouse(uid, "deleted")
            if before is not None:
                self._wake_others(uid, before.claims.corrects | before.claims.holds, f"twin {meta['name']} went")
            return
        self._index.put(body)
        if self._index.body(uid) is None:
            # It has gone already: this was on its way before that.
            return
        requested = (meta.get("annotations") or {}).get(SYNC_REQUESTED_ANNOTATION)
        now = self._seen[uid] = _Seen(meta.get("generation", 0), requested, claims(body))
        if before is not None:
            moved = (before.claims.corrects ^ now.claims.corrects) | (before.claims.holds - now.claims.holds)
            self._wake_others(uid, moved, f"twin {meta['name']} changed")
        if meta.get("deletionTimestamp"):
            self.twin_leaves(body)
            return
        if before is None or (before.generation, before.requested) == (now.generation, now.requested):
            return
        why = "spec changed" if before.generation != now.generation else "sync requested"
        accepted = self._wakeups.request(uid, why)
        if before.requested != now.requested and accepted is Accepted.IN_PROGRESS:
            self._tell_busy(uid, body)

    def _tell_busy(self, uid: str, body: Mapping[str, Any]) -> None:
        began = self._wakeups.began(uid)
        if self._told_busy.get(uid) != began:
            self._told_busy[uid] = began
            self._busy(body)

    def twin_leaves(self, body: Mapping[str, Any]) -> None:
        """Begin what a twin that is being deleted waits for."""
        meta = body["metadata"]
        ref = TwinRef(meta["namespace"], meta["name"], meta["uid"])
        self._wakeups.rouse(ref.uid, "being deleted")
        self._leaving(ref)
        if GIVE_BACK_FINALIZER in (meta.get("finalizers") or ()):
            self._release(ref)

    def dependency_seen(self, body: Mapping[str, Any], *, listed: bool, deleted: bool) -> None:
        """Wake the twins that name this object or its target, when its spec is new or it came or went.

        A change of replicas alone wakes nobody.

        Args:
            body: the object as the watch sent it.
            listed: the object comes from a list, not from a change; one that is seen for the first time
                so wakes nobody, or every start would sync all twins at once.
            deleted: it is gone.
        """
        key = _key(body)
        is_source = key.kind == SOURCE_KIND
        dependents = {ref.uid for each in (key, *_targets(body)) for ref in self._index.dependents(each)}
        before = self._fingerprints.pop(key, None)
        if deleted:
            if is_source:
                self._source_gone(key.name)
        else:
            now = _fingerprint(body)
            # Of objects that nobody names nothing is kept; sources are few.
            if dependents or is_source:
                self._fingerprints[key] = now
            if before == now:
                return
            if is_source:
                self._source_changed(key.name)
            if before is None and listed:
                return
        verb = "went" if deleted else "changed"
        self._wakeups.request_all(sorted(dependents), f"{key.kind} {key.name} {verb}")

    def _wake_others(self, uid: str, keys: frozenset[ObjectKey], why: str) -> None:
        others = {ref.uid for key in keys for ref in self._index.dependents(key)} - {uid}
        self._wakeups.request_all(sorted(others), why)


def _key(body: Mapping[str, Any]) -> ObjectKey:
    meta, kind = body["metadata"], body.get("kind", "")
    if kind == SOURCE_KIND:
        return ObjectKey(SOURCE_KIND, "", meta["name"])
    return ObjectKey(kind, meta.get("namespace") or "", meta["name"], group_of(body.get("apiVersion", "")))


def _targets(body: Mapping[str, Any]) -> tuple[ObjectKey, ...]:
    """Return what an HPA scales: a twin of that need not name the HPA."""
    target = (body.get("spec") or {}).get("scaleTargetRef")
    if body.get("kind") != HPA_KIND or not target:
        return ()
    namespace = body["metadata"].get("namespace") or ""
    return (ObjectKey(target["kind"], namespace, target["name"], group_of(target.get("apiVersion", ""))),)


def _fingerprint(body: Mapping[str, Any]) -> str:
    """Return what changes when an object's uid or spec does, and not when its status or its replicas do."""
    spec = {field: value for field, value in (body.get("spec") or {}).items() if field not in _SCALING}
    told = [body["metadata"].get("uid"), spec]
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=12).hexdigest()
