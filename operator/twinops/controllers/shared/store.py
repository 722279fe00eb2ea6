"""The records of all twins, and which twins correct, hold and depend on which object.

Filled by a list at the start and by watch events after that; a cache, which is built anew after a restart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twinops.api.references import ObjectRef
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.links import Keys, ObjectKey, key_of
from twinops.controllers.shared.record import Parsed, TwinObject, TwinRecord, parse_object, parse_status
from twinops.controllers.shared.status_kind import ReadObject
from twinops.ports.kubernetes import TwinRef

REMEMBERED_GONE = 10_000
"""Number of UIDs of deleted twins that are kept, so that late events about them are ignored."""

Forget = Callable[[TwinRef], None]


class TwinStore:
    """The record of every twin, by UID, and the links between twins and what they depend on."""

    def __init__(self) -> None:
        """Start empty."""
        self._records: dict[str, TwinRecord] = {}
        self._dependents: dict[ObjectKey, set[str]] = {}
        self._gone: dict[str, None] = {}
        self._forgets: list[Forget] = []

    def __len__(self) -> int:
        """Return how many twins there are."""
        return len(self._records)

    def __iter__(self) -> Iterator[TwinRecord]:
        """Iterate over the twins that there are now."""
        return iter(list(self._records.values()))

    def get(self, uid: str) -> TwinRecord | None:
        """Return a twin's record, None when there is no such twin."""
        return self._records.get(uid)

    def put(self, body: Mapping[str, Any], *, status: DigitalTwinStatus | None = None) -> TwinObject:
        """Store the body that a list, a watch event, a write or a conflict returned, and return it as parsed.

        A body that is older than the stored one, or of a twin that is gone, changes nothing. Nor does
        the same version, which is not parsed again: a watch sends each write of ours once more.

        Args:
            body: the whole object.
            status: from which the body's status was written, so that it need not be parsed.
        """
        uid = body["metadata"]["uid"]
        record = self._records.get(uid)
        if record is not None and _same_version(record.object, body):
            return record.object
        read = ReadObject.of(body)
        parsed = status if status is not None else _status_of(body, read, record)
        given = parse_object(body, read, parsed)
        older = record is not None and _version(record.object.resource_version) > _version(given.resource_version)
        if older or uid in self._gone:
            return given
        if record is None:
            self._records[uid] = TwinRecord(given, parsed)
            self._link(given)
            return given
        if record.object.links == given.links:
            given = dataclasses.replace(given, links=record.object.links)
        else:
            self._unlink(record.object)
            self._link(given)
        record.update(given, parsed)
        return given

    def drop(self, uid: str) -> TwinRecord | None:
        """Remove a twin that is gone, and return its record; late events about it are ignored from now on."""
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_GONE:
            del self._gone[next(iter(self._gone))]
        record = self._records.pop(uid, None)
        if record is not None:
            self._unlink(record.object)
            self.forget(record)
        return record

    def forget(self, record: TwinRecord) -> None:
        """Drop everything that the syncs of a twin have kept: its daemon has ended, or the twin is gone."""
        record.reset()
        for forget in self._forgets:
            forget(record.ref)

    def on_forget(self, *forgets: Forget) -> None:
        """Register what else is called when a twin's daemon has ended, or the twin is gone."""
        self._forgets += forgets

    def dependents(self, key: ObjectKey) -> tuple[TwinRef, ...]:
        """Return the twins that name this object, or hold it."""
        return tuple(self._records[uid].ref for uid in sorted(self._dependents.get(key, ())))

    def depends_on_kind(self, group: str, kind: str) -> bool:
        """Tell whether any twin names or holds an object of this API group and kind."""
        return any((key.group, key.kind) == (group, kind) for key in self._dependents)

    def rival(self, uid: str) -> str:
        """Return the name of the older twin that corrects the same target or HPA; empty when there is none.

        Of several twins on one target the oldest corrects; twins that are suspended, only preview or
        have corrections switched off do not count.
        """
        mine = self._records.get(uid)
        if mine is None:
            return ""
        corrects, age = mine.object.links.corrects, mine.object.age
        older = [twin for twin in self._others(uid, corrects) if twin.links.corrects & corrects and twin.age < age]
        return _oldest(older)

    def holder(self, uid: str, lever: ObjectRef | None) -> str:
        """Return the name of another twin that holds a value of the same target or HPA; empty when there is none.

        Until it has restored that, what stands in the field is not the original. The spec does not matter:
        a twin that was suspended or switched off a moment ago holds on until its own next sync.

        Args:
            uid: of the twin that asks.
            lever: what was found for it to correct, an HPA that its spec does not name among others.
        """
        mine = self._records.get(uid)
        if mine is None:
            return ""
        named = mine.object.links.named
        keys = named if lever is None else named | {key_of(lever, mine.ref.namespace)}
        return _oldest([twin for twin in self._others(uid, keys) if twin.links.holds & keys])

    def _others(self, uid: str, keys: Keys) -> Iterator[TwinObject]:
        others = {other for key in keys for other in self._dependents.get(key, ())} - {uid}
        return (self._records[other].object for other in others)

    def _link(self, given: TwinObject) -> None:
        for key in given.links.depends:
            self._dependents.setdefault(key, set()).add(given.ref.uid)

    def _unlink(self, known: TwinObject) -> None:
        for key in known.links.depends:
            linked = self._dependents.get(key)
            if linked is not None:
                linked.discard(known.ref.uid)
                if not linked:
                    del self._dependents[key]


def _oldest(twins: list[TwinObject]) -> str:
    return min(twins, key=lambda twin: twin.age).ref.name if twins else ""


def _status_of(body: Mapping[str, Any], read: ReadObject, record: TwinRecord | None) -> Parsed:
    """Return the parsed status, that of the version before where only something else has changed."""
    if record is None or record.object.read.status != read.status:
        return parse_status(body)
    return record.parsed


def _same_version(known: TwinObject, body: Mapping[str, Any]) -> bool:
    version = body["metadata"].get("resourceVersion", "")
    return bool(version) and known.resource_version == version


def _version(resource_version: str) -> int:
    """Return a resourceVersion as a number.

    Kubernetes has promised since 1.35 that those of one resource can be compared so; an unreadable one
    (some other API server) counts as newest.
    """
    try:
        return int(resource_version or "0")
    except ValueError:
        return 0
