"""Telling the cluster what a sync found: the status, its Events, and the finalizer that guards originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from twinops.api import GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.status_kind import Purpose, StatusKind, unless_changed_or_unguarded
from twinops.controllers.shared.status_writer import StatusWriter, WriteOutcome, Written
from twinops.controllers.shared.store import TwinStore
from twinops.core.correction.original_annotation import on_twin
from twinops.core.events import WARNING, Event, InvolvedObject, about_twin, of_twin
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.diff import is_material
from twinops.core.status.events import transitions
from twinops.errors import ClusterError, Conflict, StatusUnreadable
from twinops.ports.kubernetes import EventRecorder, TwinRef, Twins

log = structlog.get_logger()

MOST_UNTOLD = 20
"""Events of one twin that wait for a status write to succeed."""

TWIN_STATUS = StatusKind("twin", unless_changed_or_unguarded(GIVE_BACK_FINALIZER), "lastSyncTime")
"""How the status writer treats DigitalTwins."""

UNREADABLE_INTERVAL = 60.0
"""Seconds; the interval of a twin whose spec cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinAtSync:
    """One twin as it was when a sync began.

    Attributes:
        body: the object as read; what is written carries its resourceVersion.
        written: the status as it stands on the API server.
        previous: the status as last computed, which may be newer than what was written.
        spec: None when it cannot be read.
    """

    ref: TwinRef
    body: Mapping[str, Any]
    sync: Sync
    written: DigitalTwinStatus
    previous: DigitalTwinStatus
    spec: DigitalTwinSpec | None


class Publisher:
    """Writes statuses and posts the Events that go with them.

    Args:
        index: is given every body that a write returns.
        twins: sets finalizers.
        writer: writes statuses, within its budget.
        events: posts Events.
    """

    def __init__(self, index: TwinStore, twins: Twins, writer: StatusWriter[TwinRef], events: EventRecorder) -> None:
        self._index = index
        self._twins = twins
        self._writer = writer
        self._events = events
        self._untold: dict[str, list[Event]] = {}
        self._refused: set[str] = set()

    def forget(self, ref: TwinRef) -> None:
        """Drop what is remembered of a twin that is gone."""
        self._writer.forget(ref.uid)
        self._untold.pop(ref.uid, None)
        self._refused.discard(ref.uid)

    async def intend(self, twin: TwinAtSync, status: DigitalTwinStatus) -> Written:
        """Put finalizer and intent onto the API server, before anything else is changed.

        Returns:
            What became of it; unless it was written, nothing may be changed.

        Raises:
            ClusterError: the finalizer could not be set.
        """
        guarded = await self._with_finalizer(twin, on_twin(TwinState.from_status(status), twin.ref.name))
        done = await self._writer.write(
            twin.ref, guarded, status.to_wire(), material=True, purpose=Purpose.INTENT, interval=_interval(twin)
        )
        if done.body is not None:
            self._index.put(done.body)
        return done

    async def publish(
        self,
        twin: TwinAtSync,
        status: DigitalTwinStatus,
        events: Sequence[Event] = (),
        *,
        holds: bool,
        purpose: Purpose = Purpose.OBSERVATION,
    ) -> WriteOutcome:
        """Write the status where it says something new, and post its Events once it is written.

        Args:
            twin: as it was when the sync began.
            status: to write.
            events: beside those that follow from the change of status.
            holds: whether the twin holds something that a deletion must give back; if not, the finalizer goes.
            purpose: ``OUTCOME`` when it records what was changed.

        Returns:
            What became of the status.
        """
        done = await self._writer.write(
            twin.ref,
            twin.body,
            status.to_wire(),
            material=_is_material(twin, status),
            purpose=purpose,
            interval=_interval(twin),
        )
        body = twin.body if done.body is None else done.body
        untold = [*self._untold.pop(twin.ref.uid, ()), *events]
        if done.body is not None:
            # After a conflict, too: or the next sync would start from what has lost already.
            self._index.put(done.body)
        if done.outcome is WriteOutcome.REFUSED:
            self._tell_refused(twin)
        if done.written:
            self._refused.discard(twin.ref.uid)
            self._post(twin, status, untold)
        elif untold:
            # What was done to others is told even when the write that says so fails now.
            self._untold[twin.ref.uid] = untold[-MOST_UNTOLD:]
        if done.outcome is not WriteOutcome.CONFLICT and not holds:
            await self._without_finalizer(twin.ref, body)
        return done.outcome

    def _tell_refused(self, twin: TwinAtSync) -> None:
        """Tell by an Event, once, what cannot stand in a status that is not taken."""
        if twin.ref.uid not in self._refused:
            self._refused.add(twin.ref.uid)
            message = "the API server refuses the twin's status: grant update on digitaltwins/status, or see the log"
            self._events.post(Event(about(twin.body), WARNING, "StatusRefused", message))

    def _post(self, twin: TwinAtSync, status: DigitalTwinStatus, events: Sequence[Event]) -> None:
        involved = about(twin.body)
        for event in (*transitions(twin.written, status), *events):
            self._events.post(of_twin(event, involved))

    async def _with_finalizer(self, twin: TwinAtSync, original: str) -> Mapping[str, Any]:
        """Set the finalizer, and beside it the original that no other object can hold."""
        finalizers = list(twin.body["metadata"].get("finalizers") or ())
        told = not original or _annotation(twin.body) == original
        if GIVE_BACK_FINALIZER in finalizers:
            if told:
                return twin.body
        else:
            finalizers.append(GIVE_BACK_FINALIZER)
        try:
            return await self._set(twin.ref, twin.body, finalizers, {} if told else {ORIGINAL_ANNOTATION: original})
        except Conflict:
            self._index.put(await self._twins.get(twin.ref))
            raise

    async def _without_finalizer(self, ref: TwinRef, body: Mapping[str, Any]) -> None:
        finalizers = list(body["metadata"].get("finalizers") or ())
        if GIVE_BACK_FINALIZER not in finalizers:
            return
        finalizers.remove(GIVE_BACK_FINALIZER)
        try:
            await self._set(ref, body, finalizers, {ORIGINAL_ANNOTATION: None} if _annotation(body) else {})
        except ClusterError as error:
            # It harms nobody until the twin is deleted, and the next sync tries again.
            log.debug("finalizer not taken off", namespace=ref.namespace, twin=ref.name, error=str(error))

    async def _set(
        self, ref: TwinRef, body: Mapping[str, Any], finalizers: Sequence[str], annotations: Mapping[str, str | None]
    ) -> Mapping[str, Any]:
        written = await self._twins.set_finalizers(
            ref, finalizers, resource_version=body["metadata"]["resourceVersion"], annotations=annotations
        )
        self._index.put(written)
        return written


