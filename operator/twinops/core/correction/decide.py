"""One sync's decision: raise, give back, or nothing, and the reason in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twinops.api.base import utc
from twinops.api.references import ObjectRef
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome, ReplicaStep, StartUp
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction import effect, ownership, records, restore, start_up
from twinops.core.correction.bounds import Envelope, Limited, envelope, limit, original_of
from twinops.core.correction.guards import Situation, Stop, first_stop
from twinops.core.correction.need import Demand, Need
from twinops.core.correction.sizing import Hold
from twinops.core.observation import Lever, Observation
from twinops.core.state import TwinState
from twinops.core.text import shorten


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    Attributes:
        action: None for nothing.
        mode: in Preview a raise is recorded only; a value is given back in any mode.
        object: what is written to, None when there is nothing to write to.
        current: value of the field now.
        to: value wanted; of a decision that is blocked, what would have been written.
        trigger: ``Risk/METRIC`` or ``Drift/METRIC``, or what ended the need.
        why: one sentence with figures.
        limited_by: what kept ``to`` lower than the need.
        blocked: whether something is in the way.
        reason: CamelCase, for the condition ``CorrectionBlocked``.
        message: for the same.
    """

    action: CorrectionAction | None
    mode: CorrectionMode
    reason: str
    message: str
    blocked: bool = False
    object: ObjectRef | None = None
    field: str = ""
    current: int | None = None
    to: int | None = None
    trigger: str = ""
    why: str = ""
    limited_by: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Tell whether an object is to be changed."""
        if self.action is CorrectionAction.GIVE_BACK:
            return True
        return self.action is CorrectionAction.RAISE and self.mode is CorrectionMode.APPLY


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """A decision and what goes into status with it: figures, and what the next sync must know."""

    decision: Decision
    recommended: int | None
    below_since: float | None
    steps: tuple[ReplicaStep, ...] = ()
    start_up: StartUp | None = None


def decide(spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand) -> DecisionResult:
    """Decide once.

    Args:
        spec: the twin's spec.
        observation: what this sync has seen.
        state: the one before, earlier decisions settled.
        demand: what is needed.
    """
    lever = observation.lever
    held = original_of(state.originals, lever) if lever else None
    within = envelope(spec, lever, held)
    demand, starting = _settled(spec, observation, state, demand)
    effects = effect.follow(spec, observation, state, demand)
    demand = demand.keeping(effects.kept)
    below = restore.below_since(spec, observation, state, demand, held)
    recommended = within.clip(demand.recommend(effects.capped)) if observation.workload else None
    # What is not known to have been written is not there to be given back: settle finds out.
    for original in (each for each in state.originals if each.ours is not None):
        reason = restore.due(spec, observation, original, below)
        if reason is not None:
            decision = _give_back(spec, state, original, reason, observation.now)
            return DecisionResult(decision, recommended, below, effects.steps, starting)
    current = (lever.value or 0) if lever else 0
    held_for = records.held_by(state)
    needs = [
        _stopped_short(need, effects.stopped.get(need.metric), held=need.metric in held_for) for need in demand.needs
    ]
    need = _strongest(needs, above=current)
    decision = _raise(spec, observation, state, need, within)
    return DecisionResult(decision, recommended, below, effects.steps, starting)


def _settled(
    spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand
) -> tuple[Demand, StartUp | None]:
    """Return the demand as far as pods that start up let it be known, and since when they do."""
    words = start_up.starting(observation)
    found = start_up.follow(state.start_up, spec, observation, words)
    if found is None:
        return demand, None
    if words and start_up.over(found, observation):
        return demand.regardless or demand, found
    return demand.held(Hold.starting(words or "pods have only just become ready")), found


def _stopped_short(need: Need, hold: Hold | None, *, held: bool) -> Need:
    """Return the need as far as more replicas are known to help.

    What is not known yet is waited for after a raise of our own that stands: what the HPA has added, or somebody has
    put back, was none.
    """
    if hold is None or not need.acts or not (hold.blocked or held):
        return need
    return dataclasses.replace(need, hold=hold)


def _strongest(needs: Sequence[Need], *, above: int) -> Need | None:
    """Return the largest need that may be acted on and asks for more than is in place, else the largest.

    The latter so that what is told is why nothing is done, and not that a smaller need is met.
    """
    acting = [need for need in needs if need.acts]
    return next((need for need in acting if need.replicas > above), needs[0] if needs else None)


def _give_back(
    spec: DigitalTwinSpec, state: TwinState, original: Original, reason: restore.Reason, now: float
) -> Decision:
    last = records.failing(state.corrections, original.object, now)
    if last is not None:
        failed = last.reason or records.WRITE_FAILED
        return Decision(None, spec.auto_correction.mode, failed, last.message, blocked=True)
    value = restore.DEFAULTED if original.value is None else original.value
    return Decision(
        action=CorrectionAction.GIVE_BACK,
        mode=spec.auto_correction.mode,
        reason="GivingBack",
        message=reason.why,
        object=original.object,
        field=original.field,
        current=original.ours,
        to=value,
        trigger=reason.trigger,
        why=reason.why,
    )


def _raise(
    spec: DigitalTwinSpec,
    observation: Observation,
    state: TwinState,
    need: Need | None,
    within: Envelope,
) -> Decision:
    lever, workload, mode = observation.lever, observation.workload, spec.auto_correction.mode
    limited = None
    if need and lever and workload:
        limited = limit(
            need.replicas,
            current=lever.value or 0,
            ready=workload.ready,
            max_step_percent=spec.auto_correction.bounds.max_step_percent,
            within=within,
        )
    stop = first_stop(Situation(spec, observation, state, need, limited, observation.now))
    if stop is not None:
        return _stopped(mode, stop, lever, need, limited)
    if need is None or lever is None or limited is None:
        raise ValueError("the guards let a raise through that has nothing to raise")
    preview = mode is CorrectionMode.PREVIEW
    return Decision(
        action=CorrectionAction.RAISE,
        mode=mode,
        reason="Preview" if preview else "Correcting",
        message=f"would set {lever.field} to {limited.value}: {need.why}" if preview else need.why,
        object=lever.object,
        field=lever.field,
        current=lever.value,
        to=limited.value,
        trigger=need.trigger,
        why=need.why,
        limited_by=limited.by,
    )


def _stopped(
    mode: CorrectionMode, stop: Stop, lever: Lever | None, need: Need | None, limited: Limited | None
) -> Decision:
    current, value = lever.value if lever else None, limited.value if limited else None
    if need and value is not None and value <= (current or 0):
        # Bounds that leave no room are no wish: what is needed is told.
        value = need.replicas
    return Decision(
        action=None,
        mode=mode,
        reason=stop.reason,
        message=stop.message,
        blocked=stop.blocked,
        object=lever.object if lever else None,
        field=lever.field if lever else "",
        current=current,
        to=value,
        trigger=need.trigger if need else "",
        why=need.why if need else "",
    )


def noted(state: TwinState, result: DecisionResult, lever: Lever | None, now: float) -> TwinState:
    """Return the state with the decision written down, originals and intent included.

    A decision that changes nothing is written down once: not again while it stays the same.

    Args:
        state: the one before, earlier decisions settled.
        result: what was decided.
        lever: what a raise would write to.
        now: Unix seconds.
    """
    decision = result.decision
    corrections, originals = state.corrections, state.originals
    record = _record(decision, now)
    if record is not None and not _repeats(state, record):
        corrections = records.add(corrections, record)
    if lever is not None and decision.writes and decision.action is CorrectionAction.RAISE:
        originals = _originals(state, lever, now)
    return dataclasses.replace(
        state,
        corrections=corrections,
        originals=originals,
        recommended_replicas=result.recommended,
        need_below_since=None if result.below_since is None else utc(result.below_since),
        replica_steps=result.steps,
        start_up=result.start_up,
    )


def _record(decision: Decision, now: float) -> CorrectionRecord | None:
    """Return the record of a decision, None when it is not worth one."""
    driven_but_blocked = decision.action is None and decision.blocked and decision.trigger
    if decision.object is None or (decision.action is None and not driven_but_blocked):
        return None
    action = decision.action or CorrectionAction.RAISE
    if decision.action is None:
        outcome, message = Outcome.BLOCKED, f"{decision.reason}: {decision.message}"
    else:
        outcome, message = (Outcome.PENDING if decision.writes else Outcome.PREVIEWED), ""
    moment = datetime.fromtimestamp(now, UTC)
    return CorrectionRecord(
        id=f"{moment:%Y%m%dT%H%M%SZ}-{action.value}-{decision.current}-{decision.to}",
        time=utc(now),
        action=action,
        mode=decision.mode,
        object=decision.object,
        field=decision.field,
        from_=decision.current,
        to=decision.to,
        trigger=decision.trigger,
        why=shorten(decision.why),
        limited_by=list(decision.limited_by),
        outcome=outcome,
        outcome_time=utc(now) if outcome is not Outcome.PENDING else None,
        message=shorten(message),
    )


def _repeats(state: TwinState, record: CorrectionRecord) -> bool:
    """Tell whether the newest record says the same already. Only what changes nothing can repeat."""
    last = state.corrections[-1] if state.corrections else None
    if last is None or last.object != record.object:
        return False
    if last.outcome is Outcome.FAILED and record.outcome is Outcome.BLOCKED:
        # The failure itself tells why nothing is tried for a while.
        return record.message.partition(":")[0] == (last.reason or records.WRITE_FAILED)
    if last.outcome is not record.outcome:
        return False
    if record.outcome is Outcome.BLOCKED:
        return last.message.partition(":")[0] == record.message.partition(":")[0]
    return record.outcome is Outcome.PREVIEWED and (last.from_, last.to) == (record.from_, record.to)


def _originals(state: TwinState, lever: Lever, now: float) -> tuple[Original, ...]:
    """Return the originals with the lever's among them; the first one stays from which the value was raised."""
    known = original_of(state.originals, lever)
    if known is not None and known.ours is not None:
        return state.originals
    others = ownership.others_of(lever)
    former = next((owner for owner in others if owner.operation == "Apply"), others[0] if others else None)
    new = Original(
        object=lever.object,
        field=lever.field,
        value=lever.value,
        manager=former.manager if former else "",
        operation=former.operation if former else "",
        declared=lever.declared,
        time=utc(now),
        bounds_min=lever.minimum,
        bounds_max=lever.maximum,
    )
    return records.with_original(state.originals, new)
