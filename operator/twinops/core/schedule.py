"""The times at which a twin syncs: slots on a wall-clock grid, offset by a hash of its UID.

The grid keeps syncs at equal intervals over restarts; the hash spreads the syncs of many twins evenly over the seconds
of the interval. Those of one second wake together, so that they ask their MetricsSource in common requests. Sleeping is
done by a monotonic clock, so that a jump of the wall clock shifts the grid but not the pace: two syncs begin between
half an interval and one interval apart (plus the duration of a sync, and ``SLACK``).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

SLACK = 0.02
"""Share of the interval by which a sync may come before its slot and still count for it: a sleep ends a little before
the slot while NTP slows the wall clock down (by at most 0.05 %)."""

INTO_SECOND = 0.05
"""Seconds by which slots lie behind the whole second: a sleep that ends a little early is still within that second."""


@dataclass(frozen=True, slots=True)
class SyncStart:
    """When the last sync began, in seconds of the monotonic clock."""

    monotonic: float


def fraction(uid: str) -> float:
    """Return a stable, evenly distributed number in [0, 1) for a UID."""
    digest = hashlib.blake2b(uid.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / float(1 << 48)


def next_slot(now: float, interval: float, uid: str) -> float:
    """Return the twin's first slot strictly after ``now``: at a whole second of its interval, plus ``INTO_SECOND``.

    Args:
        now: Unix seconds.
        interval: seconds between two slots, above 0.
        uid: UID of the twin.

    Returns:
        Unix seconds in (now, now + interval].
    """
    offset = math.floor(fraction(uid) * interval) + INTO_SECOND
    slot = offset + (math.floor((now - offset) / interval) + 1) * interval
    # Rounding may place the slot on ``now`` itself.
    return slot if slot > now else slot + interval


def sleep_seconds(wall: float, monotonic: float, last: SyncStart | None, interval: float, uid: str) -> float:
    """Return how long to sleep until the next sync.

    Normally that is the time to the next slot. Where that would be less than half an interval after the last sync,
    because the wall clock jumped, the next sync is put halfway between the last one and the slot after the next. Thus
    no gap is longer than one interval, and the sync after the next is on the grid again.

    Args:
        wall: Unix seconds now.
        monotonic: monotonic seconds now.
        last: the start of the last sync; None before the first.
        interval: seconds between two syncs, as it is now (it may have changed since ``last``).
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
    """Return for how many seconds one of ``crowd`` twins waits when all are to sync at once.

    Args:
        uid: UID of the twin.
        crowd: number of twins.
        longest: largest delay in seconds.
        per_second: twins that begin to sync per second, unless ``longest`` needs more.
    """
    return fraction(uid) * min(longest, crowd / per_second)
