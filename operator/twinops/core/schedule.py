"""When a twin ticks: slots on a wall-clock grid, shifted by a hash of its UID.

The grid keeps ticks of equal intervals evenly spread and stable over restarts; the hash keeps
thousands of twins from ticking at once. Sleeping is done by a monotonic clock, so a wall clock that
jumps moves the grid, never the pace: two ticks lie between half an interval and one interval apart
(plus what a sync itself takes, and ``SLACK``).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

SLACK = 0.02
"""A tick that came early by up to this share of the interval has served its slot: sleeps end a little
early while NTP slows the wall clock down (by at most 0.05 %)."""


@dataclass(frozen=True, slots=True)
class SyncStart:
    """When a slot was last served, by the monotonic clock (seconds)."""

    monotonic: float


def fraction(uid: str) -> float:
    """Return a stable, evenly distributed number in [0, 1) for a UID."""
    digest = hashlib.blake2b(uid.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / float(1 << 48)


def next_slot(now: float, interval: float, uid: str) -> float:
    """Return the twin's first slot strictly after ``now``.

    Args:
        now: Unix seconds.
        interval: seconds between two slots, above 0.
        uid: UID of the twin.

    Returns:
        Unix seconds in (now, now + interval].
    """
    offset = fraction(uid) * interval
    slot = offset + (math.floor((now - offset) / interval) + 1) * interval
    # Rounding may place the slot on ``now`` itself.
    return slot if slot > now else slot + interval


def sleep_seconds(wall: float, monotonic: float, last: SyncStart | None, interval: float, uid: str) -> float:
    """Return how long to sleep until the next tick.

    Normally that is the time to the next slot. Where a clock that jumped would bring it less than half
    an interval after the last tick, the way to the slot after it is cut in two halves instead: no
    burst, no gap above one interval, and back on the grid with the tick after the next.

    Args:
        wall: Unix seconds now.
        monotonic: monotonic seconds now.
        last: the last tick; None before the first.
        interval: seconds between two ticks, as it is now (it may have changed since ``last``).
        uid: UID of the twin.

    Returns:
        Seconds in (0, interval * (1 + SLACK)].
    """
    wait = next_slot(wall, interval, uid) - wall
    if last is None:
        return wait
    elapsed = max(0.0, monotonic - last.monotonic)
    if elapsed + wait >= interval / 2:
        return wait
    if elapsed + wait <= interval * SLACK:
        return wait + interval
    return (elapsed + wait + interval) / 2 - elapsed


def herd_delay(uid: str, crowd: int, *, longest: float = 5.0, per_second: float = 500.0) -> float:
    """Return how long one of ``crowd`` twins waits when all are woken at once.

    Args:
        uid: UID of the twin.
        crowd: how many twins are woken.
        longest: seconds that the spread never exceeds.
        per_second: twins to wake per second, as long as ``longest`` allows.
    """
    return fraction(uid) * min(longest, crowd / per_second)
