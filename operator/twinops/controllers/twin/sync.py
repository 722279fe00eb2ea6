"""One sync of one twin: gather, assess, correct, publish."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

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
from twinops.controllers.twin.observe import Observed, Observer, Unmeasured
from twinops.controllers.twin.publish import Publisher, TwinAtSync
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.records import next_check, pending, retry_pause
from twinops.core.correction.restore import unwanted
from twinops.core.events import Event, about_workload
from twinops.core.rights import refusal
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.failed import (
    is_lasting,
    render_cluster_failed,
    render_crashed,
    render_metrics_failed,
    render_stalled,
    render_suspended,
)
from twinops.core.status.render import blocked_by, render_synced
from twinops.core.twin import Step, step
from twinops.errors import (
    ClusterError,
    Conflict,
    MetricsUnavailable,
    NotFound,
    Refused,
    SpecError,
    StatusUnreadable,
    TargetNotFound,
)
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock, Telemetry

log = structlog.get_logger()

SILENT_RETRY = 60.0
"""Seconds; a workload whose metrics have not begun yet, or ended a moment ago, is looked at again this soon."""

WARM_RETRY = 5.0
"""Seconds; a twin whose history is being learned from shows what came of it this soon."""

LONGEST_HEARTBEAT = 300.0
"""Seconds; a status that was written longer ago, and more than an interval, says nothing of now."""

RELEASE_SECONDS = 20.0
"""How long giving back may take within one sync."""

SYNCED, SUSPENDED, STALLED = "synced", "suspended", "stalled"
METRICS_UNAVAILABLE, CLUSTER_ERROR = "metrics_unavailable", "cluster_error"
FAILURES = frozenset({STALLED, METRICS_UNAVAILABLE, CLUSTER_ERROR})


@dataclass(frozen=True, slots=True, eq=False)
class _Findings:
    """What one sync has found out and decided."""

    twin: TwinAtSync
    spec: DigitalTwinSpec
    observed: Observed
    step: Step

    def render(self, state: TwinState, base: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status that tells this state; what it says nothing of stays as in ``base``."""
        status, observation = state.to_status(base), self.observed.observation
        blocked = blocked_by(self.step.decision, status.corrections)
        assessment, refused = self.step.assessment, self.observed.refused
        return render_synced(status, self.spec, self.twin.sync, observation, assessment, refused, blocked)


