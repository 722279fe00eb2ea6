"""One sync's corrections as a pure function: settle earlier decisions, decide once, record the decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from twinops.api.twin.drift import Drift
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.correction.decide import Decision, decide
from twinops.core.correction.decision_record import record_decision
from twinops.core.correction.demand import Demand
from twinops.core.correction.events import preview_events, recovered_event, review_events
from twinops.core.correction.need import demand
from twinops.core.correction.records import metrics_held_for
from twinops.core.correction.saved_values import key_of, with_saved
from twinops.core.correction.settle import Settled, settle
from twinops.core.events import Event
from twinops.core.lever import Lever, LeverKey
from twinops.core.observation import Observation
from twinops.core.rights import Refusal
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one sync has decided about corrections.

    Attributes:
        decision: what is to be done, and why.
        state: with the decision in it; it must be on the API server before anything is changed.
        settled: the outcomes of earlier decisions, None where the held fields could not be read.
        events: to post once the status is written.
        lever: what is written to, as judged; None when nothing is written.
        stale: objects whose annotation has a saved value of a field that the twin does not hold any more.
    """

    decision: Decision
    state: TwinState
    settled: Settled | None = None
    events: tuple[Event, ...] = ()
    lever: Lever | None = None
    stale: tuple[Lever, ...] = ()

    @property
    def writes(self) -> bool:
        """Tell whether an object is to be changed."""
        return self.decision.writes

    @property
    def reversions(self) -> int:
        """How many values others have put back since the last sync."""
        return 0 if self.settled is None else self.settled.reversions


def plan(
    spec: DigitalTwinSpec,
    state: TwinState,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    *,
    generation: int,
    asked: bool = False,
) -> Plan:
    """Settle earlier decisions and make a new one.

    Args:
        spec: the twin's.
        state: that the last sync left.
        observation: what this sync has read.
        drift: judged from it.
        risks: judged from it.
        generation: of the spec.
        asked: whether a person has asked for this sync.
    """
    if observation.held.refusal is not None:
        return _undecided(spec, state, observation, drift, risks, observation.held.refusal)
    levers = _levers(observation)
    before, recovered = _with_recovered(state, observation)
    settled = settle(
        before,
        levers,
        now=observation.now,
        generation=generation,
        cooldown_seconds=spec.auto_correction.cooldown_seconds,
        unread=observation.held.unread,
        asked=asked,
    )
    required = demand(spec, observation, drift, risks, held_by=metrics_held_for(settled.state))
    decision, after = _decided(spec, observation, settled.state, required)
    return Plan(
        decision,
        after,
        settled,
        (*settled.events, *recovered, *review_events(state.drift, drift), *preview_events(settled.state, after)),
        levers.get(decision.lever) if decision.writes and decision.lever else None,
        tuple(_stale(before, after, levers)),
    )


def _decided(
    spec: DigitalTwinSpec, observation: Observation, state: TwinState, required: Demand
) -> tuple[Decision, TwinState]:
    """Decide once, and return the decision and the state with it."""
    # Nothing is decided about fields that could not be read; above all they are not restored for that.
    unread = tuple(saved for saved in state.saved_values if key_of(saved) in observation.held.unread)
    if unread:
        state = replace(state, saved_values=tuple(saved for saved in state.saved_values if saved not in unread))
    result = decide(spec, observation, state, required)
    after = record_decision(state, result, observation.lever, observation.now)
    if unread:
        after = replace(after, saved_values=(*unread, *after.saved_values))
    return result.decision, after


def _undecided(
    spec: DigitalTwinSpec,
    state: TwinState,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    refusal: Refusal,
) -> Plan:
    """Return the plan of a sync that could not read the held fields: nothing changes, and the decision says why."""
    reason = observation.no_lever_reason or refusal.reason
    decision = Decision(None, spec.auto_correction.mode, reason, refusal.message, blocked=True)
    recommended = demand(spec, observation, drift, risks).recommended if observation.workload else None
    # Time without a reading does not count towards the time in which less was required.
    return Plan(decision, replace(state, recommended_replicas=recommended, need_below_since=None))


def _levers(observation: Observation) -> Mapping[LeverKey, Lever]:
    """Return every held field, and the lever, as they are now."""
    lever, held = observation.lever, observation.held.levers
    return held if lever is None or lever.key in held else {lever.key: lever, **held}


def _with_recovered(state: TwinState, observation: Observation) -> tuple[TwinState, tuple[Event, ...]]:
    """Return the state with the saved value that it had lost, and the Event about that."""
    saved = observation.held.recovered
    if saved is None:
        return state, ()
    return replace(state, saved_values=with_saved(state.saved_values, saved)), (recovered_event(saved),)


def _stale(before: TwinState, after: TwinState, levers: Mapping[LeverKey, Lever]) -> Iterable[Lever]:
    """Yield the fields that were held until now and are not any more, and still have an annotation of that."""
    held = {key_of(saved) for saved in after.saved_values}
    for saved in before.saved_values:
        lever = levers.get(key_of(saved))
        if lever is not None and lever.original_annotation and lever.key not in held:
            yield lever
