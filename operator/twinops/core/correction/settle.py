"""What came of earlier decisions, judged from the live objects: interrupted ones, and values put back."""

from __future__ import annotations

from dataclasses import dataclass, field

from twinops.api.status import CorrectionAction, CorrectionRecord, DigitalTwinStatus, ObjectRef, Original, Outcome
from twinops.core.correction import fights, records
from twinops.core.correction.give_back import half_way
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.notes import NORMAL, WARNING, Note
from twinops.core.observation import Lever


@dataclass(frozen=True, slots=True)
class Settled:
    """Status with every earlier decision settled.

    Attributes:
        notes: what people should hear, each about the object named (and the twin).
        reversions: how many values were put back by others.
    """

    status: DigitalTwinStatus
    notes: tuple[tuple[ObjectRef, Note], ...] = ()
    reversions: int = 0


@dataclass(slots=True)
class _Findings:
    """What is gathered while going through the originals."""

    status: DigitalTwinStatus
    now: float
    generation: int
    cooldown_seconds: float
    notes: list[tuple[ObjectRef, Note]] = field(default_factory=list)
    reversions: int = 0

    def change(self, **update: object) -> None:
        self.status = self.status.model_copy(update=update)

    def drop(self, original: Original) -> None:
        self.change(originals=records.without_original(self.status.originals, original))

    def keep(self, original: Original, ours: int | None) -> None:
        held = original.model_copy(update={"ours": ours})
        self.change(originals=records.with_original(self.status.originals, held))

    def resolve(self, record: CorrectionRecord, outcome: Outcome, message: str = "") -> None:
        found = records.resolve(self.status.corrections, record.id, outcome, now=self.now, message=message)
        self.change(corrections=found)


def settle(
    status: DigitalTwinStatus,
    levers: dict[tuple[ObjectRef, str], Lever],
    *,
    now: float,
    generation: int,
    cooldown_seconds: float,
) -> Settled:
    """Settle every earlier decision.

    Args:
        status: the last status.
        levers: by object and field, everything in ``status.originals`` as it is now; what is gone is
            left out.
        now: Unix seconds.
        generation: of the twin's spec.
        cooldown_seconds: the twin's cooldown.
    """
    found = _Findings(status, now, generation, cooldown_seconds)
    found.change(fight=fights.calm(status.fight, now=now, generation=generation))
    unfinished = records.pending(status)
    for original in status.originals:
        lever = levers.get((original.object, original.field))
        mine = unfinished if unfinished and unfinished.object == original.object else None
        if lever is None:
            _gone(found, original, mine)
        elif mine is not None:
            _resolve(found, original, mine, lever)
        else:
            _watch(found, original, lever)
    left = records.pending(found.status)
    if left is not None:
        # Its original was never written down, so nothing was sent.
        found.resolve(left, Outcome.FAILED, records.INTERRUPTED)
    return Settled(found.status, tuple(found.notes), found.reversions)


def _gone(found: _Findings, original: Original, record: CorrectionRecord | None) -> None:
    found.drop(original)
    if record is not None:
        found.resolve(record, Outcome.FAILED, f"{_what(original)} does not exist any more")


def _resolve(found: _Findings, original: Original, record: CorrectionRecord, lever: Lever) -> None:
    """Find out from the live object how far an interrupted decision came."""
    if record.action is CorrectionAction.RAISE:
        if is_ours(lever, record.to):
            found.resolve(record, Outcome.APPLIED)
            found.keep(original, record.to)
            return
        found.resolve(record, Outcome.FAILED, records.INTERRUPTED)
        _watch(found, original, lever)
        return
    if is_ours(lever, original.ours):
        found.resolve(record, Outcome.FAILED, records.INTERRUPTED)
    elif half_way(original, lever):
        # Handing over is a step that can be taken by itself.
        found.resolve(record, Outcome.FAILED, records.INTERRUPTED)
        found.keep(original, lever.value)
    else:
        found.resolve(record, Outcome.APPLIED)
        found.drop(original)


def _watch(found: _Findings, original: Original, lever: Lever) -> None:
    """Find out whether a value we hold is still ours."""
    if original.ours is None:
        found.drop(original)
        return
    if is_ours(lever, original.ours):
        return
    if half_way(original, lever):
        found.keep(original, lever.value)
        return
    found.drop(original)
    found.change(need_below_since=None)
    others = others_of(lever)
    manager = others[0].manager if others else "another twin"
    if lever.value == original.ours:
        text = f"{_what(original)} stays {original.ours}: {manager} has taken it over"
        found.notes.append((original.object, Note(NORMAL, "CorrectionAdopted", text)))
        return
    _reverted(found, original, lever, manager)


def _reverted(found: _Findings, original: Original, lever: Lever, manager: str) -> None:
    text = f"{manager} set {_what(original)} from {original.ours} to {lever.value}"
    record = records.last_raise(found.status.corrections, original.object, original.field)
    if record is not None:
        found.resolve(record, Outcome.REVERTED, text)
    found.reversions += 1
    found.notes.append((original.object, Note(NORMAL, "CorrectionReverted", text)))
    turn = fights.reverted(
        found.status.fight,
        manager,
        now=found.now,
        generation=found.generation,
        cooldown_seconds=found.cooldown_seconds,
    )
    found.change(fight=turn.fight)
    if turn.news:
        found.notes.append((original.object, Note(WARNING, "CorrectionFight", turn.news)))


def _what(original: Original) -> str:
    return f"{original.field} of {original.object.kind}/{original.object.name}"
