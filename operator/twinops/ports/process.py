"""What the process provides: time, and metrics about the operator itself."""

from __future__ import annotations

from typing import Protocol

from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef


class Clock(Protocol):
    """Wall-clock and monotonic time, and pauses."""

    def now(self) -> float:
        """Return the wall-clock time in Unix seconds. It may jump in both directions."""
        ...

    def monotonic(self) -> float:
        """Return monotonic seconds since an arbitrary moment. They never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of monotonic time."""
        ...


class Telemetry(Protocol):
    """Publishes metrics about what the operator does. No method blocks or raises."""

    def synced(self, ref: TwinRef, *, result: str, seconds: float, late_seconds: float) -> None:
        """Count a sync that ended.

        Args:
            ref: the twin.
            result: one of a few words, for example ``synced`` or ``metrics_unavailable``.
            seconds: how long it took.
            late_seconds: seconds from its slot, or its request, to its end; from the earliest slot that was skipped.
        """
        ...

    def assessed(self, ref: TwinRef, status: DigitalTwinStatus) -> None:
        """Publish what a twin was found to be: health, drift, risks, recommended replicas."""
        ...

    def forget(self, ref: TwinRef) -> None:
        """Remove the metrics of a twin that is gone, or whose daemon has ended."""
        ...

    def daemon_restarted(self) -> None:
        """Count a twin that had no daemon and was given one."""
        ...

    def status_written(self, kind: str) -> None:
        """Count a status write by a word for what it was or why it failed, such as material, heartbeat or conflict."""
        ...

    def corrected(self, ref: TwinRef, outcome: Outcome) -> None:
        """Count a correction by its outcome."""
        ...

    def reverted(self, ref: TwinRef) -> None:
        """Count a correction whose value somebody else has reverted."""
        ...

    def source_answered(self, name: str, *, up: bool) -> None:
        """Publish whether a MetricsSource answered its last probe."""
        ...

    def source_gone(self, name: str) -> None:
        """Remove the metrics of a MetricsSource that is gone, or of which nothing is known."""
        ...

    def leads(self, *, leading: bool) -> None:
        """Publish whether this process leads."""
        ...
