"""Whether twins still tick, for the liveness probe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.ports.kubernetes import TwinRef
from twinops.ports.process import Clock

INTERVALS = 3
"""A twin is overdue when its last tick is this many intervals old…"""

LEAST_SECONDS = 120.0
"""…and at least this old."""

SHARE = 0.1
"""The process is unwell when at least this share of its twins is overdue (and at least one)."""

LONGEST_SYNC_SECONDS = 360.0
"""A sync may wait for so long for others: every request of it has a time-out, and these together are shorter."""

NAMED = 3
"""How many overdue twins the message names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the watchdog says, and why."""

    healthy: bool
    message: str


class Watchdog:
    """Notes each twin's ticks in its record; a tick counts whether its sync succeeded or not.

    Only a restart mends daemons that died, so it is asked for when they are many, or all there are. A sync that
    waits for a MetricsSource or the API server is alive: a restart would not make these answer. A loop that is
    stuck needs no watchdog: it cannot answer the probe.

    Args:
        store: the records. Only twins with a daemon are expected to tick.
        clock: monotonic time.
    """

    def __init__(self, store: TwinStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def ticked(self, record: TwinRecord) -> None:
        """Take note of a tick (or of a new daemon); the next one is an interval away."""
        record.daemon.due = self._clock.monotonic() + max(INTERVALS * record.object.interval, LEAST_SECONDS)

    def began(self, record: TwinRecord) -> None:
        """Take note that a sync began: it may take as long as those that it asks."""
        record.daemon.due = max(record.daemon.due or 0.0, self._clock.monotonic() + LONGEST_SYNC_SECONDS)

    def verdict(self) -> Verdict:
        """Tell whether this process should be left running."""
        now, expected, overdue = self._clock.monotonic(), 0, list[TwinRef]()
        for record in self._store:
            if (due := record.daemon.due) is not None:
                expected += 1
                if due < now:
                    overdue.append(record.ref)
        healthy = not overdue or len(overdue) < math.ceil(SHARE * expected)
        names = ", ".join(f"{ref.namespace}/{ref.name}" for ref in overdue[:NAMED])
        message = f"{len(overdue)} of {expected} twins are overdue" + (f": {names}" if names else "")
        return Verdict(healthy, message)
