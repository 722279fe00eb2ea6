"""One sync of one twin: gather, assess, correct, publish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from twinops.api.conditions import ConditionType, is_true
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.status_kind import Purpose
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.failures import FailedSyncs, retry_write
from twinops.controllers.twin.observe import Observed, Observer
from twinops.controllers.twin.publish import Publisher
from twinops.controllers.twin.twin_at_sync import TwinAtSync
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.records import next_check, pending, retry_pause
from twinops.core.correction.restore import unwanted
from twinops.core.events import Event, about_workload
from twinops.core.state import TwinState
from twinops.core.status.failed import render_suspended
from twinops.core.status.render import blocked_by, render_synced
from twinops.core.twin import Step, step
from twinops.errors import ClusterError, MetricsUnavailable, SpecError, StatusUnreadable
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

SILENT_RETRY = 60.0
"""Seconds until the next sync, at most, while a workload's metrics have not begun yet or have just ended."""

WARM_RETRY = 5.0
"""Seconds until the next sync, at most, while the twin's history is being read: then its first forecasts are shown."""

LONGEST_HEARTBEAT = 300.0
"""Seconds; a status older than this (or one interval, if longer) and the grace period is not published as metrics."""

RESTORE_SECONDS = 20.0
"""Seconds that restoring saved values may take within one sync."""


class SyncResult(StrEnum):
    """How a sync ended, as a label of metrics."""

    SYNCED = "synced"
    SUSPENDED = "suspended"
    STALLED = "stalled"
    METRICS_UNAVAILABLE = "metrics_unavailable"
    CLUSTER_ERROR = "cluster_error"

    @property
    def succeeded(self) -> bool:
        """Tell whether nothing failed but, perhaps, the write of the status."""
        return self in (SyncResult.SYNCED, SyncResult.SUSPENDED)


