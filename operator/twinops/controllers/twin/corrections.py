"""Carries out corrections: writes what was decided to the object, and restores what is held."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from twinops.api.twin.corrections import CorrectionAction, Original, Outcome
from twinops.controllers.twin.field_writer import FieldWriter
from twinops.controllers.twin.held_values import HeldValues
from twinops.core.correction.events import REVIEW_NEEDED, outcome_events
from twinops.core.correction.outcome import raised, restore_failed, restored, restored_outside_sync, write_failed
from twinops.core.correction.plan import Plan
from twinops.core.correction.reasons import FailureReason, RestoreTrigger
from twinops.core.correction.records import INTERRUPTED, WriteFailure, is_interrupted, pending, waiting_failure
from twinops.core.correction.saved_annotation import annotation_text
from twinops.core.correction.saved_values import find, key_of
from twinops.core.correction.settle import Settled, settle
from twinops.core.events import TWIN, Event, InvolvedObject
from twinops.core.lever import Lever
from twinops.core.rights import missing_right
from twinops.core.state import TwinState
from twinops.errors import ClusterError, Conflict, NotFound, Refused, SpecError, Unavailable
from twinops.ports.kubernetes import Levers, TwinRef
from twinops.ports.process import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The result of carrying out a plan, or of restoring.

    Attributes:
        state: with the outcome.
        events: to post once the status is written.
        complete: False when something is still held that should be restored; try again later.
    """

    state: TwinState
    events: tuple[Event, ...] = ()
    complete: bool = True


