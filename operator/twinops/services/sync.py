"""One sync of one twin: gather, assess, correct, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ValidationError

from twinops.api import SYNC_REQUESTED_ANNOTATION
from twinops.api.status import DigitalTwinStatus, Outcome, Quality
from twinops.api.twin import DigitalTwinSpec
from twinops.core.assess import Assessment, assess
from twinops.core.forecast import Forecaster
from twinops.core.status import (
    Blocked,
    Sync,
    render_metrics_failed,
    render_stalled,
    render_suspended,
    render_synced,
)
from twinops.errors import ClusterError, MetricsUnavailable, SpecError
from twinops.services.corrections import CorrectionService, Plan
from twinops.services.observe import Observed, Observer
from twinops.services.ports import Clock, EventNote, Telemetry, TwinRef
from twinops.services.publish import Publisher, TwinAtSync, read_status
from twinops.services.twin_index import TwinIndex

log = structlog.get_logger()

STALLED_RETRY = 5.0
"""Seconds; what a stalled twin misses may be of a kind, or a Secret, that no watch covers."""

CLUSTER_RETRY = 5.0
"""Seconds; an API server that did not answer is asked again this soon."""

FAILED_RETRY = 30.0
"""Seconds; a backend that failed is asked again this soon, however long the interval."""

SILENT_RETRY = 60.0
"""Seconds; a workload whose metrics have not begun yet is looked at again this soon."""

CONFLICT_RETRY = 1.0
HELD_RETRY = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class _Findings:
    """What one sync has found out and decided."""

    twin: TwinAtSync
    spec: DigitalTwinSpec
    observed: Observed
    assessment: Assessment
    plan: Plan

    def render(self, base: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status; ``base`` carries what the correction part has made of the last one."""
        decision = self.plan.decision
        blocked = Blocked(decision.reason, decision.message) if decision.blocked else None
        observation, refused = self.observed.observation, self.observed.refused
        return render_synced(base, self.spec, self.twin.sync, observation, self.assessment, refused, blocked)

    @property
    def silent(self) -> bool:
        """Tell whether no metric at all has a fresh value."""
        return not any(sample.quality is Quality.GOOD for sample in self.observed.observation.samples.values())


