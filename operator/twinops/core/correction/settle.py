"""What came of earlier decisions, judged from the live objects: interrupted ones, and values put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Original, Outcome
from twinops.core.correction import fights, records
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.correction.restore import DEFAULTED, half_way
from twinops.core.events import NORMAL, TWIN, WARNING, Event, about_lever
from twinops.core.observation import Lever, LeverKey
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True)
class Settled:
    """The state with every earlier decision settled.

    Attributes:
        events: what was found out, each on the twin and on the object whose value it is.
        reversions: how many values were put back by others.
    """

    state: TwinState
    events: tuple[Event, ...] = ()
    reversions: int = 0


@dataclass(slots=True)
class _Findings:
    """What is gathered while going through the originals."""

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

    def drop(self, original: Original) -> None:
        self.change(originals=records.without_original(self.state.originals, original))

    def keep(self, original: Original, ours: int | None) -> None:
        held = original.model_copy(update={"ours": ours})
        self.change(originals=records.with_original(self.state.originals, held))

    def resolve(self, record: CorrectionRecord, outcome: Outcome, message: str = "") -> None:
        found = records.resolve(self.state.corrections, record.id, outcome, now=self.now, message=message)
        self.change(corrections=found)

    def interrupted(self, record: CorrectionRecord) -> None:
        # An answer that is lost is no refusal: tried again at once, and only then less and less often.
        failure = records.Failure(records.INTERRUPTED, at_once=True)
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
        levers: by object and field, everything in ``state.originals`` as it is now; what is gone is
            left out.
        now: Unix seconds.
        generation: of the twin's spec.
        cooldown_seconds: the twin's cooldown.
        unread: what could not be read now; nothing is made of it.
        asked: whether a person has asked for this sync. As a change of the spec does, that forgives failures.
    """
    found = _Findings(state, now, generation, cooldown_seconds)
    found.change(fight=fights.calm(state.fight, now=now, generation=generation))
    if asked or 0 <= state.observed_generation != generation:
        found.change(corrections=records.anew(state.corrections))
    unfinished = records.pending(state.corrections)
    for original in state.originals:
        key = (original.object, original.field)
        mine = unfinished if unfinished and unfinished.object == original.object else None
        if key in unread:
            continue
        lever = levers.get(key)
        if lever is None:
            _gone(found, original, mine)
        elif mine is not None:
            _resolve(found, original, mine, lever)
        else:
            _watch(found, original, lever)
    left = records.pending(found.state.corrections)
    if left is not None and (left.object, left.field) not in unread:
        # Its original was never written down, so nothing was sent.
        found.interrupted(left)
    return Settled(found.state, tuple(found.events), found.reversions)


def _gone(found: _Findings, original: Original, record: CorrectionRecord | None) -> None:
    found.drop(original)
    if record is not None:
        found.resolve(record, Outcome.FAILED, f"{_what(original)} does not exist any more")
        return
    told = f"{original.object.kind}/{original.object.name} does not exist any more"
    for raised in records.held(found.state, original):
        # What does not stand any more is nothing to cool down from: its successor may need the same at once.
        found.resolve(raised, Outcome.REVERTED, told)


def _resolve(found: _Findings, original: Original, record: CorrectionRecord, lever: Lever) -> None:
    """Find out from the live object how far an interrupted decision came."""
    if record.action is CorrectionAction.RAISE:
        if is_ours(lever, record.to):
            found.resolve(record, Outcome.APPLIED)
            found.keep(original, record.to)
            return
        found.interrupted(record)
        _watch(found, original, lever)
        return
    if is_ours(lever, original.ours):
        found.interrupted(record)
    elif half_way(original, lever):
        # Handing over is a step that can be taken by itself.
        found.interrupted(record)
        found.keep(original, lever.value)
    else:
        found.resolve(record, Outcome.APPLIED)
        found.drop(original)


def _watch(found: _Findings, original: Original, lever: Lever) -> None:
    """Find out whether a value we hold is still ours, or one that we gave up has become so."""
    if _landed(found, original, lever):
        return
    if original.ours is None:
        if not records.interrupted(found.state, original, CorrectionAction.RAISE, found.now):
            found.drop(original)
        return
    if is_ours(lever, original.ours):
        return
    if half_way(original, lever):
        found.keep(original, lever.value)
        return
    found.drop(original)
    found.change(need_below_since=None)
    returned = records.interrupted(found.state, original, CorrectionAction.GIVE_BACK, found.now)
    if returned and lever.value == returned[-1].to:
        found.resolve(returned[-1], Outcome.APPLIED, records.LATE)
        return
    others = others_of(lever)
    manager = others[0].manager if others else "another twin"
    if (lever.value or 0) >= original.ours:
        _adopted(found, original, lever, manager)
    else:
        _reverted(found, original, lever, manager)


def _landed(found: _Findings, original: Original, lever: Lever) -> bool:
    """Tell whether a raise that was given up has been carried out after all, and hold its value."""
    if lever.value is None or not is_ours(lever, lever.value) or lever.value == original.ours:
        return False
    late = records.interrupted(found.state, original, CorrectionAction.RAISE, found.now)
    # Before the first raise nothing of ours lies above the original, so what does is ours however late it comes.
    base = original.ours or (DEFAULTED if original.value is None else original.value)
    if lever.value <= base or not (late or original.ours is None):
        return False
    given_up = records.given_up(found.state, original, CorrectionAction.RAISE)
    known = next((record for record in reversed(given_up) if record.to == lever.value), None)
    if known is not None:
        found.resolve(known, Outcome.APPLIED, records.LATE)
    found.keep(original, lever.value)
    text = f"{_what(original)} is {lever.value}: a request of this twin was carried out after it had been given up"
    found.add_events(lever, NORMAL, "CorrectionApplied", text)
    return True


def _adopted(found: _Findings, original: Original, lever: Lever, manager: str) -> None:
    """Leave a value to whoever has taken it over, or has set more than the twin did: nobody is against that."""
    if lever.value == original.ours:
        text = f"{_what(original)} stays {original.ours}: {manager} has taken it over"
    else:
        text = f"{_what(original)} stays {lever.value}: {manager} has set more than the twin did ({original.ours})"
    found.add_events(lever, NORMAL, "CorrectionAdopted", text)


def _reverted(found: _Findings, original: Original, lever: Lever, manager: str) -> None:
    text = f"{manager} set {_what(original)} from {original.ours} to {lever.value}"
    record = records.last_raise(found.state.corrections, original.object, original.field)
    if record is not None:
        found.resolve(record, Outcome.REVERTED, text)
    found.reversions += 1
    found.add_events(lever, NORMAL, "CorrectionReverted", text)
    turn = fights.reverted(
        found.state.fight,
        manager,
        now=found.now,
        generation=found.generation,
        cooldown_seconds=found.cooldown_seconds,
    )
    found.change(fight=turn.fight)
    if turn.message:
        found.add_events(lever, WARNING, "CorrectionFight", turn.message)


def _what(original: Original) -> str:
    return f"{original.field} of {original.object.kind}/{original.object.name}"
