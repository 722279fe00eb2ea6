"""Corrections, carried out: settle what came before, decide once, write the intent down, then write the field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from twinops.api import API_VERSION
from twinops.api.status import CorrectionAction, DigitalTwinStatus, Drift, ObjectRef, Original, Outcome, Risk
from twinops.api.twin import DigitalTwinSpec
from twinops.core.correction.decide import Decision, decide, noted
from twinops.core.correction.need import demand
from twinops.core.correction.news import announced, carried_out, reviews
from twinops.core.correction.records import held_by, pending
from twinops.core.correction.settle import Settled, settle
from twinops.core.correction.write_down import applied, failed, given_back, released
from twinops.core.notes import Note
from twinops.core.observation import Lever, Observation
from twinops.core.rights import refusal
from twinops.errors import ClusterError, NotFound, SpecError, Unavailable
from twinops.services.field_writer import FieldWriter
from twinops.services.ports import Clock, EventNote, Levers, TwinRef

log = structlog.get_logger()

_Key = tuple[ObjectRef, str]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one sync has decided about corrections.

    Attributes:
        status: the status with it written down; it must be on the API server before ``carry_out``.
        notes: Events to post once the status is written.
        lever: what is written to, as judged; None when nothing is written.
        target: the workload, for Events about what was done to it.
        reversions: how many values others have put back since the last sync.
    """

    decision: Decision
    status: DigitalTwinStatus
    notes: tuple[EventNote, ...] = ()
    lever: Lever | None = None
    target: Mapping[str, str] | None = None
    reversions: int = 0

    @property
    def writes(self) -> bool:
        """Tell whether ``carry_out`` is to be called."""
        return self.decision.writes


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What came of it.

    Attributes:
        status: with the outcome.
        notes: Events to post once the status is written.
        complete: False when something is still held that should not be; try again later.
    """

    status: DigitalTwinStatus
    notes: tuple[EventNote, ...] = ()
    complete: bool = True


class CorrectionService:
    """Decides about corrections and carries them out.

    Args:
        levers: reads and writes HPAs and ``/scale``.
        clock: wall time of outcomes.
    """

    def __init__(self, levers: Levers, clock: Clock) -> None:
        self._levers = levers
        self._writer = FieldWriter(levers)
        self._clock = clock

    @staticmethod
    def holds(status: DigitalTwinStatus) -> bool:
        """Tell whether a deletion must wait for something to be given back."""
        return bool(status.originals)

    async def plan(
        self,
        ref: TwinRef,
        spec: DigitalTwinSpec,
        observation: Observation,
        drift: Drift,
        risks: Sequence[Risk],
        previous: DigitalTwinStatus,
        generation: int,
    ) -> Plan:
        """Settle earlier decisions and make a new one. Writes nothing.

        Args:
            ref: the twin.
            spec: its spec.
            observation: what this sync has seen.
            drift: judged from it.
            risks: judged from it.
            previous: the last status.
            generation: of the spec.

        Raises:
            ClusterError: something that the twin holds could not be read.
        """
        lever, now = observation.lever, observation.now
        levers = await self._held(ref, previous.originals, known=lever)
        settled = self._settle(ref, spec, previous, levers, now, generation)
        needed = demand(spec, observation, drift, risks, held_by=held_by(settled.status))
        outlook = decide(spec, observation, settled.status, needed)
        status = noted(settled.status, outlook, lever, now)
        decision = outlook.decision
        written_to = levers.get((decision.object, decision.field)) if decision.writes and decision.object else None
        target = _target(ref, spec, observation)
        reviewed = reviews(previous.drift, drift)
        for note in reviewed:
            log.info("for a person to review", namespace=ref.namespace, twin=ref.name, message=note.message)
        news = [*reviewed, *announced(settled.status, status)]
        notes = [*_about_objects(ref, settled, levers), *(_about_twin(ref, note) for note in news)]
        return Plan(decision, status, tuple(notes), written_to, target, settled.reversions)

    async def carry_out(self, ref: TwinRef, plan: Plan, status: DigitalTwinStatus) -> Done:
        """Do what was planned. The plan's status must have been written before.

        Errors of the API server end up in the outcome; where it is not known whether a write arrived,
        the decision stays ``Pending`` and is settled from the live object at the next sync.

        Args:
            ref: the twin.
            plan: what ``plan`` returned.
            status: the status as written.
        """
        decision, lever = plan.decision, plan.lever
        record = pending(status)
        if lever is None or record is None:
            return Done(status)
        original = next((o for o in status.originals if (o.object, o.field) == (decision.object, decision.field)), None)
        if original is None:
            return Done(failed(status, record, None, "no original is recorded", now=self._clock.now()))
        try:
            if decision.action is CorrectionAction.RAISE and decision.to is not None:
                await self._writer.raise_to(ref.namespace, lever, decision.to)
                after = applied(status, record, original, now=self._clock.now())
            else:
                message = await self._writer.give_back(ref.namespace, lever, original)
                after = given_back(status, record, original, message, now=self._clock.now())
        except Unavailable as error:
            log.warning("correction not known to be done", namespace=ref.namespace, twin=ref.name, error=str(error))
            return Done(status)
        except (ClusterError, SpecError) as error:
            after = failed(status, record, original, str(error), now=self._clock.now())
        return Done(after, tuple(self._tell(ref, after, record.id, lever, plan.target)))

    async def release(
        self, ref: TwinRef, status: DigitalTwinStatus, *, why: str, now: float, deadline_seconds: float
    ) -> Done:
        """Give everything back that the twin holds. Does nothing when it holds nothing.

        Args:
            ref: the twin.
            status: its last status.
            why: ``Suspended``, ``Deleted``, ``Uninstalled``.
            now: Unix seconds.
            deadline_seconds: how long this may take, so that a finalizer cannot hang.
        """
        if not self.holds(status) and pending(status) is None:
            return Done(status)
        notes: list[EventNote] = []
        try:
            async with asyncio.timeout(deadline_seconds):
                levers = await self._held(ref, status.originals, known=None)
                status = settle(
                    status, levers, now=now, generation=max(status.observed_generation, 0), cooldown_seconds=0
                ).status
                for original in status.originals:
                    lever = levers[original.object, original.field]
                    status = await self._release(ref, status, original, lever, why)
                    notes += self._tell(ref, status, status.corrections[-1].id, lever, None)
        except (ClusterError, TimeoutError) as error:
            log.warning("give back failed", namespace=ref.namespace, twin=ref.name, error=str(error) or "deadline")
            return Done(status, tuple(notes), complete=False)
        return Done(status, tuple(notes), complete=not self.holds(status))

    async def _release(
        self, ref: TwinRef, status: DigitalTwinStatus, original: Original, lever: Lever, why: str
    ) -> DigitalTwinStatus:
        message = await self._writer.give_back(ref.namespace, lever, original)
        log.info("given back", namespace=ref.namespace, twin=ref.name, object=original.object.name, why=why)
        return released(status, original, why, message, now=self._clock.now())

    async def _held(self, ref: TwinRef, originals: Iterable[Original], *, known: Lever | None) -> dict[_Key, Lever]:
        """Read everything the twin holds; what is gone is left out."""
        levers = {(known.object, known.field): known} if known else {}
        for original in originals:
            key = (original.object, original.field)
            if key not in levers:
                try:
                    levers[key] = await self._levers.read(ref.namespace, *key)
                except (NotFound, SpecError):
                    continue
        return levers

    def _settle(
        self,
        ref: TwinRef,
        spec: DigitalTwinSpec,
        previous: DigitalTwinStatus,
        levers: dict[_Key, Lever],
        now: float,
        generation: int,
    ) -> Settled:
        settled = settle(
            previous,
            levers,
            now=now,
            generation=generation,
            cooldown_seconds=spec.auto_correction.cooldown_seconds,
        )
        for reference, note in settled.notes:
            log.info(
                "correction settled",
                namespace=ref.namespace,
                twin=ref.name,
                object=f"{reference.kind}/{reference.name}",
                reason=note.reason,
                message=note.message,
            )
        return settled

    def _tell(
        self, ref: TwinRef, status: DigitalTwinStatus, record_id: str, lever: Lever, target: Mapping[str, str] | None
    ) -> Iterable[EventNote]:
        """Yield the Events of an outcome: on the twin, and of a change on what was changed, too."""
        record = next(each for each in status.corrections if each.id == record_id)
        note = carried_out(record)
        log.info(
            "correction carried out" if record.outcome is Outcome.APPLIED else "correction failed",
            namespace=ref.namespace,
            twin=ref.name,
            action=record.action.value,
            object=f"{record.object.kind}/{record.object.name}",
            field=record.field,
            value_from=record.from_,
            value_to=record.to,
            trigger=record.trigger,
            why=record.why,
            limited_by=record.limited_by,
            outcome=record.outcome.value,
            message=record.message,
        )
        yield _about_twin(ref, note)
        if record.outcome is Outcome.APPLIED:
            yield _event(_lever_ref(ref, lever), note)
            if target is not None and lever.is_hpa:
                yield _event(target, note)


def undecided(
    spec: DigitalTwinSpec,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    previous: DigitalTwinStatus,
    error: ClusterError,
) -> Plan:
    """Return the plan of a sync that could not read what the twin holds: everything stays as it is, and it is told."""
    told = refusal(str(error), error.status)
    reason = observation.no_lever_reason or told.reason
    decision = Decision(None, spec.auto_correction.mode, reason, told.message, blocked=True)
    recommended = demand(spec, observation, drift, risks).recommended if observation.workload else None
    # What was not seen does not count towards the time in which nothing was needed.
    kept = {"recommended_replicas": recommended, "need_below_since": None}
    return Plan(decision, previous.model_copy(update=kept))


def _about_objects(ref: TwinRef, settled: Settled, levers: Mapping[_Key, Lever]) -> Iterable[EventNote]:
    objects = {key[0]: lever for key, lever in levers.items()}
    for reference, note in settled.notes:
        yield _about_twin(ref, note)
        if reference in objects:
            yield _event(_lever_ref(ref, objects[reference]), note)


def _about_twin(ref: TwinRef, note: Note) -> EventNote:
    return _event(_involved(ref, API_VERSION, "DigitalTwin", ref.name, ref.uid), note)


def _event(involved: Mapping[str, str], note: Note) -> EventNote:
    return EventNote(involved=involved, kind=note.kind, reason=note.reason, message=note.message)


def _lever_ref(ref: TwinRef, lever: Lever) -> Mapping[str, str]:
    return _involved(ref, lever.object.api_version, lever.object.kind, lever.object.name, lever.uid)


def _target(ref: TwinRef, spec: DigitalTwinSpec, observation: Observation) -> Mapping[str, str] | None:
    target, workload = spec.source.target_ref, observation.workload
    if target is None or workload is None:
        return None
    return _involved(ref, target.api_version, target.kind, target.name, workload.uid)


def _involved(ref: TwinRef, api_version: str, kind: str, name: str, uid: str) -> Mapping[str, str]:
    return {"apiVersion": api_version, "kind": kind, "namespace": ref.namespace, "name": name, "uid": uid}