@dataclass(frozen=True, slots=True, eq=False)
class _Findings:
    """What one sync has read and decided."""

    twin: TwinAtSync
    spec: DigitalTwinSpec
    observed: Observed
    step: Step

    def render(self, state: TwinState, base: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status that shows this state; fields that neither state nor assessment has stay as in ``base``."""
        status, observation = state.to_status(base), self.observed.observation
        blocked = blocked_by(self.step.decision, status.corrections)
        assessment, refused = self.step.assessment, self.observed.refused
        return render_synced(status, self.spec, self.twin.sync, observation, assessment, refused, blocked)


class SyncService:
    """Syncs twins, one call each.

    Args:
        store: the records of the twins.
        observer: reads everything a sync needs.
        corrections: carries out what ``step`` decides about corrections.
        publisher: writes statuses, and posts Events.
        telemetry: counts syncs, and publishes what they found as metrics.
        clock: wall time.
        grace_seconds: how long a last verdict stands, and ``Ready`` with it, without anything new behind it.
    """

    def __init__(
        self,
        *,
        store: TwinStore,
        observer: Observer,
        corrections: CorrectionService,
        publisher: Publisher,
        telemetry: Telemetry,
        clock: Clock,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._store = store
        self._observer = observer
        self._corrections = corrections
        self._publisher = publisher
        self._failed = FailedSyncs(observer, publisher)
        self._telemetry = telemetry
        self._clock = clock
        self._grace = grace_seconds

    def resume(self, ref: TwinRef) -> bool:
        """Publish the metrics of a twin whose daemon starts, and tell whether its first sync can wait for its slot.

        It can when the status is of the current spec, no sync has failed and no correction is unfinished. The metrics
        show what the status says, unless that was written long ago.
        """
        record = self._store.get(ref.uid)
        if record is None:
            return False
        try:
            status = record.written()
        except StatusUnreadable:
            return False
        twin = record.object
        last, longest = status.last_sync_time, max(twin.interval, LONGEST_HEARTBEAT) + self._grace
        if last is not None and self._clock.now() - last.timestamp() <= longest:
            self._telemetry.assessed(ref, status)
        return (
            status.observed_generation == twin.generation
            and status.last_handled_sync_request == twin.request
            and not is_true(status.conditions, ConditionType.STALLED)
            and not is_true(status.conditions, ConditionType.RECONCILING)
            and status.failed_syncs == 0
            and not status.originals
            and pending(status.corrections) is None
        )

    async def sync(self, ref: TwinRef, due: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot.

        Args:
            ref: the twin.
            due: monotonic seconds of the slot or request that the sync answers.
        """
        record = self._store.get(ref.uid)
        if record is None or record.object.deleting:
            return None
        started = self._clock.monotonic()
        result, retry = await self._run(self._begin(record))
        if result.succeeded:
            record.succeeded(Failure.SYNC, Failure.TARGET, Failure.SOURCE)
        ended = self._clock.monotonic()
        self._telemetry.synced(ref, result=result, seconds=ended - started, late_seconds=ended - due)
        return retry

    async def crashed(self, ref: TwinRef) -> None:
        """Say in status that a defect of the operator ended a sync. Never raises."""
        record = self._store.get(ref.uid)
        if record is None:
            return
        try:
            await self._failed.crashed(self._begin(record))
        except Exception:  # What ended the sync may end this, too; the log has both.
            log.exception("crash not told", namespace=ref.namespace, twin=ref.name)

    def _begin(self, record: TwinRecord) -> TwinAtSync:
        return TwinAtSync.begin(record, now=self._clock.now(), grace_seconds=self._grace)

    async def _run(self, twin: TwinAtSync) -> tuple[SyncResult, float | None]:
        """Sync, and return how that ended and the seconds after which to try again."""
        spec = twin.object.spec
        if isinstance(spec, SpecError):
            return SyncResult.STALLED, await self._failed.stalled(twin, spec)
        try:
            if spec.suspend:
                return SyncResult.SUSPENDED, await self._suspended(twin)
            twin = await self._restore_unwanted(twin, spec)
            return SyncResult.SYNCED, await self._synced(twin, spec)
        except SpecError as error:
            return SyncResult.STALLED, await self._failed.stalled(twin, error)
        except MetricsUnavailable as error:
            return SyncResult.METRICS_UNAVAILABLE, await self._failed.metrics_unavailable(twin, spec, error)
        except ClusterError as error:
            return SyncResult.CLUSTER_ERROR, await self._failed.cluster_error(twin, error)

    async def _restore_unwanted(self, twin: TwinAtSync, spec: DigitalTwinSpec) -> TwinAtSync:
        """Restore what the twin holds when its spec wants no corrections, whether or not metrics can be read.

        Returns:
            The twin as it stands after that.
        """
        reason = unwanted(spec)
        if reason is None or not twin.previous.originals:
            return twin
        state = TwinState.from_status(twin.previous)
        done = await self._corrections.restore_all(
            twin.ref,
            state,
            trigger=reason.trigger,
            now=twin.sync.now,
            deadline_seconds=RESTORE_SECONDS,
            patient=twin.backs_off,
        )
        if done.state == state and not done.events:
            # The next attempt is not due yet.
            return twin
        status = done.state.to_status(twin.previous)
        await self._publish(twin, status, done.events, Purpose.OUTCOME)
        return replace(twin, object=twin.record.object, previous=status)

    async def _synced(self, twin: TwinAtSync, spec: DigitalTwinSpec) -> float | None:
        observed = await self._observer.observe(
            twin.record, spec, twin.previous, twin.sync.now, annotation=twin.object.original
        )
        # Not in a thread: with six metrics it takes some 1.5 ms, and handing it over and back would cost more time.
        done = step(
            spec,
            TwinState.from_status(twin.previous),
            observed.observation,
            generation=twin.sync.generation,
            asked=twin.asked,
            grace_seconds=self._grace,
        )
        self._corrections.log_plan(twin.ref, done.plan)
        await self._corrections.remove_stale_annotations(twin.ref, done.plan)
        findings = _Findings(twin, spec, observed, done)
        status = findings.render(done.state, twin.previous)
        for _ in range(done.plan.reversions):
            self._telemetry.reverted(twin.ref)
        if done.plan.writes:
            self._telemetry.assessed(twin.ref, status)
            return await self._correct(findings, status)
        retry = await self._publish(twin, status, done.plan.events)
        if retry is None and observed.observation.forecast_result.warming:
            return WARM_RETRY
        return SILENT_RETRY if retry is None and done.assessment.data_incomplete else retry

    async def _correct(self, findings: _Findings, status: DigitalTwinStatus) -> float | None:
        """Write saved value and intent to status, then change the object, then write the outcome."""
        twin, done = findings.twin, findings.step
        # The sync is not over yet: a person who asked for it waits for the outcome.
        before = ("last_sync_time", "last_handled_sync_request")
        status = status.model_copy(update={name: getattr(twin.previous, name) for name in before})
        intended, twin = await self._publisher.intend(twin, status)
        if intended is not WriteOutcome.WRITTEN:
            # Nothing was changed yet: the next sync decides anew.
            return retry_write(twin.record, intended)
        twin.record.compute(status)
        target = about_workload(findings.observed.observation.workload)
        corrected = await self._corrections.carry_out(twin.ref, done.plan, done.state, target)
        outcome = findings.render(corrected.state, status)
        if outcome.corrections:
            self._telemetry.corrected(twin.ref, outcome.corrections[-1].outcome)
        events = (*done.plan.events, *corrected.events)
        retry = await self._publish(twin, outcome, events, Purpose.OUTCOME)
        return next_check(outcome.corrections) if retry is None else retry

    async def _suspended(self, twin: TwinAtSync) -> float | None:
        done = await self._corrections.restore_all(
            twin.ref,
            TwinState.from_status(twin.previous),
            trigger=RestoreTrigger.SUSPENDED,
            now=twin.sync.now,
            deadline_seconds=RESTORE_SECONDS,
            patient=twin.backs_off,
        )
        status = render_suspended(done.state.to_status(twin.previous), twin.sync)
        purpose = Purpose.OUTCOME if done.events else Purpose.OBSERVATION
        retry = await self._publish(twin, status, done.events, purpose)
        if not done.complete:
            return twin.record.failed(Failure.RESTORE, at_least=retry_pause(done.state.corrections) or 0.0)
        twin.record.succeeded(Failure.RESTORE)
        return retry

    async def _publish(
        self,
        twin: TwinAtSync,
        status: DigitalTwinStatus,
        events: tuple[Event, ...] = (),
        purpose: Purpose = Purpose.OBSERVATION,
    ) -> float | None:
        outcome = await self._publisher.publish(twin, status, events, holds=bool(status.originals), purpose=purpose)
        return retry_write(twin.record, outcome)
