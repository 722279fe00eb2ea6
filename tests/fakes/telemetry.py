"""Telemetry that remembers."""

from __future__ import annotations

from collections import Counter

from twinops.api.twin.corrections import Outcome
from twinops.api.twin.status import DigitalTwinStatus
from twinops.ports.kubernetes import TwinRef


class FakeTelemetry:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.syncs: Counter[str] = Counter()
        self.corrections: Counter[str] = Counter()
        self.reversions = 0
        self.restarts = 0
        self.twins: dict[TwinRef, DigitalTwinStatus] = {}
        self.sources: dict[str, bool] = {}
        self.leading: bool | None = None

    def synced(self, ref: TwinRef, *, result: str, seconds: float, late_seconds: float) -> None:
        del ref, seconds, late_seconds
        self.syncs[result] += 1

    def assessed(self, ref: TwinRef, status: DigitalTwinStatus) -> None:
        self.twins[ref] = status

    def forget(self, ref: TwinRef) -> None:
        self.twins.pop(ref, None)

    def daemon_restarted(self) -> None:
        self.restarts += 1

    def status_written(self, kind: str) -> None:
        self.writes[kind] += 1

    def corrected(self, ref: TwinRef, outcome: Outcome) -> None:
        del ref
        self.corrections[outcome.value] += 1

    def reverted(self, ref: TwinRef) -> None:
        del ref
        self.reversions += 1

    def source_answered(self, name: str, *, up: bool) -> None:
        self.sources[name] = up

    def source_gone(self, name: str) -> None:
        self.sources.pop(name, None)

    def leads(self, *, leading: bool) -> None:
        self.leading = leading
