"""Publishes what a sync found: status, Events, metrics, and the finalizer of a twin that holds saved values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from twinops.api import GIVE_BACK_FINALIZER, ORIGINAL_ANNOTATION
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.record import TwinObject
from twinops.controllers.shared.status_kind import Purpose, StatusKind, unless_changed_or_unguarded
from twinops.controllers.shared.status_writer import StatusWriter, WriteOutcome, Written
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.twin_at_sync import TwinAtSync
from twinops.core.correction.saved_annotation import annotation_on_twin
from twinops.core.events import WARNING, Event, InvolvedObject, about_twin, of_twin
from twinops.core.state import TwinState
from twinops.core.status.diff import is_material
from twinops.core.status.events import transitions
from twinops.errors import ClusterError, Conflict
from twinops.ports.kubernetes import EventRecorder, TwinRef, Twins
from twinops.ports.process import Telemetry

log = structlog.get_logger()

MAX_PENDING_EVENTS = 20
"""So many Events of one twin are kept while its status cannot be written; older ones are dropped."""

TWIN_STATUS = StatusKind("twin", unless_changed_or_unguarded(GIVE_BACK_FINALIZER))
"""How the status writer treats DigitalTwins."""


class Publisher:
    """Writes statuses, and posts the Events and publishes the metrics that go with them.

    Args:
        store: takes in every body that a write or a conflict returns.
        twins: sets finalizers.
        writer: writes statuses, within its budget.
        events: posts Events.
        telemetry: publishes as metrics what statuses say.
    """

    def __init__(
        self,
        store: TwinStore,
        twins: Twins,
        writer: StatusWriter[TwinRef],
        events: EventRecorder,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._twins = twins
        self._writer = writer
        self._events = events
        self._telemetry = telemetry

    def keep(self, twin: TwinAtSync, status: DigitalTwinStatus) -> None:
        """Let the next sync start from this status, whether or not it is written, and publish it as metrics."""
        twin.record.compute(status)
        self._telemetry.assessed(twin.ref, status)

    async def intend(self, twin: TwinAtSync, status: DigitalTwinStatus) -> tuple[WriteOutcome, TwinAtSync]:
        """Set the finalizer and write the intended change to status, before anything else is changed.

        Returns:
            The outcome of the status write, and the twin as it stands after it. Unless the outcome is ``WRITTEN``,
            nothing may be changed.

        Raises:
            ClusterError: the finalizer could not be set.
        """
        annotation = annotation_on_twin(TwinState.from_status(status), twin.ref.name)
        guarded = await self._with_finalizer(twin, annotation)
        done = await self._writer.write(
            twin.ref,
            guarded.read,
            status.to_wire,
            material=True,
            purpose=Purpose.INTENT,
            interval=twin.object.interval,
            last_write=twin.record.daemon,
        )
        return done.outcome, replace(twin, object=self._taken(guarded, done, status))

    async def publish(
        self,
        twin: TwinAtSync,
        status: DigitalTwinStatus,
        events: Sequence[Event] = (),
        *,
        holds: bool,
        purpose: Purpose = Purpose.OBSERVATION,
    ) -> WriteOutcome:
        """Keep the status, write it where it says something new, and post its Events once it is written.

        Events of a status that is not written are kept, the newest ``MAX_PENDING_EVENTS`` of them, and posted with
        the next one that is.

        Args:
            twin: as it was when the sync began.
            status: to write.
            events: beside those that follow from the change of status.
            holds: whether the twin holds a saved value that a deletion must restore. If not, the finalizer is taken
                off.
            purpose: ``OUTCOME`` when the status records what was changed.

        Returns:
            The outcome of the status write.
        """
        self.keep(twin, status)
        record = twin.record
        done = await self._writer.write(
            twin.ref,
            twin.object.read,
            status.to_wire,
            material=_is_material(twin, status),
            purpose=purpose,
            interval=twin.object.interval,
            last_write=record.daemon,
        )
        # After a conflict, too: the next sync must start from what stands on the API server.
        now = self._taken(twin.object, done, status)
        pending, record.daemon.pending_events = (*record.daemon.pending_events, *events), ()
        if done.outcome is WriteOutcome.REFUSED:
            self._tell_refused(twin)
        if done.written:
            record.daemon.refusal_reported = False
            self._post(twin, status, pending)
        else:
            # Changes to other objects get their Events even when the status write fails now.
            record.daemon.pending_events = pending[-MAX_PENDING_EVENTS:]
        if done.outcome is not WriteOutcome.CONFLICT and not holds:
            await self._without_finalizer(now)
        return done.outcome

    def _taken(self, known: TwinObject, done: Written, status: DigitalTwinStatus) -> TwinObject:
        """Put the body that a write of this status returned into the store, and return the twin as it stands now.

        Args:
            known: the twin as it stood before.
            done: where it holds no body, the twin stands as before.
            status: that was to be written.
        """
        if done.body is None:
            return known
        return self._store.put(done.body, status=status if done.as_sent else None)

    def _tell_refused(self, twin: TwinAtSync) -> None:
        """Post an Event that the API server refuses the status, once until a write succeeds."""
        if not twin.record.daemon.refusal_reported:
            twin.record.daemon.refusal_reported = True
            message = "the API server refuses the twin's status: grant update on digitaltwins/status, or see the log"
            self._events.post(Event(twin.object.about, WARNING, "StatusRefused", message))

    def _post(self, twin: TwinAtSync, status: DigitalTwinStatus, events: Sequence[Event]) -> None:
        involved = twin.object.about
        for event in (*transitions(twin.written, status), *events):
            self._events.post(of_twin(event, involved))

    async def _with_finalizer(self, twin: TwinAtSync, original: str) -> TwinObject:
        """Set the finalizer, and the annotation with a saved value that has no object of its own to stand on.

        Args:
            twin: as it stands.
            original: value of the annotation; empty where none is needed.
        """
        finalizers = list(twin.object.finalizers)
        noted = not original or twin.object.original == original
        if GIVE_BACK_FINALIZER in finalizers:
            if noted:
                return twin.object
        else:
            finalizers.append(GIVE_BACK_FINALIZER)
        try:
            return await self._set(twin.object, finalizers, {} if noted else {ORIGINAL_ANNOTATION: original})
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
            # It does no harm until the twin is deleted, and the next sync tries again.
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
    known = twin.written if twin.object.read.status else None
    spec = twin.spec
    limits, expected = ({}, {}) if spec is None else (spec.limits, spec.expected_state.metrics)
    return is_material(known, status, limits=limits, expected=expected)
