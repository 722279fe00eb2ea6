"""One sync's corrections as a pure function: settle earlier decisions, decide once, write the decision down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from twinops.api.twin.drift import Drift
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.correction.decide import Decision, decide, noted
from twinops.core.correction.events import announced, reviews, taken_up
from twinops.core.correction.need import demand
from twinops.core.correction.records import held_by, with_original
from twinops.core.correction.settle import Settled, settle
from twinops.core.events import Event
from twinops.core.observation import Lever, LeverKey, Observation
from twinops.core.rights import Refusal
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one sync has decided about corrections.

    Attributes:
        decision: what is to be done, and why.
        state: with the decision written down; it must be on the API server before anything is changed.
        settled: what came of earlier decisions, None where that could not be read.
        events: to post once the status is written.
        lever: what is written to, as judged; None when nothing is written.
        stale: objects with an annotation that says the twin holds a value, and it does not any more.
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
    lever, now, levers = observation.lever, observation.now, _levers(observation)
    before, found = _with_taken_up(state, observation)
    settled = settle(
        before,
        levers,
        now=now,
        generation=generation,
        cooldown_seconds=spec.auto_correction.cooldown_seconds,
        unread=observation.held.unread,
        asked=asked,
    )
    # Nothing is decided about what could not be read: above all it is not given back for that.
    unread = tuple(each for each in settled.state.originals if (each.object, each.field) in observation.held.unread)
    seen = settled.state
    if unread:
        seen = replace(seen, originals=tuple(each for each in seen.originals if each not in unread))
    result = decide(
        spec, observation, seen, demand(spec, observation, drift, risks, held_by=held_by(settled.state))
    )  # fmt: skip
    after = noted(seen, result, lever, now)
    if unread:
        after = replace(after, originals=(*unread, *after.originals))
    decision = result.decision
    return Plan(
        decision,
        after,
        settled,
        (*settled.events, *found, *reviews(state.drift, drift), *announced(settled.state, after)),
        levers.get((decision.object, decision.field)) if decision.writes and decision.object else None,
        tuple(_stale(before, after, levers)),
    )


def _undecided(
    spec: DigitalTwinSpec,
    state: TwinState,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    refusal: Refusal,
) -> Plan:
    """Return the plan of a sync that could not read what the twin holds: everything stays as it is, and it is told."""
    reason = observation.no_lever_reason or refusal.reason
    decision = Decision(None, spec.auto_correction.mode, reason, refusal.message, blocked=True)
    recommended = demand(spec, observation, drift, risks).recommended if observation.workload else None
    # What was not seen does not count towards the time in which nothing was needed.
    return Plan(decision, replace(state, recommended_replicas=recommended, need_below_since=None))


def _levers(observation: Observation) -> Mapping[LeverKey, Lever]:
    """Return everything that is held, and the lever, as they are now."""
    lever, held = observation.lever, observation.held.levers
    return held if lever is None or lever.key in held else {lever.key: lever, **held}


def _with_taken_up(state: TwinState, observation: Observation) -> tuple[TwinState, tuple[Event, ...]]:
    """Return the state with the original that it had lost, and the Event about that."""
    original = observation.held.taken_up
    if original is None:
        return state, ()
    return replace(state, originals=with_original(state.originals, original)), (taken_up(original),)


def _stale(before: TwinState, after: TwinState, levers: Mapping[LeverKey, Lever]) -> Iterable[Lever]:
    """Yield what was held until now and is not any more, with an annotation that says that it is."""
    kept = {(original.object, original.field) for original in after.originals}
    for original in before.originals:
        key = (original.object, original.field)
        lever = levers.get(key)
        if lever is not None and lever.witness and key not in kept:
            yield lever
