"""One sync's decision: raise, restore, or nothing, and the reason in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from twinops.api.twin.corrections import CorrectionAction, Original, ReplicaStep, StartUp
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction import effect, records, restore, saved_values, start_up
from twinops.core.correction.bounds import Envelope, Limited, envelope, limit
from twinops.core.correction.demand import Demand, Need
from twinops.core.correction.guards import Situation, Stop, first_stop
from twinops.core.correction.reasons import BlockReason, FailureReason
from twinops.core.correction.saved_values import key_of, value_to_restore
from twinops.core.correction.sizing import Suppression
from twinops.core.lever import Lever, LeverKey, LeverValue
from twinops.core.observation import Observation
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    Attributes:
        action: None for nothing.
        mode: in Preview a raise is recorded only; a value is restored in any mode.
        lever: the object and field that are written, None when there is nothing to write to.
        current: value of the field now.
        to: value wanted; of a decision that is blocked, what would have been written.
        trigger: ``Risk/METRIC`` or ``Drift/METRIC``, or a ``RestoreTrigger``.
        why: one sentence with figures.
        limited_by: what kept ``to`` lower than what is required.
        blocked: whether something is in the way.
        reason: CamelCase, for the condition ``CorrectionBlocked``; one that is not a ``BlockReason`` is shown only.
        message: for the same.
    """

    action: CorrectionAction | None
    mode: CorrectionMode
    reason: str
    message: str
    blocked: bool = False
    lever: LeverKey | None = None
    current: LeverValue | None = None
    to: LeverValue | None = None
    trigger: str = ""
    why: str = ""
    limited_by: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Tell whether an object is to be changed."""
        if self.action is CorrectionAction.GIVE_BACK:
            return True
        return self.action is CorrectionAction.RAISE and self.mode is CorrectionMode.APPLY

    @property
    def waits(self) -> bool:
        """Tell whether what is required is only not done yet, with nothing in its way."""
        return isinstance(self.reason, BlockReason) and self.reason.waits


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """A decision and what goes into status with it.

    Attributes:
        recommended: replicas that the twin would run, within bounds; None without a workload.
        below_since: since when less has been required than is held, Unix seconds; None while it is not.
        steps: the last step of each metric that required more replicas.
        start_up: set while pods start up.
    """

    decision: Decision
    recommended: LeverValue | None
    below_since: float | None
    steps: tuple[ReplicaStep, ...] = ()
    start_up: StartUp | None = None


def decide(spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand) -> DecisionResult:
    """Decide once.

    Args:
        spec: the twin's spec.
        observation: what this sync has seen.
        state: the one before, earlier decisions settled.
        demand: what is required.
    """
    lever = observation.lever
    saved = saved_values.find(state.saved_values, lever.key) if lever else None
    within = envelope(spec, lever, saved)
    demand, starting = _during_start_up(spec, observation, state, demand)
    effects = effect.follow_steps(spec, observation, state, demand)
    demand = demand.with_floors(effects.floors)
    below = restore.below_since(spec, observation, state, demand, saved)
    recommended = within.clip(demand.recommend(effects.capped)) if observation.workload else None
    # A value that is not known to have been written is not restored: ``settle`` finds out first.
    for held in (each for each in state.saved_values if each.ours is not None):
        reason = restore.restore_reason(spec, observation, held, below)
        if reason is not None:
            decision = _restore(spec, state, held, reason, observation.now)
            return DecisionResult(decision, recommended, below, effects.steps, starting)
    current = lever.current if lever else 0
    held_for = records.metrics_held_for(state)
    needs = [
        _suppressed(need, effects.suppressed.get(need.metric), held=need.metric in held_for) for need in demand.needs
    ]
    need = _strongest(needs, above=current)
    decision = _raise(spec, observation, state, need, within)
    return DecisionResult(decision, recommended, below, effects.steps, starting)


def _during_start_up(
    spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand
) -> tuple[Demand, StartUp | None]:
    """Return the demand as far as it is known while pods start up, and since when they have been starting."""
    words = start_up.starting(observation)
    found = start_up.follow(state.start_up, spec, observation, words)
    if found is None:
        return demand, None
    if words and start_up.over(found, observation):
        return demand.ignoring_start_up or demand, found
    return demand.during_start_up(Suppression.starting_up(words or "pods have only just become ready")), found


def _suppressed(need: Need, suppression: Suppression | None, *, held: bool) -> Need:
    """Return the need, suppressed where the last step for it has had no effect, or none that is known yet.

    An effect is waited for only after a raise of our own that is held: replicas that the HPA has added, or that
    somebody has removed again, were none of ours.
    """
    if suppression is None or not need.actionable or not (suppression.reason.blocked or held):
        return need
    return dataclasses.replace(need, suppression=suppression)


def _strongest(needs: Sequence[Need], *, above: int) -> Need | None:
    """Return the largest need that may be acted on and requires more than is in place, else the largest.

    The latter so that the decision gives the reason why nothing is done, and not that a smaller need is met.
    """
    actionable = [need for need in needs if need.actionable]
    return next((need for need in actionable if need.replicas > above), needs[0] if needs else None)


def _restore(
    spec: DigitalTwinSpec, state: TwinState, saved: Original, reason: restore.RestoreReason, now: float
) -> Decision:
    last = records.waiting_failure(state.corrections, saved.object, now)
    if last is not None:
        failed = last.reason or FailureReason.WRITE_FAILED
        return Decision(None, spec.auto_correction.mode, failed, last.message, blocked=True)
    return Decision(
        action=CorrectionAction.GIVE_BACK,
        mode=spec.auto_correction.mode,
        reason="GivingBack",
        message=reason.why,
        lever=key_of(saved),
        current=saved.ours,
        to=value_to_restore(saved),
        trigger=reason.trigger.value,
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
            current=lever.current,
            ready=workload.ready,
            max_step_percent=spec.auto_correction.bounds.max_step_percent,
            within=within,
        )
    stop = first_stop(Situation(spec, observation, state, need, limited, observation.now))
    if stop is not None:
        return _not_raised(mode, stop, lever, need, limited)
    if need is None or lever is None or limited is None:
        raise ValueError("the guards let a raise through that has nothing to raise")
    preview = mode is CorrectionMode.PREVIEW
    return Decision(
        action=CorrectionAction.RAISE,
        mode=mode,
        reason="Preview" if preview else "Correcting",
        message=f"would set {lever.field} to {limited.value}: {need.why}" if preview else need.why,
        lever=lever.key,
        current=lever.value,
        to=limited.value,
        trigger=need.trigger,
        why=need.why,
        limited_by=limited.by,
    )


def _not_raised(
    mode: CorrectionMode, stop: Stop, lever: Lever | None, need: Need | None, limited: Limited | None
) -> Decision:
    current, value = lever.value if lever else None, limited.value if limited else None
    if need and value is not None and value <= (current or 0):
        # Where bounds leave no room, the decision shows what is required.
        value = need.replicas
    return Decision(
        action=None,
        mode=mode,
        reason=stop.reason,
        message=stop.message,
        blocked=stop.blocked,
        lever=lever.key if lever else None,
        current=current,
        to=value,
        trigger=need.trigger if need else "",
        why=need.why if need else "",
    )
