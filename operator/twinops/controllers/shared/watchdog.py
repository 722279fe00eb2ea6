"""Whether the daemons of twins still sync, for the liveness probe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

INTERVALS = 3
LEAST_SECONDS = 120.0
"""A twin is overdue when its last sync ended this many intervals ago, and at least so many seconds ago."""

SHARE = 0.1
"""The process is unhealthy when at least this share of its twins is overdue (and at least one)."""

LONGEST_WAIT_SECONDS = 1800.0
"""The longest time that a sync may wait for a permit: thousands of first syncs are before it after a restart."""

LONGEST_SYNC_SECONDS = 360.0
"""The longest time that a sync may take: each of its requests has a time-out, and their sum is shorter."""

NAMED = 3
"""How many overdue twins the message names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the process is healthy, and why."""

    healthy: bool
    message: str


class Watchdog:
    """Notes in each twin's record when its next sync must have ended, whether it succeeds or not.

    Only a restart starts daemons that died again, so the process counts as unhealthy when many have died, or all. A
    sync that waits for a MetricsSource or the API server does not count as overdue: a restart would not make these
    answer. Nor does one that waits for a permit, as long as others go on to begin or to end. An event loop that hangs
    needs no watchdog: it cannot answer the probe.

    Args:
        store: the records. Only twins with a daemon are expected to sync.
        clock: monotonic time.
    """

    def __init__(self, store: TwinStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._moved = clock.monotonic()

    def ended(self, record: TwinRecord) -> None:
        """Note that a sync ended, or a daemon started; the next sync is an interval away."""
        now = self._moved = self._clock.monotonic()
        record.daemon.waiting = False
        record.daemon.due = now + max(INTERVALS * record.object.interval, LEAST_SECONDS)

    def waits(self, record: TwinRecord) -> None:
        """Note that a sync waits for a permit; it may do so for ``LONGEST_WAIT_SECONDS``."""
        record.daemon.waiting = True
        record.daemon.due = self._clock.monotonic() + LONGEST_WAIT_SECONDS

    def began(self, record: TwinRecord) -> None:
        """Note that a sync began; it may take up to ``LONGEST_SYNC_SECONDS``."""
        now = self._moved = self._clock.monotonic()
        record.daemon.waiting = False
        record.daemon.due = now + LONGEST_SYNC_SECONDS

    def verdict(self) -> Verdict:
        """Return whether this process is healthy, and which twins are overdue."""
        now, expected, overdue = self._clock.monotonic(), 0, list[TwinRef]()
        stuck = now - self._moved > LONGEST_SYNC_SECONDS
        for record in self._store:
            if (due := record.daemon.due) is not None:
                expected += 1
                if due < now or (stuck and record.daemon.waiting):
                    overdue.append(record.ref)
        healthy = not overdue or len(overdue) < math.ceil(SHARE * expected)
        names = ", ".join(f"{ref.namespace}/{ref.name}" for ref in overdue[:NAMED])
        message = f"{len(overdue)} of {expected} twins are overdue" + (f": {names}" if names else "")
        return Verdict(healthy, message)
