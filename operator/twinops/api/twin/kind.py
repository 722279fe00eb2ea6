"""The kind DigitalTwin."""

from __future__ import annotations

from twinops.api.kind import AGE, READY, Column, Kind
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus

DIGITAL_TWIN = Kind(
    kind="DigitalTwin",
    plural="digitaltwins",
    short_names=("dt", "twin"),
    scope="Namespaced",
    spec=DigitalTwinSpec,
    status=DigitalTwinStatus,
    description="The digital twin of a workload: it watches, foresees, explains and, where that is safe, corrects.",
    columns=(
        Column("Target", ".status.summary.target", description="The workload."),
        Column("Health", ".status.healthScore", "integer", "Health score, 0 to 100."),
        Column("Drift", ".status.summary.drift", description="What is not as expected."),
        Column("Replicas", ".status.summary.replicas", description="Ready and desired replicas."),
        Column("Predicted", ".status.summary.predicted", description="Where it is going."),
        READY,
        Column("Last Sync", ".status.lastSyncTime", "date", "Time since the last sync."),
        AGE,
        Column("Confidence", ".status.predictions[0].confidence", "number", "Of the nearest prediction.", wide=True),
        Column("Last Action", ".status.summary.lastAction", description="The last decision.", wide=True),
        Column("Mode", ".spec.autoCorrection.mode", description="Apply or Preview.", wide=True),
    ),
)
