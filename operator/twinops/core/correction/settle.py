"""The outcomes of earlier decisions by the live objects: interrupted writes, and values that others have changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.core.correction import fights, records, saved_values
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.correction.restore import only_ownership_missing
from twinops.core.correction.saved_values import key_of, value_to_restore
from twinops.core.events import NORMAL, TWIN, WARNING, Event, about_lever
from twinops.core.lever import Lever, LeverKey
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True)
class Settled:
    """The state with every earlier decision settled.

    Attributes:
        events: what has happened, each on the twin and on the object whose value it is.
        reversions: how many values were put back by others.
    """

    state: TwinState
    events: tuple[Event, ...] = ()
    reversions: int = 0


@dataclass(slots=True)
class _Findings:
    """What is collected while each saved value is checked."""

    state: TwinState
    now: float
    generation: int
    cooldown_seconds: float
    events: list[Event] = field(default_factory=list)
    reversions: int = 0

    def add_events(self, lever: Lever, event_type: str, reason: str, message: str) -> None:
        self.events += [Event(about, event_type, reason, message) for about in (TWIN, about_lever(lever))]

    def change(self, **update: Any) -> None:
        self.state = replace(self.state, **update)

    def drop(self, saved: Original) -> None:
        self.change(saved_values=saved_values.without_saved(self.state.saved_values, saved))

    def keep(self, saved: Original, ours: int | None) -> None:
        held = saved.model_copy(update={"ours": ours})
        self.change(saved_values=saved_values.with_saved(self.state.saved_values, held))

    def resolve(self, record: CorrectionRecord, outcome: Outcome, message: str = "") -> None:
        found = records.resolve(self.state.corrections, record.id, outcome, now=self.now, message=message)
        self.change(corrections=found)

    def interrupted(self, record: CorrectionRecord) -> None:
        # A lost answer is no refusal: the first retry is at once, and only later ones are paused.
        failure = records.WriteFailure(records.INTERRUPTED, at_once=True)
        self.change(corrections=records.fail(self.state.corrections, record.id, failure, now=self.now))


def settle(
    state: TwinState,
    levers: Mapping[LeverKey, Lever],
    *,
    now: float,
    generation: int,
    cooldown_seconds: float,
    unread: Collection[LeverKey] = (),
    asked: bool = False,
) -> Settled:
    """Settle every earlier decision.

    Args:
        state: the one before.
        levers: by object and field, every field with a saved value as it is now; what is gone is left out.
        now: Unix seconds.
        generation: of the twin's spec.
        cooldown_seconds: the twin's cooldown.
        unread: fields that could not be read now; nothing is concluded about them.
        asked: whether a person has asked for this sync. As a change of the spec does, that ends pauses after failures.
    """
    found = _Findings(state, now, generation, cooldown_seconds)
    found.change(fight=fights.current(state.fight, now=now, generation=generation))
    if asked or 0 <= state.observed_generation != generation:
        found.change(corrections=records.without_pauses(state.corrections))
    unfinished = records.pending(state.corrections)
    for saved in state.saved_values:
        key = key_of(saved)
        pending = unfinished if unfinished and unfinished.object == saved.object else None
        if key in unread:
            continue
        lever = levers.get(key)
        if lever is None:
            _gone(found, saved, pending)
        elif pending is not None:
            _resolve(found, saved, pending, lever)
        else:
            _check_ownership(found, saved, lever)
    left = records.pending(found.state.corrections)
    if left is not None and key_of(left) not in unread:
        # Its value was never saved, so nothing was sent.
        found.interrupted(left)
    return Settled(found.state, tuple(found.events), found.reversions)


def _gone(found: _Findings, saved: Original, record: CorrectionRecord | None) -> None:
    found.drop(saved)
    if record is not None:
        found.resolve(record, Outcome.FAILED, f"{key_of(saved).words} does not exist any more")
        return
    message = f"{saved.object.kind}/{saved.object.name} does not exist any more"
    for raised in records.raises_since(found.state, saved):
        # A deleted object starts no cooldown: its successor may need the same at once.
        found.resolve(raised, Outcome.REVERTED, message)


def _resolve(found: _Findings, saved: Original, record: CorrectionRecord, lever: Lever) -> None:
    """Find out from the live object how far an interrupted decision came."""
    if record.action is CorrectionAction.RAISE:
        if is_ours(lever, record.to):
            found.resolve(record, Outcome.APPLIED)
            found.keep(saved, record.to)
            return
        found.interrupted(record)
        _check_ownership(found, saved, lever)
        return
    if is_ours(lever, saved.ours):
        found.interrupted(record)
    elif only_ownership_missing(saved, lever):
        # Handing over can be done by itself.
        found.interrupted(record)
        found.keep(saved, lever.value)
    else:
        found.resolve(record, Outcome.APPLIED)
        found.drop(saved)


def _check_ownership(found: _Findings, saved: Original, lever: Lever) -> None:
    """Find out whether the value is still ours, or has become so by a write that was not answered."""
    if _arrived_late(found, saved, lever):
        return
    if saved.ours is None:
        if not records.in_flight(found.state, saved, CorrectionAction.RAISE, found.now):
            found.drop(saved)
        return
    if is_ours(lever, saved.ours):
        return
    if only_ownership_missing(saved, lever):
        found.keep(saved, lever.value)
        return
    found.drop(saved)
    found.change(need_below_since=None)
    returned = records.in_flight(found.state, saved, CorrectionAction.GIVE_BACK, found.now)
    if returned and lever.value == returned[-1].to:
        found.resolve(returned[-1], Outcome.APPLIED, records.ARRIVED_LATE)
        return
    others = others_of(lever)
    manager = others[0].manager if others else "another twin"
    if lever.current >= saved.ours:
        _adopted(found, saved, lever, manager)
    else:
        _reverted(found, saved, lever, manager)


def _arrived_late(found: _Findings, saved: Original, lever: Lever) -> bool:
    """Tell whether a raise that was not answered has been carried out; if so, its value is held from now on."""
    if lever.value is None or not is_ours(lever, lever.value) or lever.value == saved.ours:
        return False
    late = records.in_flight(found.state, saved, CorrectionAction.RAISE, found.now)
    # Before the first raise no write of ours lies above the saved value, so one that does is a raise, however late.
    base = saved.ours or value_to_restore(saved)
    if lever.value <= base or not (late or saved.ours is None):
        return False
    unanswered = records.unanswered(found.state, saved, CorrectionAction.RAISE)
    known = next((record for record in reversed(unanswered) if record.to == lever.value), None)
    if known is not None:
        found.resolve(known, Outcome.APPLIED, records.ARRIVED_LATE)
    found.keep(saved, lever.value)
    message = (
        f"{key_of(saved).words} is {lever.value}: a request of this twin was carried out after it had been given up"
    )
    found.add_events(lever, NORMAL, "CorrectionApplied", message)
    return True


def _adopted(found: _Findings, saved: Original, lever: Lever, manager: str) -> None:
    """Stop holding a value that another manager has taken over, or has set higher: that is no conflict."""
    if lever.value == saved.ours:
        message = f"{key_of(saved).words} stays {saved.ours}: {manager} has taken it over"
    else:
        message = f"{key_of(saved).words} stays {lever.value}: {manager} has set more than the twin did ({saved.ours})"
    found.add_events(lever, NORMAL, "CorrectionAdopted", message)


def _reverted(found: _Findings, saved: Original, lever: Lever, manager: str) -> None:
    message = f"{manager} set {key_of(saved).words} from {saved.ours} to {lever.value}"
    record = records.last_raise(found.state.corrections, key_of(saved))
    if record is not None:
        found.resolve(record, Outcome.REVERTED, message)
    found.reversions += 1
    found.add_events(lever, NORMAL, "CorrectionReverted", message)
    update = fights.count_reversion(
        found.state.fight,
        manager,
        now=found.now,
        generation=found.generation,
        cooldown_seconds=found.cooldown_seconds,
    )
    found.change(fight=update.fight)
    if update.message:
        found.add_events(lever, WARNING, "CorrectionFight", update.message)
