"""Telling the cluster what a sync found: the status, its Events, and the finalizer that guards originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from twinops.api import GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.record import TwinObject, TwinRecord
from twinops.controllers.shared.status_kind import Purpose, StatusKind, unless_changed_or_unguarded
from twinops.controllers.shared.status_writer import StatusWriter, WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.core.correction.saved_annotation import annotation_on_twin
from twinops.core.events import WARNING, Event, InvolvedObject, about_twin, of_twin
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.diff import is_material
from twinops.core.status.events import transitions
from twinops.errors import ClusterError, Conflict, SpecError
from twinops.ports.kubernetes import EventRecorder, TwinRef, Twins

log = structlog.get_logger()

MOST_UNTOLD = 20
"""Events of one twin that wait for a status write to succeed."""

TWIN_STATUS = StatusKind("twin", unless_changed_or_unguarded(GIVE_BACK_FINALIZER), "lastSyncTime")
"""How the status writer treats DigitalTwins."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinAtSync:
    """One twin and the circumstances of one of its syncs.

    Attributes:
        record: what is kept of the twin.
        object: the twin as it was when the sync began; what is written carries its resourceVersion.
        written: the status as it stood on the API server then.
        previous: the status as last computed, which may be newer than what was written.
    """

    record: TwinRecord
    object: TwinObject
    sync: Sync
    written: DigitalTwinStatus
    previous: DigitalTwinStatus

    @property
    def ref(self) -> TwinRef:
        """Return the twin's name and UID."""
        return self.record.ref

    @property
    def spec(self) -> DigitalTwinSpec | None:
        """Return the spec, None when it cannot be read."""
        return None if isinstance(self.object.spec, SpecError) else self.object.spec


class Publisher:
    """Writes statuses and posts the Events that go with them.

    Args:
        store: takes in every body that a write or a conflict returns.
        twins: sets finalizers.
        writer: writes statuses, within its budget.
        events: posts Events.
    """

    def __init__(self, store: TwinStore, twins: Twins, writer: StatusWriter[TwinRef], events: EventRecorder) -> None:
        self._store = store
        self._twins = twins
        self._writer = writer
        self._events = events

    async def intend(self, twin: TwinAtSync, status: DigitalTwinStatus) -> tuple[WriteOutcome, TwinAtSync]:
        """Put finalizer and intent onto the API server, before anything else is changed.

        Returns:
            What became of it, and the twin as it stands after that; unless it was written, nothing may be changed.

        Raises:
            ClusterError: the finalizer could not be set.
        """
        annotation = annotation_on_twin(TwinState.from_status(status), twin.ref.name)
        guarded, wire = await self._with_finalizer(twin, annotation), status.to_wire()
        done = await self._writer.write(
            twin.ref, guarded.body(), wire, material=True, purpose=Purpose.INTENT, interval=twin.object.interval
        )
        return done.outcome, replace(twin, object=self._taken(guarded, done.body, status, wire))

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
        record, wire = twin.record, status.to_wire()
        done = await self._writer.write(
            twin.ref,
            twin.object.body(),
            wire,
            material=_is_material(twin, status),
            purpose=purpose,
            interval=twin.object.interval,
        )
        # After a conflict, too: or the next sync would start from what has lost already.
        now = self._taken(twin.object, done.body, status, wire)
        untold, record.daemon.untold = (*record.daemon.untold, *events), ()
        if done.outcome is WriteOutcome.REFUSED:
            self._tell_refused(twin)
        if done.written:
            record.daemon.refusal_told = False
            self._post(twin, status, untold)
        else:
            # What was done to others is told even when the write that says so fails now.
            record.daemon.untold = untold[-MOST_UNTOLD:]
        if done.outcome is not WriteOutcome.CONFLICT and not holds:
            await self._without_finalizer(now)
        return done.outcome

    def _taken(
        self,
        known: TwinObject,
        body: Mapping[str, Any] | None,
        status: DigitalTwinStatus,
        wire: Mapping[str, Any],
    ) -> TwinObject:
        """Hand over what a write of this status returned, and return the twin as it stands now as far as is known."""
        if body is None:
            return known
        return self._store.put(body, status=status if body.get("status") == wire else None)

    def _tell_refused(self, twin: TwinAtSync) -> None:
        """Tell by an Event, once, what cannot stand in a status that is not taken."""
        if not twin.record.daemon.refusal_told:
            twin.record.daemon.refusal_told = True
            message = "the API server refuses the twin's status: grant update on digitaltwins/status, or see the log"
            self._events.post(Event(twin.object.about, WARNING, "StatusRefused", message))

    def _post(self, twin: TwinAtSync, status: DigitalTwinStatus, events: Sequence[Event]) -> None:
        involved = twin.object.about
        for event in (*transitions(twin.written, status), *events):
            self._events.post(of_twin(event, involved))

    async def _with_finalizer(self, twin: TwinAtSync, original: str) -> TwinObject:
        """Set the finalizer, and beside it the original that no other object can hold."""
        finalizers = list(twin.object.finalizers)
        told = not original or twin.object.original == original
        if GIVE_BACK_FINALIZER in finalizers:
            if told:
                return twin.object
        else:
            finalizers.append(GIVE_BACK_FINALIZER)
        try:
            return await self._set(twin.object, finalizers, {} if told else {ORIGINAL_ANNOTATION: original})
        except Conflict:
            self._store.put(await self._twins.get(twin.ref))
            raise

    async def _without_finalizer(self, twin: TwinObject) -> None:
        if GIVE_BACK_FINALIZER not in twin.finalizers:
            return
        finalizers = [name for name in twin.finalizers if name != GIVE_BACK_FINALIZER]
        try:
            await self._set(twin, finalizers, {ORIGINAL_ANNOTATION: None} if twin.original else {})
        except ClusterError as error:
            # It harms nobody until the twin is deleted, and the next sync tries again.
            log.debug("finalizer not taken off", namespace=twin.ref.namespace, twin=twin.ref.name, error=str(error))

    async def _set(
        self, twin: TwinObject, finalizers: Sequence[str], annotations: Mapping[str, str | None]
    ) -> TwinObject:
        written = await self._twins.set_finalizers(
            twin.ref, finalizers, resource_version=twin.resource_version, annotations=annotations
        )
        return self._store.put(written)


def about(body: Mapping[str, Any]) -> InvolvedObject:
    """Return the reference by which an Event names this twin."""
    meta = body["metadata"]
    return about_twin(meta["namespace"], meta["name"], meta["uid"], meta.get("resourceVersion", ""))


def _is_material(twin: TwinAtSync, status: DigitalTwinStatus) -> bool:
    known = twin.written if twin.object.raw_status else None
    spec = twin.spec
    limits, expected = ({}, {}) if spec is None else (spec.limits, spec.expected_state.metrics)
    return is_material(known, status, limits=limits, expected=expected)
