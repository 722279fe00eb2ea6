"""One sync of one twin: gather, assess, correct, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from twinops.api import API_VERSION, GIVE_BACK_FINALIZER, SYNC_REQUESTED_ANNOTATION
from twinops.api.status import DigitalTwinStatus, Outcome, Quality
from twinops.api.twin import DigitalTwinSpec
from twinops.core.assess import Assessment, assess
from twinops.core.forecast import Forecaster
from twinops.core.notes import transitions
from twinops.core.status import (
    Blocked,
    Sync,
    render_metrics_failed,
    render_stalled,
    render_suspended,
    render_synced,
)
from twinops.core.status_diff import is_material
from twinops.errors import ClusterError, MetricsUnavailable, SpecError
from twinops.services.corrections import CorrectionService, Plan
from twinops.services.observe import Observed, Observer
from twinops.services.ports import Clock, EventNote, EventRecorder, Telemetry, TwinRef, Twins
from twinops.services.status_writer import StatusWriter, WriteOutcome
from twinops.services.twin_index import TwinIndex

log = structlog.get_logger()

STALLED_RETRY = 5.0
"""Seconds; what a stalled twin misses may be of a kind, or a Secret, that no watch covers."""

FAILED_RETRY = 30.0
"""Seconds; a backend that failed is asked again this soon, however long the interval."""

SILENT_RETRY = 60.0
"""Seconds; a workload whose metrics have not begun yet is looked at again this soon."""

CONFLICT_RETRY = 1.0
HELD_RETRY = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class _Twin:
    """One twin at the begin of a sync.

    Attributes:
        written: the status as it stands on the API server.
        previous: the status as last computed, which may be newer than what was written.
    """

    ref: TwinRef
    body: Mapping[str, Any]
    sync: Sync
    written: DigitalTwinStatus
    previous: DigitalTwinStatus


class SyncService:
    """Syncs twins, one call each.

    Args:
        index: newest bodies.
        observer: reads everything a sync needs.
        forecaster: foresees metrics.
        corrections: decides about corrections and carries them out.
        twins: sets finalizers.
        writer: writes status.
        events: posts Events.
        telemetry: publishes what was found as metrics.
        clock: wall time.
    """

    def __init__(  # noqa: PLR0913 - keyword-only; the composition root names each part
        self,
        *,
        index: TwinIndex,
        observer: Observer,
        forecaster: Forecaster,
        corrections: CorrectionService,
        twins: Twins,
        writer: StatusWriter,
        events: EventRecorder,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._index = index
        self._observer = observer
        self._forecaster = forecaster
        self._corrections = corrections
        self._twins = twins
        self._writer = writer
        self._events = events
        self._telemetry = telemetry
        self._clock = clock
        self._computed: dict[str, DigitalTwinStatus] = {}

    def settled(self, ref: TwinRef) -> bool:
        """Tell whether status speaks of the current spec and nothing is half done."""
        body = self._index.body(ref.uid)
        if body is None:
            return False
        status = read_status(body)
        request = (body["metadata"].get("annotations") or {}).get(SYNC_REQUESTED_ANNOTATION)
        return (
            status.observed_generation == body["metadata"].get("generation")
            and status.last_handled_sync_request == request
            and not status.originals
            and not any(record.outcome is Outcome.PENDING for record in status.corrections)
        )

    def forget(self, ref: TwinRef) -> None:
        """Drop what is remembered of a twin that is gone."""
        self._computed.pop(ref.uid, None)
        self._writer.forget(ref.uid)
        self._observer.forget(ref)
        self._telemetry.forget(ref)

    async def sync(self, ref: TwinRef, late_seconds: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot.

        Args:
            ref: the twin.
            late_seconds: how long after its slot the sync begins.
        """
        twin = self._begin(ref)
        if twin is None:
            return None
        started = self._clock.monotonic()
        try:
            spec = DigitalTwinSpec.from_wire(twin.body.get("spec") or {})
        except ValidationError as error:
            return await self._stall(twin, SpecError(_first_mistake(error), reason="InvalidSpec"))
        try:
            retry = await (self._suspended(twin, spec) if spec.suspend else self._synced(twin, spec))
            result = "suspended" if spec.suspend else "synced"
        except SpecError as error:
            retry, result = await self._stall(twin, error, spec), "stalled"
        except MetricsUnavailable as error:
            retry, result = await self._metrics_failed(twin, spec, error), "metrics_unavailable"
        except ClusterError as error:
            log.warning("cluster did not answer", namespace=ref.namespace, twin=ref.name, error=str(error))
            retry, result = error.retry_after or CONFLICT_RETRY * 5, "cluster_error"
        seconds = self._clock.monotonic() - started
        self._telemetry.synced(ref, result=result, seconds=seconds, late_seconds=late_seconds)
        return retry

    def _begin(self, ref: TwinRef) -> _Twin | None:
        body = self._index.body(ref.uid)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        meta = body["metadata"]
        written = read_status(body)
        return _Twin(
            ref=ref,
            body=body,
            sync=Sync(
                generation=meta.get("generation", 0),
                now=self._clock.now(),
                request=(meta.get("annotations") or {}).get(SYNC_REQUESTED_ANNOTATION),
            ),
            written=written,
            previous=self._computed.get(ref.uid, written),
        )

    async def _synced(self, twin: _Twin, spec: DigitalTwinSpec) -> float | None:
        observed = await self._observer.observe(twin.ref, spec, twin.previous, twin.sync.now)
        assessment = assess(spec, observed.observation, twin.previous, self._forecaster)
        plan = await self._corrections.plan(
            twin.ref,
            spec,
            observed.observation,
            assessment.drift,
            assessment.risks,
            twin.previous,
            twin.sync.generation,
        )
        status = self._render(twin, spec, observed, assessment, plan, plan.status)
        self._telemetry.assessed(twin.ref, status)
        for _ in range(plan.reversions):
            self._telemetry.reverted(twin.ref)
        if not plan.writes:
            silent = not any(sample.quality is Quality.GOOD for sample in observed.observation.samples.values())
            retry = await self._write(twin, spec, status, plan.notes)
            return SILENT_RETRY if retry is None and silent else retry
        return await self._correct(twin, spec, observed, assessment, plan, status)

    async def _correct(
        self,
        twin: _Twin,
        spec: DigitalTwinSpec,
        observed: Observed,
        assessment: Assessment,
        plan: Plan,
        status: DigitalTwinStatus,
    ) -> float | None:
        """Write originals and intent, then correct, then write the outcome."""
        held = await self._with_finalizer(twin)
        intent = await self._writer.write(
            twin.ref, held, status.to_wire(), material=True, urgent=True, interval=spec.sync_frequency_seconds
        )
        if not intent.written or intent.body is None:
            # Nothing was done yet: the next sync decides afresh.
            return CONFLICT_RETRY
        self._index.put(intent.body)
        self._computed[twin.ref.uid] = status
        done = await self._corrections.carry_out(twin.ref, plan, status)
        outcome = self._render(twin, spec, observed, assessment, plan, done.status)
        if outcome.corrections:
            self._telemetry.corrected(twin.ref, outcome.corrections[-1].outcome)
        after = _Twin(twin.ref, intent.body, twin.sync, twin.written, outcome)
        return await self._write(after, spec, outcome, (*plan.notes, *done.notes), urgent=True)

    async def _suspended(self, twin: _Twin, spec: DigitalTwinSpec) -> float | None:
        done = await self._corrections.release(
            twin.ref, twin.previous, why="Suspended", now=twin.sync.now, deadline_seconds=20
        )
        status = render_suspended(done.status, twin.sync)
        retry = await self._write(twin, spec, status, done.notes, urgent=bool(done.notes))
        return retry if done.complete else HELD_RETRY

    async def _stall(self, twin: _Twin, error: SpecError, spec: DigitalTwinSpec | None = None) -> float | None:
        status = render_stalled(twin.previous, twin.sync, error.reason, str(error))
        return await self._write(twin, spec, status) or STALLED_RETRY

    async def _metrics_failed(self, twin: _Twin, spec: DigitalTwinSpec, error: MetricsUnavailable) -> float | None:
        samples = self._observer.unavailable(spec, error, twin.previous, twin.sync.now)
        status = render_metrics_failed(twin.previous, twin.sync, samples, str(error))
        return await self._write(twin, spec, status) or FAILED_RETRY

    def _render(
        self,
        twin: _Twin,
        spec: DigitalTwinSpec,
        observed: Observed,
        assessment: Assessment,
        plan: Plan,
        base: DigitalTwinStatus,
    ) -> DigitalTwinStatus:
        decision = plan.decision
        blocked = Blocked(decision.reason, decision.message) if decision.blocked else None
        return render_synced(base, spec, twin.sync, observed.observation, assessment, observed.refused, blocked)

    async def _write(
        self,
        twin: _Twin,
        spec: DigitalTwinSpec | None,
        status: DigitalTwinStatus,
        notes: Sequence[EventNote] = (),
        *,
        urgent: bool = False,
    ) -> float | None:
        """Write the status where it says something new, post Events, and drop the finalizer when it is done."""
        self._computed[twin.ref.uid] = status
        limits = spec.limits if spec else {}
        expected = spec.expected_state.metrics if spec else {}
        material = is_material(_seen(twin), status, limits=limits, expected=expected)
        done = await self._writer.write(
            twin.ref,
            twin.body,
            status.to_wire(),
            material=material,
            urgent=urgent,
            interval=spec.sync_frequency_seconds if spec else STALLED_RETRY,
        )
        body = twin.body
        if done.body is not None:
            self._index.put(done.body)
            body = done.body
        if done.written:
            await self._post(twin, status, notes)
        elif done.outcome is WriteOutcome.CONFLICT:
            self._computed.pop(twin.ref.uid, None)
            return CONFLICT_RETRY
        if not self._corrections.holds(status):
            await self._without_finalizer(twin.ref, body)
        return None

    async def _post(self, twin: _Twin, status: DigitalTwinStatus, notes: Sequence[EventNote]) -> None:
        for note in transitions(twin.written, status):
            await self._events.post(involved(twin.body), kind=note.kind, reason=note.reason, message=note.message)
        for event in notes:
            await self._events.post(event.involved, kind=event.kind, reason=event.reason, message=event.message)

    async def _with_finalizer(self, twin: _Twin) -> Mapping[str, Any]:
        """Make sure that a deletion waits for the originals to be given back."""
        finalizers = list(twin.body["metadata"].get("finalizers") or ())
        if GIVE_BACK_FINALIZER in finalizers:
            return twin.body
        body = await self._twins.set_finalizers(
            twin.ref,
            [*finalizers, GIVE_BACK_FINALIZER],
            resource_version=twin.body["metadata"]["resourceVersion"],
        )
        self._index.put(body)
        return body

    async def _without_finalizer(self, ref: TwinRef, body: Mapping[str, Any]) -> None:
        finalizers = list(body["metadata"].get("finalizers") or ())
        if GIVE_BACK_FINALIZER not in finalizers:
            return
        finalizers.remove(GIVE_BACK_FINALIZER)
        try:
            self._index.put(
                await self._twins.set_finalizers(ref, finalizers, resource_version=body["metadata"]["resourceVersion"])
            )
        except ClusterError as error:
            # It harms nobody until the twin is deleted, and the next sync tries again.
            log.debug("finalizer not taken off", namespace=ref.namespace, twin=ref.name, error=str(error))


def read_status(body: Mapping[str, Any]) -> DigitalTwinStatus:
    """Return the status of a twin; one that cannot be read counts as empty, and is written anew."""
    try:
        return DigitalTwinStatus.from_wire(body.get("status") or {})
    except ValidationError as error:
        meta = body["metadata"]
        log.warning("status unreadable", namespace=meta["namespace"], twin=meta["name"], error=_first_mistake(error))
        return DigitalTwinStatus()


def involved(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reference by which an Event names this twin."""
    meta = body["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "DigitalTwin",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta.get("resourceVersion", ""),
    }


def _seen(twin: _Twin) -> DigitalTwinStatus | None:
    return read_status(twin.body) if twin.body.get("status") else None


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"spec.{where}: {first['msg']}; correct it and apply again"
