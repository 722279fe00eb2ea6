"""What watch events mean: which twins to wake, and which to give back for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from twinops.api import GIVE_BACK_FINALIZER, SYNC_REQUESTED_ANNOTATION
from twinops.services.ports import TwinRef
from twinops.services.twin_index import SOURCE_KIND, ObjectKey, TwinIndex, group_of
from twinops.services.wakeups import Accepted, Wakeups


class Watching:
    """Keeps the index of twins true and wakes the twins that an event concerns.

    Args:
        index: the twins known.
        wakeups: how their daemons are woken.
        release: called for a twin that is being deleted while it still holds something; calls for
            a twin that is being released already are ignored.
        source_changed: called with the name of a MetricsSource that is new or changed.
        source_gone: called with the name of one that went.
        busy: called with a twin's body when a sync is requested while one runs; that request runs next.
    """

    def __init__(
        self,
        index: TwinIndex,
        wakeups: Wakeups,
        *,
        release: Callable[[TwinRef], None],
        source_changed: Callable[[str], None],
        source_gone: Callable[[str], None],
        busy: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._index = index
        self._wakeups = wakeups
        self._release = release
        self._source_changed = source_changed
        self._source_gone = source_gone
        self._busy = busy
        self._fingerprints: dict[ObjectKey, str] = {}
        self._asked: dict[str, tuple[int, str | None]] = {}

    def twin_seen(self, body: Mapping[str, Any], *, deleted: bool) -> None:
        """Take note of a twin, and wake its daemon when its spec or its sync request is new."""
        meta = body["metadata"]
        uid = meta["uid"]
        if deleted:
            self._index.drop(uid)
            self._asked.pop(uid, None)
            return
        ref = self._index.put(body)
        if meta.get("deletionTimestamp"):
            if GIVE_BACK_FINALIZER in (meta.get("finalizers") or ()):
                self._release(ref)
            return
        asked = (meta.get("generation", 0), (meta.get("annotations") or {}).get(SYNC_REQUESTED_ANNOTATION))
        before = self._asked.get(uid)
        self._asked[uid] = asked
        if before is None or before == asked:
            return
        why = "spec changed" if before[0] != asked[0] else "sync requested"
        accepted = self._wakeups.request(uid, why)
        if before[1] != asked[1] and accepted is Accepted.IN_PROGRESS:
            self._busy(body)

    def dependency_seen(self, body: Mapping[str, Any], *, listed: bool, deleted: bool) -> None:
        """Wake the twins that name this object, when its spec is new or it came or went.

        Args:
            body: the object as the watch sent it.
            listed: the object comes from a list, not from a change; one that is seen for the first time
                so wakes nobody, or every start would sync all twins at once.
            deleted: it is gone.
        """
        key = _key(body)
        is_source = key.kind == SOURCE_KIND
        dependents = self._index.dependents(key)
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
        self._wakeups.request_all([ref.uid for ref in dependents], f"{key.kind} {key.name} {verb}")


def _key(body: Mapping[str, Any]) -> ObjectKey:
    meta, kind = body["metadata"], body.get("kind", "")
    if kind == SOURCE_KIND:
        return ObjectKey(SOURCE_KIND, "", meta["name"])
    return ObjectKey(kind, meta.get("namespace") or "", meta["name"], group_of(body.get("apiVersion", "")))


def _fingerprint(body: Mapping[str, Any]) -> str:
    """Return what changes when an object's uid or spec does, and not when its status does."""
    told = [body["metadata"].get("uid"), body.get("spec")]
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=12).hexdigest()
