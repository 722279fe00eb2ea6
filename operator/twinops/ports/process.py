"""The process around us: time, and the metrics that we publish about ourselves."""

from __future__ import annotations

from typing import Protocol

from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef


class Clock(Protocol):
    """Where the time is read."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Telemetry(Protocol):
    """Tells monitoring what the operator does."""

    def synced(self, ref: TwinRef, *, result: str, seconds: float, late_seconds: float) -> None:
        """A sync ended. ``result`` is one of a few words; ``late_seconds`` is counted from its slot."""
        ...

    def assessed(self, ref: TwinRef, status: DigitalTwinStatus) -> None:
        """Publish what a twin was found to be: health, drift, risks, recommended replicas."""
        ...

    def forget(self, ref: TwinRef) -> None:
        """Stop publishing about a twin that is gone."""
        ...

    def status_written(self, kind: str) -> None:
        """A status was (or was not) written: ``kind`` is a word such as material, heartbeat or skipped."""
        ...

    def corrected(self, ref: TwinRef, outcome: Outcome) -> None:
        """A correction came to this outcome."""
        ...

    def reverted(self, ref: TwinRef) -> None:
        """Somebody put back what a correction had changed."""
        ...

    def source_answered(self, name: str, *, up: bool) -> None:
        """A MetricsSource did, or did not, answer."""
        ...

    def source_gone(self, name: str) -> None:
        """Stop publishing about a MetricsSource."""
        ...

    def leads(self, *, leading: bool) -> None:
        """This process became the leader, or ceased to be."""
        ...