def _annotation(body: Mapping[str, Any]) -> str:
    found: str = (body["metadata"].get("annotations") or {}).get(ORIGINAL_ANNOTATION, "")
    return found


def read_status(body: Mapping[str, Any]) -> DigitalTwinStatus:
    """Return the status of a twin.

    Of one that cannot be read whole (an older operator may meet a newer status) every part that can
    be read is kept.

    Raises:
        StatusUnreadable: the originals cannot be read; to go on would lose them.
    """
    raw = body.get("status") or {}
    try:
        return DigitalTwinStatus.from_wire(raw)
    except ValidationError as error:
        meta = body["metadata"]
        log.warning("status unreadable in part", namespace=meta["namespace"], twin=meta["name"], error=str(error))
    readable = {}
    for field, value in raw.items():
        try:
            DigitalTwinStatus.from_wire({field: value})
        except ValidationError as error:
            if field == "originals":
                raise StatusUnreadable(f"status.originals cannot be read: {error}") from error
        else:
            readable[field] = value
    return DigitalTwinStatus.from_wire(readable)


def about(body: Mapping[str, Any]) -> InvolvedObject:
    """Return the reference by which an Event names this twin."""
    meta = body["metadata"]
    return about_twin(meta["namespace"], meta["name"], meta["uid"], meta.get("resourceVersion", ""))


def _is_material(twin: TwinAtSync, status: DigitalTwinStatus) -> bool:
    known = twin.written if twin.body.get("status") else None
    spec = twin.spec
    limits, expected = ({}, {}) if spec is None else (spec.limits, spec.expected_state.metrics)
    return is_material(known, status, limits=limits, expected=expected)


def _interval(twin: TwinAtSync) -> float:
    return UNREADABLE_INTERVAL if twin.spec is None else twin.spec.sync_frequency_seconds
