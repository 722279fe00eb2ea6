"""What watch events mean: which twins to wake, and which to release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.shared.links import HPA_KIND, SOURCE_KIND, Keys, ObjectKey, group_of
from twinops.controllers.shared.record import Seen, TwinObject, TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.work_queue import Accepted, WorkQueue
from twinops.ports.kubernetes import TwinRef

_SCALING = frozenset({"replicas", "minReplicas"})
"""Fields of a spec that move with every scaling, our own corrections among them: no reason to look at once."""


class WatchEvents:
    """Keeps the store of twins true and wakes the twins that an event concerns.

    Args:
        store: the records of the twins.
        queue: where syncs are requested.
        release: called for a twin that is being deleted while it still holds something; calls for
            a twin that is being released already are ignored.
        leaving: called likewise for every twin that is being deleted.
        source_changed: called with the name of a MetricsSource that is new or changed.
        source_gone: called with the name of one that went.
        busy: called with a twin when a sync is requested while one runs, once for each that runs; that
            request runs next.
    """

    def __init__(
        self,
        store: TwinStore,
        queue: WorkQueue,
        *,
        release: Callable[[TwinRef], None],
        leaving: Callable[[TwinRef], None],
        source_changed: Callable[[str], None],
        source_gone: Callable[[str], None],
        busy: Callable[[TwinObject], None],
    ) -> None:
        self._store = store
        self._queue = queue
        self._release = release
        self._leaving = leaving
        self._source_changed = source_changed
        self._source_gone = source_gone
        self._busy = busy
        self._fingerprints: dict[ObjectKey, str] = {}

    def twin_seen(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take note of a twin, and wake its daemon when its spec or its sync request is new.

        Others are woken when it makes room for them, or takes what was theirs.
        """
        uid, name = body["metadata"]["uid"], body["metadata"]["name"]
        if deleted:
            record = self._store.drop(uid)
            if record is not None:
                self.twin_went(record)
            return
        seen = self._store.put(body)
        record = self._store.get(uid)
        if record is None or record.object is not seen:
            # It has gone already, or a newer version is known, whose own event follows: this was on its way before.
            return
        before, now = record.seen, Seen(seen.generation, seen.request, seen.links)
        record.seen = now
        if before is not None:
            moved = (before.links.corrects ^ now.links.corrects) | (before.links.holds - now.links.holds)
            self._wake_others(uid, moved, f"twin {name} changed")
        if seen.deleting:
            self.twin_leaves(record)
            return
        if before is None or (before.generation, before.request) == (now.generation, now.request):
            return
        why = "spec changed" if before.generation != now.generation else "sync requested"
        accepted = self._queue.request(uid, why)
        if before.request != now.request and accepted is Accepted.IN_PROGRESS:
            self._tell_busy(record)

    def _tell_busy(self, record: TwinRecord) -> None:
        daemon = record.daemon
        if daemon.busy_told != daemon.wake_up.began:
            daemon.busy_told = daemon.wake_up.began
            self._busy(record.object)

    def twin_went(self, record: TwinRecord) -> None:
        """Wake the twins for which one that was dropped from the store makes room."""
        if record.seen is not None:
            ref, links = record.ref, record.seen.links
            self._wake_others(ref.uid, links.corrects | links.holds, f"twin {ref.name} went")

    def twin_leaves(self, record: TwinRecord) -> None:
        """Begin what a twin that is being deleted waits for."""
        self._queue.request(record.ref.uid, "being deleted", at_once=True)
        self._leaving(record.ref)
        if GIVE_BACK_FINALIZER in record.object.finalizers:
            self._release(record.ref)

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
        dependents = {ref.uid for each in (key, *_targets(body)) for ref in self._store.dependents(each)}
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
        self._queue.request_all(sorted(dependents), f"{key.kind} {key.name} {verb}")

    def _wake_others(self, uid: str, keys: Keys, why: str) -> None:
        others = {ref.uid for key in keys for ref in self._store.dependents(key)} - {uid}
        self._queue.request_all(sorted(others), why)


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
