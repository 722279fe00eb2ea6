"""Corrections, carried out: settle what came before, decide once, write the intent down, then write the field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from twinops.api.twin.corrections import CorrectionAction, Original, Outcome
from twinops.api.twin.drift import Drift
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.twin.field_writer import FieldWriter
from twinops.controllers.twin.held_values import Held, HeldValues, Key
from twinops.core.correction.decide import Decision, decide, noted
from twinops.core.correction.events import announced, carried_out, reviews
from twinops.core.correction.need import demand
from twinops.core.correction.original_annotation import text
from twinops.core.correction.outcome import applied, failed, given_back, not_released, released
from twinops.core.correction.records import FORBIDDEN, INTERRUPTED, Failure, failing, held_by, pending
from twinops.core.correction.settle import Settled, settle
from twinops.core.events import TWIN, Event, InvolvedObject, about_workload
from twinops.core.observation import Lever, Observation
from twinops.core.rights import missing_right, refusal
from twinops.errors import ClusterError, Conflict, NotFound, Refused, SpecError, Unavailable
from twinops.ports.kubernetes import Levers, TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stated:
    """What a twin's annotations say.

    Attributes:
        original: ``twinops.dev/original``; empty where there is none.
        asked: whether a person has asked for this sync.
    """

    original: str = ""
    asked: bool = False


UNSTATED = Stated()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one sync has decided about corrections.

    Attributes:
        status: the status with it written down; it must be on the API server before ``carry_out``.
        events: to post once the status is written.
        lever: what is written to, as judged; None when nothing is written.
        target: the workload, for Events about what was done to it.
        reversions: how many values others have put back since the last sync.
        stale: objects beside whose value stands what is not true any more.
    """

    decision: Decision
    status: DigitalTwinStatus
    events: tuple[Event, ...] = ()
    lever: Lever | None = None
    target: InvolvedObject | None = None
    reversions: int = 0
    stale: tuple[Lever, ...] = ()

    @property
    def writes(self) -> bool:
        """Tell whether ``carry_out`` is to be called."""
        return self.decision.writes


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What came of it.

    Attributes:
        status: with the outcome.
        events: to post once the status is written.
        complete: False when something is still held that should not be; try again later.
    """

    status: DigitalTwinStatus
    events: tuple[Event, ...] = ()
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
        self._holdings = HeldValues(levers)
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
        stated: Stated = UNSTATED,
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
            stated: what its annotations say.

        Raises:
            ClusterError: the API server did not answer.
        """
        observation, previous, found = await self._holdings.take_up(ref, observation, previous, stated.original)
        lever, now = observation.lever, observation.now
        held = await self._holdings.read(ref, previous.originals, known=lever)
        cooldown = spec.auto_correction.cooldown_seconds
        settled = self._settle(ref, previous, held, now, generation, cooldown, asked=stated.asked)
        # Nothing is decided about what could not be read: above all it is not given back for that.
        unread = [each for each in settled.status.originals if (each.object, each.field) in held.unread]
        known = [each for each in settled.status.originals if each not in unread]
        seen = settled.status.model_copy(update={"originals": known})
        needed = demand(spec, observation, drift, risks, held_by=held_by(settled.status))
        result = decide(spec, observation, seen, needed)
        status = noted(seen, result, lever, now)
        status = status.model_copy(update={"originals": [*unread, *status.originals]})
        decision = result.decision
        written_to = held.levers.get((decision.object, decision.field)) if decision.writes and decision.object else None
        reviewed = reviews(previous.drift, drift)
        for event in reviewed:
            log.info("for a person to review", namespace=ref.namespace, twin=ref.name, message=event.message)
        return Plan(
            decision,
            status,
            (*settled.events, *found, *reviewed, *announced(settled.status, status)),
            written_to,
            about_workload(observation.workload),
            settled.reversions,
            tuple(_stale(previous, status, held.levers)),
        )

    async def tidy(self, ref: TwinRef, plan: Plan) -> None:
        """Take off what stands beside values that are not ours any more. Best effort: nobody believes it."""
        for lever in plan.stale:
            try:
                await self._levers.forget(ref.namespace, lever)
            except (ClusterError, SpecError) as error:
                log.debug("annotation not taken off", namespace=ref.namespace, twin=ref.name, error=str(error))

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
            return Done(failed(status, record, None, Failure("no original is recorded"), now=self._clock.now()))
        try:
            if decision.action is CorrectionAction.RAISE and decision.to is not None:
                witness = text(original, decision.to, ref.name)
                await self._writer.raise_to(ref.namespace, lever, decision.to, witness)
                after = applied(status, record, original, now=self._clock.now())
            else:
                message = await self._writer.give_back(ref.namespace, lever, original)
                after = given_back(status, record, original, message, now=self._clock.now())
        except Unavailable as error:
            log.warning("correction not known to be done", namespace=ref.namespace, twin=ref.name, error=str(error))
            return Done(status)
        except (ClusterError, SpecError) as error:
            after = failed(status, record, original, _failure(error), now=self._clock.now())
        return Done(after, _outcome_events(ref, after, record.id, lever, plan.target))

    async def release(
        self,
        ref: TwinRef,
        status: DigitalTwinStatus,
        *,
        why: str,
        now: float,
        deadline_seconds: float,
        patient: bool = False,
    ) -> Done:
        """Give everything back that the twin holds. Does nothing when it holds nothing.

        Args:
            ref: the twin.
            status: its last status.
            why: ``Suspended``, ``Deleted``, ``Uninstalled``.
            now: Unix seconds.
            deadline_seconds: how long this may take, so that a finalizer cannot hang.
            patient: whether what was refused a moment ago may wait, as status says for how long.
        """
        if not self.holds(status) and pending(status) is None:
            return Done(status)
        events: list[Event] = []
        try:
            async with asyncio.timeout(deadline_seconds):
                held = await self._holdings.read(ref, status.originals, known=None)
                settled = self._settle(ref, status, held, now, max(status.observed_generation, 0), 0)
                status = settled.status
                for original in status.originals:
                    lever = held.levers.get((original.object, original.field))
                    waits = patient and failing(status.corrections, original.object, now) is not None
                    # What may still be written late is waited for, not given back before it is there.
                    if lever is None or original.ours is None or waits:
                        continue
                    status = await self._release(ref, status, original, lever, why)
                    if status.corrections[-1].message != INTERRUPTED:
                        events += _outcome_events(ref, status, status.corrections[-1].id, lever, None)
        except (ClusterError, SpecError, TimeoutError) as error:
            log.warning("give back failed", namespace=ref.namespace, twin=ref.name, error=str(error) or "deadline")
            return Done(status, tuple(events), complete=False)
        return Done(status, tuple(events), complete=not self.holds(status))

    async def _release(
        self, ref: TwinRef, status: DigitalTwinStatus, original: Original, lever: Lever, why: str
    ) -> DigitalTwinStatus:
        try:
            message = await self._writer.give_back(ref.namespace, lever, original)
        except Unavailable as error:
            # It may arrive all the same, and is not to be taken for somebody else's then.
            log.warning("not known to be given back", namespace=ref.namespace, twin=ref.name, error=str(error))
            failure = Failure(INTERRUPTED, at_once=True)
            return not_released(status, original, why, failure, now=self._clock.now())
        except (Refused, SpecError) as error:
            log.warning("give back refused", namespace=ref.namespace, twin=ref.name, error=str(error))
            return not_released(status, original, why, _failure(error), now=self._clock.now())
        log.info("given back", namespace=ref.namespace, twin=ref.name, object=original.object.name, why=why)
        return released(status, original, why, message, now=self._clock.now())

    def _settle(
        self,
        ref: TwinRef,
        previous: DigitalTwinStatus,
        held: Held,
        now: float,
        generation: int,
        cooldown_seconds: float,
        *,
        asked: bool = False,
    ) -> Settled:
        settled = settle(
            previous,
            held.levers,
            now=now,
            generation=generation,
            cooldown_seconds=cooldown_seconds,
            unread=held.unread,
            asked=asked,
        )
        for event in settled.events:
            if event.about == TWIN:
                continue
            log.info(
                "correction settled",
                namespace=ref.namespace,
                twin=ref.name,
                object=f"{event.about.kind}/{event.about.name}",
                reason=event.reason,
                message=event.message,
            )
        return settled


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


def _outcome_events(
    ref: TwinRef, status: DigitalTwinStatus, record_id: str, lever: Lever, target: InvolvedObject | None
) -> tuple[Event, ...]:
    """Log the outcome of a decision, and return its Events."""
    record = next(each for each in status.corrections if each.id == record_id)
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
    return carried_out(record, lever, target, ref.name)


def _failure(error: ClusterError | SpecError) -> Failure:
    """Return what an error means for the next attempt."""
    match error:
        case Conflict():
            return Failure(str(error), at_once=True)
        case NotFound():
            return Failure(str(error), lasting=False)
        case Refused(status=HTTPStatus.FORBIDDEN):
            return Failure(missing_right(str(error), error.status) or str(error), reason=FORBIDDEN)
        case _:
            return Failure(str(error))


def _stale(previous: DigitalTwinStatus, status: DigitalTwinStatus, levers: Mapping[Key, Lever]) -> Iterable[Lever]:
    """Yield what was held until now and is not any more, with an annotation that says that it is."""
    kept = {(original.object, original.field) for original in status.originals}
    for original in previous.originals:
        lever = levers.get((original.object, original.field))
        if lever is not None and lever.witness and (original.object, original.field) not in kept:
            yield lever
