"""Tells whether twins still tick, for the liveness probe."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """Notes each twin's ticks; a tick counts whether its sync succeeded or not.

    Only a restart mends daemons that died, so it is asked for when they are many, or all there are. A sync that
    waits for a MetricsSource or the API server is alive: a restart would not make these answer. A loop that is
    stuck needs no watchdog: it cannot answer the probe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[TwinRef, float] = {}

    def ticked(self, ref: TwinRef, interval: float) -> None:
        """Take note of a tick (or of a new twin); the next one is ``interval`` seconds away."""
        self._due[ref] = self._clock.monotonic() + max(INTERVALS * interval, LEAST_SECONDS)

    def began(self, ref: TwinRef) -> None:
        """Take note that a sync began: it may take as long as those that it asks."""
        self._due[ref] = max(self._due.get(ref, 0.0), self._clock.monotonic() + LONGEST_SYNC_SECONDS)

    def forget(self, ref: TwinRef) -> None:
        """Expect nothing of a twin that is gone."""
        self._due.pop(ref, None)

    def overdue(self) -> tuple[TwinRef, ...]:
        """Return the twins that have not ticked for too long."""
        now = self._clock.monotonic()
        return tuple(ref for ref, due in self._due.items() if due < now)

    def verdict(self) -> Verdict:
        """Tell whether this process should be left running."""
        overdue = self.overdue()
        healthy = not overdue or len(overdue) < math.ceil(SHARE * len(self._due))
        names = ", ".join(f"{ref.namespace}/{ref.name}" for ref in overdue[:NAMED])
        message = f"{len(overdue)} of {len(self._due)} twins are overdue" + (f": {names}" if names else "")
        return Verdict(healthy, message)
