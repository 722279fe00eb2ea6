"""The fight breaker: back off, longer each time, when another field manager keeps putting our value back."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.base import utc
from twinops.api.twin.corrections import Fight

WINDOW_SECONDS = 600
"""Two reversions within this time are a fight, whoever makes them: two managers may take turns."""

REVERSIONS = 2
"""One reversion may be a deployment; the second one within the window is a fight."""

FACTOR = 3
"""Each back-off is this factor longer than the one before; the first one is so much longer than the cooldown."""

LONGEST_SECONDS = 3600
"""Seconds that no back-off exceeds: a person sees the condition within an hour."""

CYCLES = 3
"""Times the twin backs off before it gives up until the spec changes."""

_SHORTEST_SECONDS = 60
"""Least cooldown, in seconds, that back-offs are computed from."""

_REMEMBER_SECONDS = 3600
"""Seconds after the last back-off for which it counts towards the next one."""


@dataclass(frozen=True, slots=True)
class FightUpdate:
    """What one more reversion leads to.

    Attributes:
        message: of the Event, a sentence; only the first back-off and giving up have one.
    """

    fight: Fight
    message: str = ""


def current(fight: Fight | None, *, now: float, generation: int) -> Fight | None:
    """Return the fight as far as it still matters.

    It is over when the spec has changed, when a single reversion is older than the window, or when
    an hour has passed since the last back-off ended. A twin that has given up waits for the spec.
    """
    if fight is None or fight.generation != generation:
        return None
    if given_up(fight):
        return fight
    recent = [moment for moment in fight.reversions if now - moment.timestamp() <= WINDOW_SECONDS]
    recently_backed_off = fight.until is not None and now <= fight.until.timestamp() + _REMEMBER_SECONDS
    return fight.model_copy(update={"reversions": recent}) if recent or recently_backed_off else None


def count_reversion(
    fight: Fight | None, manager: str, *, now: float, generation: int, cooldown_seconds: float
) -> FightUpdate:
    """Count a reversion.

    Args:
        fight: what ``current`` left.
        manager: who put the value back; the last one is named.
        now: Unix seconds.
        generation: of the twin's spec.
        cooldown_seconds: the twin's cooldown; the first back-off is three times as long.
    """
    before = fight or Fight(manager=manager, generation=generation)
    reversions = [*before.reversions, utc(now)]
    if len(reversions) < REVERSIONS:
        return FightUpdate(before.model_copy(update={"manager": manager, "reversions": reversions}))
    cycles = before.cycles + 1
    if cycles > CYCLES:
        ended = before.model_copy(update={"manager": manager, "reversions": [], "cycles": cycles, "until": None})
        message = (
            f"the value is put back again and again, last by {manager}: no more corrections until the spec changes"
        )
        return FightUpdate(ended, message)
    pause = min(LONGEST_SECONDS, max(cooldown_seconds, _SHORTEST_SECONDS) * FACTOR**cycles)
    update = {"manager": manager, "reversions": [], "cycles": cycles, "until": utc(now + pause)}
    message = f"the value was put back twice within ten minutes, last by {manager}: no corrections for {pause:.0f} s"
    return FightUpdate(before.model_copy(update=update), message if cycles == 1 else "")


def given_up(fight: Fight) -> bool:
    """Tell whether the twin waits for its spec to change."""
    return fight.cycles > CYCLES


def backing_off(fight: Fight | None, now: float) -> bool:
    """Tell whether nothing may be written now."""
    return fight is not None and (given_up(fight) or (fight.until is not None and now < fight.until.timestamp()))
