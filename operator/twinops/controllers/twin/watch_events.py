"""What follows from watch events: which twins are synced before their slot, and which are restored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.shared.links import HPA_KIND, SOURCE_KIND, Keys, ObjectKey, group_of
from twinops.controllers.shared.record import TwinObject, TwinRecord, WatchedState
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.work_queue import Accepted, WorkQueue
from twinops.ports.kubernetes import TwinRef

_SCALING = frozenset({"replicas", "minReplicas"})
"""Fields of a spec that every scaling changes, our own corrections among them; they cause no sync."""


class WatchEvents:
    """Keeps the store of twins up to date and requests syncs of the twins that an event concerns.

    Args:
        store: the records of the twins.
        queue: where syncs are requested.
        restore: called for a twin that is being deleted while it still holds something; calls for
            a twin that is being restored already are ignored.
        remove_finalizer: called likewise for every twin that is being deleted.
        source_changed: called with the name of a MetricsSource that is new or changed.
        source_gone: called with the name of one that was deleted.
        in_progress: called with a twin when a sync is requested while one runs, once for each that runs; that
            request runs next.
    """

    def __init__(
        self,
        store: TwinStore,
        queue: WorkQueue,
        *,
        restore: Callable[[TwinRef], None],
        remove_finalizer: Callable[[TwinRef], None],
        source_changed: Callable[[str], None],
        source_gone: Callable[[str], None],
        in_progress: Callable[[TwinObject], None],
    ) -> None:
        self._store = store
        self._queue = queue
        self._restore = restore
        self._remove_finalizer = remove_finalizer
        self._source_changed = source_changed
        self._source_gone = source_gone
        self._in_progress = in_progress
        self._fingerprints: dict[ObjectKey, str] = {}

    def twin_seen(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Store a twin, and request a sync when its spec or its sync request has changed.

        Syncs of other twins are requested when it starts or stops to correct what they correct, or has restored what
        it held of theirs.
        """
        uid, name = body["metadata"]["uid"], body["metadata"]["name"]
        if deleted:
            record = self._store.drop(uid)
            if record is not None:
                self.twin_gone(record)
            return
        seen = self._store.put(body)
        record = self._store.get(uid)
        if record is None or record.object is not seen:
            # It is gone, or a newer version is stored already, whose own event follows.
            return
        before, now = record.watched, WatchedState(seen.generation, seen.request, seen.links)
        record.watched = now
        if before is not None:
            moved = (before.links.corrects ^ now.links.corrects) | (before.links.holds - now.links.holds)
            self._wake_others(uid, moved, f"twin {name} changed")
        if seen.deleting:
            self.twin_deleting(record)
            return
        if before is None or (before.generation, before.request) == (now.generation, now.request):
            return
        why = "spec changed" if before.generation != now.generation else "sync requested"
        accepted = self._queue.request(uid, why)
        if before.request != now.request and accepted is Accepted.IN_PROGRESS:
            self._report_in_progress(record)

    def _report_in_progress(self, record: TwinRecord) -> None:
        daemon = record.daemon
        if daemon.reported_in_progress != daemon.requests.began:
            daemon.reported_in_progress = daemon.requests.began
            self._in_progress(record.object)

    def twin_gone(self, record: TwinRecord) -> None:
        """Request syncs of the twins that may correct what one that was dropped from the store corrected or held."""
        if record.watched is not None:
            ref, links = record.ref, record.watched.links
            self._wake_others(ref.uid, links.corrects | links.holds, f"twin {ref.name} went")

    def twin_deleting(self, record: TwinRecord) -> None:
        """Start what must happen before a twin that is being deleted can go."""
        self._queue.request(record.ref.uid, "being deleted", at_once=True)
        self._remove_finalizer(record.ref)
        if GIVE_BACK_FINALIZER in record.object.finalizers:
            self._restore(record.ref)

    def dependency_seen(self, body: Mapping[str, Any], *, listed: bool, deleted: bool) -> None:
        """Request syncs of the twins that name this object or its target.

        Its creation, its deletion and changes of its spec count; a change of replicas alone is ignored.

        Args:
            body: the object as the watch sent it.
            listed: the object comes from a list, not from a change; when it is listed for the first time nothing is
                requested, since every start would sync all twins at once otherwise.
            deleted: the object is gone.
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
            # Nothing is kept of objects that no twin names, except of sources, which are few.
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
    compared = [body["metadata"].get("uid"), spec]
    return hashlib.blake2b(json.dumps(compared, sort_keys=True).encode(), digest_size=12).hexdigest()
