"""Reads everything one sync needs, from the API server and the metrics backend, into one frozen ``Observation``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from twinops.api.conditions import ConditionType, find
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.gather import Gatherer
from twinops.controllers.twin.held_values import HeldValues
from twinops.core.assess.assessment import limits_in_force
from twinops.core.assess.censoring import calibration_excluded, risk_excluded
from twinops.core.lever import Lever, NoLeverReason
from twinops.core.observation import Observation, Sample, Workload
from twinops.core.rights import refusal
from twinops.core.state import TwinState
from twinops.core.status.failed import FAILED_SYNCS_BEFORE_UNREADY
from twinops.engine.forecast_input import ForecastInput
from twinops.engine.history_loader import HistoryLoader
from twinops.errors import MetricsUnavailable, NotFound, Refused, SourceInvalid, SpecError, Unavailable
from twinops.ports.kubernetes import Levers, Sources, TwinRef, Workloads
from twinops.ports.metrics import SourceAccess


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """An observation, and the queries that a person must correct.

    Attributes:
        observation: what was read.
        refused: by metric, what is wrong with its query and how to correct it.
    """

    observation: Observation
    refused: Mapping[str, SpecError]


class Unmeasured(MetricsUnavailable):
    """The metrics backend did not answer, but the target was read.

    Args:
        message: what was asked and what came of it.
        workload: the target; None when the twin has none.
    """

    def __init__(self, message: str, workload: Workload | None) -> None:
        super().__init__(message)
        self.workload = workload


@dataclass(frozen=True, slots=True)
class _LeverOrReason:
    """A lever, or why there is none, as a word and a sentence for status."""

    lever: Lever | None = None
    reason: str = ""
    message: str = ""


class Observer:
    """Reads target, lever, metrics and history of one twin.

    Args:
        sources: metrics sources with their credentials.
        workloads: targets.
        levers: what corrections may write to.
        gatherer: asks for the metrics.
        histories: loads the histories of metrics, and forecasts from them.
        store: of all twins, by which others that correct the same target are found.
        one_shot_managers: patterns of field managers that an administrator calls one-shot.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        workloads: Workloads,
        levers: Levers,
        gatherer: Gatherer,
        histories: HistoryLoader,
        store: TwinStore,
        one_shot_managers: tuple[str, ...] = (),
    ) -> None:
        self._one_shot_managers = one_shot_managers
        self._sources = sources
        self._workloads = workloads
        self._levers = levers
        self._held_values = HeldValues(levers)
        self._gatherer = gatherer
        self._histories = histories
        self._store = store

    async def observe(
        self, twin: TwinRecord, spec: DigitalTwinSpec, previous: DigitalTwinStatus, now: float, *, annotation: str = ""
    ) -> Observed:
        """Read everything, each thing once: the source, then target and lever together, then metrics, then history.

        A lever that cannot be read does not end the sync, unless it is needed now and the API server failed only a
        moment ago.

        Args:
            twin: its record, which keeps its history.
            spec: its spec.
            previous: the last status.
            now: Unix seconds.
            annotation: the twin's ``twinops.dev/original``; empty where there is none.

        Raises:
            SpecError: a person must act: source or target cannot be used.
            Unmeasured: the metrics backend did not answer.
            ClusterError: the API server refused, or did not answer.
        """
        ref = twin.ref
        # First, and from a cache: while a source is missing, its twins must not request anything else.
        source = await self._source(spec.source.metrics_source_ref.name)
        workload, found = await asyncio.gather(self._workload(ref, spec), self._lever(ref, spec, previous))
        try:
            gathered = await self._gatherer.gather(
                spec, source, namespace=ref.namespace, workload=workload, previous=previous.observed, now=now
            )
        except MetricsUnavailable as error:
            raise Unmeasured(str(error), workload) from error
        limits, state = limits_in_force(spec, workload), TwinState.from_status(previous)
        forecast_result = await self._histories.sync(
            twin,
            source,
            spec,
            ForecastInput(
                now=now,
                queries=gathered.queries,
                samples=gathered.samples,
                limits=limits,
                replicas_query=gathered.replicas_query,
                replicas=gathered.replicas,
                calibration_excluded=calibration_excluded(spec, state, now),
                risk_excluded=risk_excluded(spec, state, now),
                censored=gathered.censored,
                restart_state=state.restart_state,
            ),
        )
        rival = self._store.rival(ref.uid)
        # After the lever was read: a twin that restores it meanwhile changes its resourceVersion, so that a write from
        # what was read before fails.
        holder = self._store.holder(ref.uid, found.lever.object if found.lever else None)
        lever, held = await self._held_values.gather(
            ref,
            found.lever,
            state.saved_values,
            now=now,
            annotation=None if rival or holder else annotation,
            lever_unavailable=found.reason == NoLeverReason.LEVER_UNAVAILABLE,
        )
        return Observed(
            observation=Observation(
                now=now,
                samples=gathered.samples,
                limits=limits,
                forecast_result=forecast_result,
                workload=workload,
                lever=lever,
                no_lever_reason=found.reason,
                no_lever_message=found.message,
                held=held,
                rival=rival,
                holder=holder,
                cpu_counted=bool(gathered.replicas_query),
                cpu_pods=gathered.replicas,
                windows=gathered.windows,
                warnings=(*gathered.warnings, *(() if workload is None else workload.notes)),
                one_shot_managers=self._one_shot_managers,
            ),
            refused=gathered.refused,
        )

    def unavailable(
        self, spec: DigitalTwinSpec, error: MetricsUnavailable, previous: DigitalTwinStatus, now: float
    ) -> Mapping[str, Sample]:
        """Return a sample for each metric while their source does not answer; see ``Gatherer.unavailable``."""
        return self._gatherer.unavailable(spec, error, previous.observed, now).samples

    async def _source(self, name: str) -> SourceAccess:
        try:
            return await self._sources.access(name)
        except SourceInvalid as error:
            # The reason may name Secrets that the twin's author may not read.
            raise SourceInvalid(
                f"MetricsSource {name} cannot be used; its own status says why: kubectl describe metricssource {name}"
            ) from error

    async def _workload(self, ref: TwinRef, spec: DigitalTwinSpec) -> Workload | None:
        target = spec.source.target_ref
        return None if target is None else await self._workloads.get(ref.namespace, target)

    async def _lever(self, ref: TwinRef, spec: DigitalTwinSpec, previous: DigitalTwinStatus) -> _LeverOrReason:
        target, correction = spec.source.target_ref, spec.auto_correction
        if target is None:
            return _LeverOrReason(reason="NoTarget", message="spec.source.targetRef names nothing to correct")
        hpa = correction.horizontal_pod_autoscaler_ref
        try:
            return _LeverOrReason(await self._levers.find(ref.namespace, target, hpa.name if hpa else None))
        except SpecError as error:
            # Without a lever there are no corrections, but everything else is observed.
            return _LeverOrReason(reason=error.reason, message=str(error))
        except (Refused, NotFound, Unavailable) as error:
            # The same holds where the lever may not, or cannot, be read. Only where it is needed now, a failure that
            # has not lasted ends the sync, so that the status does not call the lever unavailable for a moment.
            if isinstance(error, Unavailable) and self._may_correct(ref, spec) and not _for_long(previous):
                raise
            refused = refusal(str(error), error.status)
            reason = NoLeverReason.LEVER_UNAVAILABLE if isinstance(error, Unavailable) else refused.reason
            return _LeverOrReason(reason=reason, message=refused.message)

    def _may_correct(self, ref: TwinRef, spec: DigitalTwinSpec) -> bool:
        """Tell whether corrections are on, and no other twin corrects or holds the same target."""
        if not spec.auto_correction.enabled:
            return False
        return not (self._store.rival(ref.uid) or self._store.holder(ref.uid, None))


def _for_long(previous: DigitalTwinStatus) -> bool:
    """Tell whether the lever, or the API server as a whole, could not be read for several syncs."""
    blocked = find(previous.conditions, ConditionType.CORRECTION_BLOCKED)
    unreadable = blocked is not None and blocked.reason == NoLeverReason.LEVER_UNAVAILABLE
    return unreadable or previous.failed_syncs >= FAILED_SYNCS_BEFORE_UNREADY