class SyncService:
    """Syncs twins, one call each.

    Args:
        store: the records of the twins.
        observer: reads everything a sync needs.
        corrections: decides about corrections and carries them out.
        publisher: writes status and posts Events.
        telemetry: publishes what was found as metrics.
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
        self._telemetry = telemetry
        self._clock = clock
        self._grace = grace_seconds

    def resume(self, ref: TwinRef) -> bool:
        """Take up a twin whose daemon starts, and tell whether its first sync can wait for its slot.

        It can when status speaks of the current spec and nothing is half done. What status says is
        published as metrics until then, unless it is of long ago.
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

    async def sync(self, ref: TwinRef, late_seconds: float) -> float | None:
        """Sync once; return seconds after which to try again when that is sooner than the next slot.

        Args:
            ref: the twin.
            late_seconds: how long after its slot the sync begins.
        """
        record = self._store.get(ref.uid)
        if record is None or record.object.deleting:
            return None
        started = self._clock.monotonic()
        result, retry = await self._run(self._begin(record))
        if result not in FAILURES:
            record.succeeded(Failure.SYNC, Failure.TARGET, Failure.SOURCE)
        seconds = self._clock.monotonic() - started
        self._telemetry.synced(ref, result=result, seconds=seconds, late_seconds=late_seconds)
        return retry

    async def _run(self, twin: TwinAtSync) -> tuple[str, float | None]:
        """Sync, and return the result in a word and when to try again."""
        spec = twin.object.spec
        if isinstance(spec, SpecError):
            return STALLED, await self._stall(twin, spec)
        try:
            if spec.suspend:
                return SUSPENDED, await self._suspended(twin)
            twin = await self._let_go(twin, spec)
            return SYNCED, await self._synced(twin, spec)
        except SpecError as error:
            return STALLED, await self._stall(twin, error)
        except MetricsUnavailable as error:
            return METRICS_UNAVAILABLE, await self._metrics_failed(twin, spec, error)
        except ClusterError as error:
            log.warning("cluster did not answer", namespace=twin.ref.namespace, twin=twin.ref.name, error=str(error))
            wait = twin.record.failed(Failure.SYNC, at_least=error.retry_after or 0)
            return CLUSTER_ERROR, max(wait, await self._cluster_failed(twin, error) or 0)

    def _begin(self, record: TwinRecord) -> TwinAtSync:
        twin, written, computed = record.object, record.written(), record.daemon.computed
        sync = Sync(generation=twin.generation, now=self._clock.now(), request=twin.request, grace_seconds=self._grace)
        # Written status lags behind: what must last from sync to sync is read from the computed one first.
        return TwinAtSync(record, twin, sync, written, written if computed is None else computed)

    async def crashed(self, ref: TwinRef) -> None:
        """Say in status that a sync has failed for a reason of our own. Never raises."""
        record = self._store.get(ref.uid)
        if record is None:
            return
        try:
            twin = self._begin(record)
            status = self._known(twin, render_crashed(twin.previous, twin.sync))
            await self._publisher.publish(twin, status, holds=True)
        except Exception:  # What made the sync crash may well make this crash, too; the log has both.
            log.exception("crash not told", namespace=ref.namespace, twin=ref.name)

    async def _let_go(self, twin: TwinAtSync, spec: DigitalTwinSpec) -> TwinAtSync:
        """Give back what a spec that wants no corrections holds, whether or not metrics answer."""
        reason = unwanted(spec)
        if reason is None or not twin.previous.originals:
            return twin
        state = TwinState.from_status(twin.previous)
        done = await self._corrections.restore_all(
            twin.ref,
            state,
            trigger=reason.trigger,
            now=twin.sync.now,
            deadline_seconds=RELEASE_SECONDS,
            patient=_patient(twin),
        )
        if done.state == state and not done.events:
            # It waits until it may be tried again.
            return twin
        status = done.state.to_status(twin.previous)
        await self._publish(twin, status, done.events, Purpose.OUTCOME)
        return replace(twin, object=twin.record.object, previous=status)

    async def _synced(self, twin: TwinAtSync, spec: DigitalTwinSpec) -> float | None:
        observed = await self._observer.observe(
            twin.ref, spec, twin.previous, twin.sync.now, annotation=twin.object.original
        )
        # In a thread: however much there is to compute, the loop must go on renewing the lease.
        done = await asyncio.to_thread(
            step,
            spec,
            TwinState.from_status(twin.previous),
            observed.observation,
            generation=twin.sync.generation,
            asked=_asked(twin),
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
        return SILENT_RETRY if retry is None and done.assessment.silent else retry

    async def _correct(self, findings: _Findings, status: DigitalTwinStatus) -> float | None:
        """Write originals and intent, then correct, then write the outcome."""
        twin, done = findings.twin, findings.step
        # The sync is not over: whoever asked for it waits for the outcome.
        before = ("last_sync_time", "last_handled_sync_request")
        status = status.model_copy(update={name: getattr(twin.previous, name) for name in before})
        intended, twin = await self._publisher.intend(twin, status)
        if intended is not WriteOutcome.WRITTEN:
            # Nothing was done yet: the next sync decides afresh.
            return _again(twin.record, intended)
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
            deadline_seconds=RELEASE_SECONDS,
            patient=_patient(twin),
        )
        status = render_suspended(done.state.to_status(twin.previous), twin.sync)
        purpose = Purpose.OUTCOME if done.events else Purpose.OBSERVATION
        retry = await self._publish(twin, status, done.events, purpose)
        if not done.complete:
            return twin.record.failed(Failure.RESTORE, at_least=retry_pause(done.state.corrections) or 0.0)
        twin.record.succeeded(Failure.RESTORE)
        return retry

    async def _stall(self, twin: TwinAtSync, error: SpecError) -> float | None:
        status = render_stalled(twin.previous, twin.sync, error.reason, str(error))
        wait = twin.record.failed(Failure.TARGET if isinstance(error, TargetNotFound) else Failure.SYNC)
        return await self._publish(twin, status) or wait

    async def _metrics_failed(self, twin: TwinAtSync, spec: DigitalTwinSpec, error: MetricsUnavailable) -> float | None:
        samples = self._observer.unavailable(spec, error, twin.previous, twin.sync.now)
        workload = error.workload if isinstance(error, Unmeasured) else None
        status = render_metrics_failed(twin.previous, twin.sync, samples, str(error), workload)
        wait = twin.record.failed(Failure.SOURCE)
        return await self._publish(twin, status) or wait

    async def _cluster_failed(self, twin: TwinAtSync, error: ClusterError) -> float | None:
        """Say in status what the API server did not give, once that lasts."""
        if isinstance(error, (Conflict, NotFound)):
            return None  # what was read is out of date: nothing is known to be wrong
        status = render_cluster_failed(twin.previous, twin.sync, refusal(str(error), error.status))
        if not isinstance(error, Refused) and not is_lasting(status, twin.sync):
            # An API server in trouble is not sent a write by every twin because of it.
            self._known(twin, status)
            return None
        return await self._publish(twin, status)

    def _known(self, twin: TwinAtSync, status: DigitalTwinStatus) -> DigitalTwinStatus:
        """Take a status for what is known now, whether or not it is written; metrics say the same."""
        twin.record.compute(status)
        self._telemetry.assessed(twin.ref, status)
        return status

    async def _publish(
        self,
        twin: TwinAtSync,
        status: DigitalTwinStatus,
        events: tuple[Event, ...] = (),
        purpose: Purpose = Purpose.OBSERVATION,
    ) -> float | None:
        self._known(twin, status)
        outcome = await self._publisher.publish(twin, status, events, holds=bool(status.originals), purpose=purpose)
        return _again(twin.record, outcome)


def _again(record: TwinRecord, outcome: WriteOutcome) -> float | None:
    """Return when to sync again because of a write that failed, None when it did not."""
    match outcome:
        case WriteOutcome.CONFLICT:
            # Somebody else has written: what stands there counts, not what was computed here.
            record.daemon.computed = None
            return record.failed(Failure.CONFLICT)
        case WriteOutcome.UNAVAILABLE | WriteOutcome.REFUSED:
            return record.failed(Failure.WRITE)
        case WriteOutcome.WRITTEN:
            record.succeeded(Failure.CONFLICT, Failure.WRITE)
            return None
        case _:
            return None


def _asked(twin: TwinAtSync) -> bool:
    """Tell whether a person has asked for this sync."""
    return twin.sync.request != twin.previous.last_handled_sync_request


def _patient(twin: TwinAtSync) -> bool:
    """Tell whether what was refused may wait: a person who asks, or changes the spec, may have mended it."""
    return not _asked(twin) and twin.previous.observed_generation == twin.sync.generation