class CorrectionService:
    """Carries out decisions about corrections, and restores what is held.

    Args:
        levers: reads and writes HPAs and ``/scale``.
        clock: wall time of outcomes, and pauses after conflicts.
    """

    def __init__(self, levers: Levers, clock: Clock) -> None:
        self._levers = levers
        self._writer = FieldWriter(levers, clock)
        self._held_values = HeldValues(levers)
        self._clock = clock

    @staticmethod
    def log_plan(ref: TwinRef, plan: Plan) -> None:
        """Log outcomes of earlier decisions and what a person should review."""
        if plan.settled is not None:
            _log_settled(ref, plan.settled)
        for event in plan.events:
            if event.reason == REVIEW_NEEDED:
                log.info("for a person to review", namespace=ref.namespace, twin=ref.name, message=event.message)

    async def remove_stale_annotations(self, ref: TwinRef, plan: Plan) -> None:
        """Remove annotations of values that are not ours any more. Best effort: such an annotation does not count."""
        for lever in plan.stale:
            try:
                await self._levers.remove_annotation(ref.namespace, lever)
            except (ClusterError, SpecError) as error:
                log.debug("annotation not taken off", namespace=ref.namespace, twin=ref.name, error=str(error))

    async def carry_out(self, ref: TwinRef, plan: Plan, state: TwinState, target: InvolvedObject | None = None) -> Done:
        """Write what was planned.

        Errors of the API server end up in the outcome; where it is not known whether a write arrived,
        the decision stays ``Pending`` and is settled from the live object at the next sync.

        Args:
            ref: the twin.
            plan: what is to be done.
            state: with the plan in it, as it was written into status before.
            target: the workload, for Events about what was done to it.
        """
        decision, lever = plan.decision, plan.lever
        record = pending(state.corrections)
        if lever is None or record is None:
            return Done(state)
        saved = find(state.saved_values, lever.key)
        if saved is None:
            return Done(
                write_failed(state, record, None, WriteFailure("no original is recorded"), now=self._clock.now())
            )
        try:
            if decision.action is CorrectionAction.RAISE and decision.to is not None:
                annotation = annotation_text(saved, decision.to, ref.name)
                await self._writer.raise_to(ref.namespace, lever, decision.to, annotation)
                after = raised(state, record, saved, now=self._clock.now())
            else:
                message = await self._writer.restore(ref.namespace, lever, saved)
                after = restored(state, record, saved, message, now=self._clock.now())
        except Unavailable as error:
            log.warning("correction not known to be done", namespace=ref.namespace, twin=ref.name, error=str(error))
            return Done(state)
        except (ClusterError, SpecError) as error:
            after = write_failed(state, record, saved, _failure(error), now=self._clock.now())
        return Done(after, _outcome_events(ref, after, record.id, lever, target))

    async def restore_all(
        self,
        ref: TwinRef,
        state: TwinState,
        *,
        trigger: RestoreTrigger,
        now: float,
        deadline_seconds: float,
        patient: bool = False,
    ) -> Done:
        """Restore everything that the twin holds. Does nothing when it holds nothing.

        Args:
            ref: the twin.
            state: that its last sync left.
            trigger: why, for the records.
            now: Unix seconds.
            deadline_seconds: how long this may take, so that a finalizer cannot hang.
            patient: whether the pauses after failures, as the state has them, are kept.
        """
        if not state.saved_values and pending(state.corrections) is None:
            return Done(state)
        events: list[Event] = []
        try:
            async with asyncio.timeout(deadline_seconds):
                levers, unread = await self._held_values.read(ref, state.saved_values, known=None)
                generation = max(state.observed_generation, 0)
                settled = settle(state, levers, now=now, generation=generation, cooldown_seconds=0, unread=unread)
                _log_settled(ref, settled)
                state = settled.state
                for saved in state.saved_values:
                    lever = levers.get(key_of(saved))
                    waits = patient and waiting_failure(state.corrections, saved.object, now) is not None
                    # A raise that may still be carried out is waited for, not restored before it is there.
                    if lever is None or saved.ours is None or waits:
                        continue
                    state = await self._restore(ref, state, saved, lever, trigger)
                    if not is_interrupted(state.corrections[-1]):
                        events += _outcome_events(ref, state, state.corrections[-1].id, lever, None)
        except (ClusterError, SpecError, TimeoutError) as error:
            log.warning("give back failed", namespace=ref.namespace, twin=ref.name, error=str(error) or "deadline")
            return Done(state, tuple(events), complete=False)
        return Done(state, tuple(events), complete=not state.saved_values)

    async def _restore(
        self, ref: TwinRef, state: TwinState, saved: Original, lever: Lever, trigger: RestoreTrigger
    ) -> TwinState:
        try:
            message = await self._writer.restore(ref.namespace, lever, saved)
        except Unavailable as error:
            # It may still be carried out, and must not count as somebody else's change then.
            log.warning("not known to be given back", namespace=ref.namespace, twin=ref.name, error=str(error))
            failure = WriteFailure(INTERRUPTED, at_once=True)
            return restore_failed(state, saved, trigger, failure, now=self._clock.now())
        except (Refused, SpecError) as error:
            log.warning("give back refused", namespace=ref.namespace, twin=ref.name, error=str(error))
            return restore_failed(state, saved, trigger, _failure(error), now=self._clock.now())
        log.info("given back", namespace=ref.namespace, twin=ref.name, object=saved.object.name, why=trigger.value)
        return restored_outside_sync(state, saved, trigger, message, now=self._clock.now())


def _log_settled(ref: TwinRef, settled: Settled) -> None:
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


def _outcome_events(
    ref: TwinRef, state: TwinState, record_id: str, lever: Lever, target: InvolvedObject | None
) -> tuple[Event, ...]:
    """Log the outcome of a decision, and return its Events."""
    record = next(each for each in state.corrections if each.id == record_id)
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
    return outcome_events(record, lever, target, ref.name)


def _failure(error: ClusterError | SpecError) -> WriteFailure:
    """Return what an error means for the next attempt."""
    match error:
        case Conflict():
            return WriteFailure(str(error), at_once=True)
        case NotFound():
            return WriteFailure(str(error), lasting=False)
        case Refused(status=HTTPStatus.FORBIDDEN):
            return WriteFailure(missing_right(str(error), error.status) or str(error), reason=FailureReason.FORBIDDEN)
        case _:
            return WriteFailure(str(error))