class SyncService:
    """Syncs twins, one call each.

    Args:
        index: newest bodies.
        observer: reads everything a sync needs.
        forecaster: foresees metrics.
        corrections: decides about corrections and carries them out.
        publisher: writes status and posts Events.
        telemetry: publishes what was found as metrics.
        clock: wall time.
    """

    def __init__(
        self,
        *,
        index: TwinIndex,
        observer: Observer,
        forecaster: Forecaster,
        corrections: CorrectionService,
        publisher: Publisher,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._index = index
        self._observer = observer
        self._forecaster = forecaster
        self._corrections = corrections
        self._publisher = publisher
        self._telemetry = telemetry
        self._clock = clock
        # Written status lags behind: what must last from sync to sync is read from here first.
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
        self._publisher.forget(ref)
        self._observer.forget(ref)
        self._telemetry.forget(ref)

    async def sync(self, ref: TwinRef, late_seconds: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot.

        Args:
            ref: the twin.
            late_seconds: how long after its slot the sync begins.
        """
        body = self._index.body(ref.uid)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        started = self._clock.monotonic()
        twin = self._begin(ref, body)
        try:
            spec = _spec_of(body)
        except SpecError as error:
            return await self._stall(twin, error)
        twin = replace(twin, spec=spec)
        try:
            retry = await (self._suspended(twin) if spec.suspend else self._synced(twin, spec))
            result = "suspended" if spec.suspend else "synced"
        except SpecError as error:
            retry, result = await self._stall(twin, error), "stalled"
        except MetricsUnavailable as error:
            retry, result = await self._metrics_failed(twin, spec, error), "metrics_unavailable"
        except ClusterError as error:
            log.warning("cluster did not answer", namespace=ref.namespace, twin=ref.name, error=str(error))
            retry, result = error.retry_after or CLUSTER_RETRY, "cluster_error"
        seconds = self._clock.monotonic() - started
        self._telemetry.synced(ref, result=result, seconds=seconds, late_seconds=late_seconds)
        return retry

    def _begin(self, ref: TwinRef, body: Mapping[str, Any]) -> TwinAtSync:
        meta = body["metadata"]
        written = read_status(body)
        return TwinAtSync(
            ref=ref,
            body=body,
            sync=Sync(
                generation=meta.get("generation", 0),
                now=self._clock.now(),
                request=(meta.get("annotations") or {}).get(SYNC_REQUESTED_ANNOTATION),
            ),
            written=written,
            previous=self._computed.get(ref.uid, written),
            spec=None,
        )

    async def _synced(self, twin: TwinAtSync, spec: DigitalTwinSpec) -> float | None:
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
        findings = _Findings(twin, spec, observed, assessment, plan)
        status = findings.render(plan.status)
        self._telemetry.assessed(twin.ref, status)
        for _ in range(plan.reversions):
            self._telemetry.reverted(twin.ref)
        if plan.writes:
            return await self._correct(findings, status)
        retry = await self._publish(twin, status, plan.notes)
        return SILENT_RETRY if retry is None and findings.silent else retry

    async def _correct(self, findings: _Findings, status: DigitalTwinStatus) -> float | None:
        """Write originals and intent, then correct, then write the outcome."""
        twin, plan = findings.twin, findings.plan
        body = await self._publisher.intend(twin, status)
        if body is None:
            # Nothing was done yet: the next sync decides afresh.
            return CONFLICT_RETRY
        self._computed[twin.ref.uid] = status
        done = await self._corrections.carry_out(twin.ref, plan, status)
        outcome = findings.render(done.status)
        if outcome.corrections:
            self._telemetry.corrected(twin.ref, outcome.corrections[-1].outcome)
        return await self._publish(replace(twin, body=body), outcome, (*plan.notes, *done.notes), urgent=True)

    async def _suspended(self, twin: TwinAtSync) -> float | None:
        done = await self._corrections.release(
            twin.ref, twin.previous, why="Suspended", now=twin.sync.now, deadline_seconds=20
        )
        status = render_suspended(done.status, twin.sync)
        retry = await self._publish(twin, status, done.notes, urgent=bool(done.notes))
        return retry if done.complete else HELD_RETRY

    async def _stall(self, twin: TwinAtSync, error: SpecError) -> float | None:
        status = render_stalled(twin.previous, twin.sync, error.reason, str(error))
        return await self._publish(twin, status) or STALLED_RETRY

    async def _metrics_failed(self, twin: TwinAtSync, spec: DigitalTwinSpec, error: MetricsUnavailable) -> float | None:
        samples = self._observer.unavailable(spec, error, twin.previous, twin.sync.now)
        status = render_metrics_failed(twin.previous, twin.sync, samples, str(error))
        return await self._publish(twin, status) or FAILED_RETRY

    async def _publish(
        self, twin: TwinAtSync, status: DigitalTwinStatus, notes: tuple[EventNote, ...] = (), *, urgent: bool = False
    ) -> float | None:
        self._computed[twin.ref.uid] = status
        holds = self._corrections.holds(status)
        if await self._publisher.publish(twin, status, notes, holds=holds, urgent=urgent):
            return None
        # Somebody else has written: what stands there counts, not what was computed here.
        self._computed.pop(twin.ref.uid, None)
        return CONFLICT_RETRY


def _spec_of(body: Mapping[str, Any]) -> DigitalTwinSpec:
    try:
        return DigitalTwinSpec.from_wire(body.get("spec") or {})
    except ValidationError as error:
        raise SpecError(_first_mistake(error), reason="InvalidSpec") from error


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"spec.{where}: {first['msg']}; correct it and apply again"
