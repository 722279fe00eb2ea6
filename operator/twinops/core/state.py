"""What one sync of a twin hands to the next one.

``core.assess`` and ``core.correction`` take and return a ``TwinState``, never a whole ``DigitalTwinStatus``:
conditions, columns and printed texts are for people, and no decision rests on them. The value objects inside (a risk, a
record of a correction) have the same shape in both, so that reading and writing a state copies references only.

It has a module of its own, apart from ``core.twin``, because ``step`` there calls those rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from twinops.api.twin.corrections import CorrectionRecord, Fight, Original, ReplicaStep, StartUp
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Health, ObservedMetric
from twinops.api.twin.predictions import Risk
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.forecast.skill import former_restart_state

_NO_DRIFT = Drift()


@dataclass(frozen=True, slots=True)
class TwinState:
    """All that is kept of a twin between two syncs besides its forecaster. Everything in it is in status, too.

    Attributes:
        observed_generation: generation of the spec that was synced last, -1 before the first sync.
        last_sync_time: when the last sync began, None before the first one.
        observed: the last answer for every metric.
        health: what the last health score consists of.
        risks: limits that were foreseen to be crossed.
        drift: deviations from what is expected.
        restart_state: what a restarted forecaster resumes from, as text; empty where there is nothing yet.
        recommended_replicas: what the twin would run, None where that is not known.
        need_below_since: since when less is required than is held.
        corrections: the last decisions, oldest first.
        saved_values: what each field that is held had before its first correction (``status.originals``).
        replica_steps: how metrics that require more replicas have responded to the last step.
        start_up: set while pods start up.
        fight: set while another field manager reverts what the twin writes.
    """

    observed_generation: int = -1
    last_sync_time: datetime | None = None
    observed: tuple[ObservedMetric, ...] = ()
    health: Health | None = None
    risks: tuple[Risk, ...] = ()
    drift: Drift = _NO_DRIFT
    restart_state: str = ""
    recommended_replicas: int | None = None
    need_below_since: datetime | None = None
    corrections: tuple[CorrectionRecord, ...] = ()
    saved_values: tuple[Original, ...] = ()
    replica_steps: tuple[ReplicaStep, ...] = ()
    start_up: StartUp | None = None
    fight: Fight | None = None

    @classmethod
    def from_status(cls, status: DigitalTwinStatus) -> TwinState:
        """Return the state that a status holds."""
        return cls(
            observed_generation=status.observed_generation,
            last_sync_time=status.last_sync_time,
            observed=tuple(status.observed),
            health=status.health,
            risks=tuple(status.risks),
            drift=status.drift,
            restart_state=status.restart_state or former_restart_state(status.forecast_skill),
            recommended_replicas=status.recommended_replicas,
            need_below_since=status.need_below_since,
            corrections=tuple(status.corrections),
            saved_values=tuple(status.originals),
            replica_steps=tuple(status.replica_steps),
            start_up=status.start_up,
            fight=status.fight,
        )

    def to_status(self, base: DigitalTwinStatus) -> DigitalTwinStatus:
        """Return the status with this state in it; everything else stays as in ``base``."""
        return base.model_copy(
            update={
                "observed_generation": self.observed_generation,
                "last_sync_time": self.last_sync_time,
                "observed": list(self.observed),
                "health": self.health,
                "risks": list(self.risks),
                "drift": self.drift,
                "restart_state": self.restart_state,
                "recommended_replicas": self.recommended_replicas,
                "need_below_since": self.need_below_since,
                "corrections": list(self.corrections),
                "originals": list(self.saved_values),
                "replica_steps": list(self.replica_steps),
                "start_up": self.start_up,
                "fight": self.fight,
            }
        )
