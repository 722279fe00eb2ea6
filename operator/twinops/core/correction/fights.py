"""The fight breaker: who keeps putting our value back is given way to, longer each time."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.corrections import Fight

WINDOW_SECONDS = 600
"""Two reversions within this time are a fight, whoever makes them: two managers may take turns."""

REVERSIONS = 2
FACTOR = 3
LONGEST_SECONDS = 3600
CYCLES = 3
"""Times the twin backs off before it gives up until the spec changes."""

_SHORTEST_SECONDS = 60
_CALM_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Round:
    """What one more reversion leads to.

    Attributes:
        message: of the Event, a sentence; only the first back-off and giving up have one.
    """

    fight: Fight
    message: str = ""


def calm(fight: Fight | None, *, now: float, generation: int) -> Fight | None:
    """Return the fight as far as it still matters.

    It is over when the spec has changed, when a single reversion is older than the window, or when
    an hour has passed since the last back-off ended. A twin that has given up waits for the spec.
    """
    if fight is None or fight.generation != generation:
        return None
    if given_up(fight):
        return fight
    recent = [moment for moment in fight.reversions if now - moment.timestamp() <= WINDOW_SECONDS]
    backing_off = fight.until is not None and now <= fight.until.timestamp() + _CALM_SECONDS
    return fight.model_copy(update={"reversions": recent}) if recent or backing_off else None


def reverted(fight: Fight | None, manager: str, *, now: float, generation: int, cooldown_seconds: float) -> Round:
    """Count a reversion.

    Args:
        fight: what ``calm`` left.
        manager: who put the value back; the last one is named.
        now: Unix seconds.
        generation: of the twin's spec.
        cooldown_seconds: the twin's cooldown; the first back-off is three times as long.
    """
    before = fight or Fight(manager=manager, generation=generation)
    reversions = [*before.reversions, utc(now)]
    if len(reversions) < REVERSIONS:
        return Round(before.model_copy(update={"manager": manager, "reversions": reversions}))
    cycles = before.cycles + 1
    if cycles > CYCLES:
        ended = before.model_copy(update={"manager": manager, "reversions": [], "cycles": cycles, "until": None})
        told = f"the value is put back again and again, last by {manager}: no more corrections until the spec changes"
        return Round(ended, told)
    pause = min(LONGEST_SECONDS, max(cooldown_seconds, _SHORTEST_SECONDS) * FACTOR**cycles)
    update = {"manager": manager, "reversions": [], "cycles": cycles, "until": utc(now + pause)}
    told = f"the value was put back twice within ten minutes, last by {manager}: no corrections for {pause:.0f} s"
    return Round(before.model_copy(update=update), told if cycles == 1 else "")


def given_up(fight: Fight) -> bool:
    """Tell whether the twin waits for its spec to change."""
    return fight.cycles > CYCLES


def paused(fight: Fight | None, now: float) -> bool:
    """Tell whether nothing may be written now."""
    return fight is not None and (given_up(fight) or (fight.until is not None and now < fight.until.timestamp()))
