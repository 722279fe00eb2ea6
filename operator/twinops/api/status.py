"""``DigitalTwin.status``: what the operator has seen, foresees and decided. Bounded everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel, Fraction, Time
from twinops.api.conditions import Condition
from twinops.api.twin import MAX_METRICS, CorrectionMode

Text = Annotated[str, Field(max_length=1024)]
Word = Annotated[str, Field(max_length=128)]


class Quality(StrEnum):
    """Why a value can or cannot be trusted. None of the bad ones is a zero."""

    GOOD = "Good"
    HELD = "Held"
    MISSING = "Missing"
    EMPTY = "Empty"
    NAN = "NaN"
    STALE = "Stale"
    ERROR = "Error"


class Severity(StrEnum):
    """How far a deviation lies beyond its threshold."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Direction(StrEnum):
    """On which side of the expected value the actual one lies."""

    ABOVE = "Above"
    BELOW = "Below"
    DIFFERENT = "Different"


class ObservedMetric(ApiModel):
    """The last answer for one metric."""

    name: Word
    value: float | None = None
    unit: Word = ""
    time: Annotated[Time | None, Field(description="Time of the newest sample behind the value.")] = None
    quality: Quality
    reason: Word = ""
    message: Text = ""
    query: Annotated[Word, Field(description="Which query answered: Custom, or the name of a built-in one.")] = ""


class HealthComponent(ApiModel):
    """One metric's part in the health score."""

    metric: Word
    penalty: Annotated[float, Field(ge=0, le=1, description="0 at the expected value, 1 at the limit.")]
    weight: Annotated[float, Field(ge=0, le=1, description="Share of the score, all known metrics adding up to 1.")]
    points: Annotated[float, Field(ge=0, le=100, description="Points this metric costs.")]


class Health(ApiModel):
    """How the health score came about."""

    confidence: Annotated[Fraction, Field(description="Share of the total weight whose metrics are known.")]
    components: Annotated[list[HealthComponent], Field(max_length=MAX_METRICS)] = []
    unknown: Annotated[list[Word], Field(max_length=MAX_METRICS)] = []


class PredictedMetric(ApiModel):
    """What one metric is foreseen to be."""

    name: Word
    value: float
    lower: Annotated[float, Field(description=".05 quantile.")]
    upper: Annotated[float, Field(description=".95 quantile.")]
    confidence: Annotated[
        Fraction | None,
        Field(description="1 - error relative to naive, measured on this metric's own past; null before 30 checks."),
    ] = None
    checks: Annotated[int, Field(ge=0, description="Past forecasts this confidence is measured on.")] = 0


class Prediction(ApiModel):
    """What is foreseen for one horizon."""

    horizon_seconds: Annotated[int, Field(ge=1)]
    time: Time
    metrics: Annotated[list[PredictedMetric], Field(max_length=MAX_METRICS)] = []
    confidence: Annotated[Fraction | None, Field(description="The least of its metrics'.")] = None
    risk_factors: Annotated[list[Text], Field(max_length=MAX_METRICS)] = []


class DriftAlert(ApiModel):
    """One component that is not as expected."""

    component: Annotated[Word, Field(description="Metric name, or replicas, version, labels.KEY.")]
    severity: Severity
    direction: Direction
    expected: Word
    actual: Word
    deviation_percent: float | None = None
    threshold_percent: float | None = None
    since: Time
    recent: Annotated[
        str, Field(max_length=5, pattern="^[01]*$", description="The last five syncs, newest last: 1 = outside.")
    ] = ""
    persistent: Annotated[
        bool, Field(description="Outside in three of the last five syncs, and not yet well back.")
    ] = False
    recommendation: Text = ""
    eligible: bool = False
    not_eligible_reason: Text = ""


class Drift(ApiModel):
    """Expected against actual."""

    detected: bool = False
    alerts: Annotated[list[DriftAlert], Field(max_length=64)] = []


class Risk(ApiModel):
    """A limit that is foreseen to be crossed."""

    metric: Word
    limit: float
    horizon_seconds: Annotated[int, Field(ge=1)]
    probability: Fraction
    upper: Annotated[float, Field(description=".95 quantile at this horizon.")]
    since: Time
    recent: Annotated[str, Field(max_length=5, pattern="^[01]*$")] = ""
    persistent: bool = False
    message: Text


class ObjectRef(ApiModel):
    """The object a correction writes to."""

    api_version: Word
    kind: Word
    name: Word


class CorrectionAction(StrEnum):
    """What a correction does."""

    RAISE = "Raise"
    GIVE_BACK = "GiveBack"


class Outcome(StrEnum):
    """How far a decision has come."""

    PENDING = "Pending"
    APPLIED = "Applied"
    VERIFIED = "Verified"
    PREVIEWED = "Previewed"
    BLOCKED = "Blocked"
    FAILED = "Failed"
    REVERTED = "Reverted"


class CorrectionRecord(ApiModel):
    """One decision, and what came of it."""

    id: Annotated[Word, Field(description="Unique within the twin; the same decision never gets two.")]
    time: Time
    action: CorrectionAction
    mode: CorrectionMode
    object: ObjectRef
    field: Annotated[Word, Field(description="Field that is written, for example spec.minReplicas.")]
    from_: Annotated[int | None, Field(alias="from")] = None
    to: int | None = None
    trigger: Annotated[Word, Field(description="Drift/METRIC or Risk/METRIC, or what ended the need.")]
    why: Text
    limited_by: Annotated[list[Word], Field(max_length=8)] = []
    outcome: Outcome
    outcome_time: Time | None = None
    message: Text = ""


class Original(ApiModel):
    """A field as it was before the first correction, for giving it back."""

    object: ObjectRef
    field: Word
    value: Annotated[int | None, Field(description="Left out when the field was not set.")] = None
    manager: Annotated[Word, Field(description="Former owner's field manager; empty when nobody owned it.")] = ""
    operation: Annotated[Word, Field(description="Update or Apply; empty when nobody owned it.")] = ""
    declared: Annotated[bool, Field(description="Whether the former owner had declared the field.")] = True
    time: Time
    ours: Annotated[int | None, Field(description="The value last written; only that value is ever undone.")] = None
    bounds_min: Annotated[int | None, Field(description="Lower bound as first seen.")] = None
    bounds_max: Annotated[int | None, Field(description="Upper bound as first seen.")] = None


class Summary(ApiModel):
    """One line for ``kubectl get``."""

    target: Word = ""
    drift: Word = ""
    replicas: Word = ""
    predicted: Word = ""
    last_action: Word = ""


class DigitalTwinStatus(ApiModel):
    """What the operator has seen, foresees and decided."""

    observed_generation: int = -1
    conditions: Annotated[list[Condition], Field(max_length=16)] = []
    summary: Summary | None = None
    health_score: Annotated[int, Field(ge=0, le=100)] | None = None
    health: Health | None = None
    observed: Annotated[list[ObservedMetric], Field(max_length=MAX_METRICS)] = []
    predictions: Annotated[list[Prediction], Field(max_length=6)] = []
    risks: Annotated[list[Risk], Field(max_length=MAX_METRICS)] = []
    drift: Drift = Drift()
    replicas: Annotated[int | None, Field(description="Ready replicas of the target.")] = None
    recommended_replicas: Annotated[int | None, Field(description="What the twin would run now, in every mode.")] = None
    need_below_since: Annotated[
        Time | None, Field(description="Since when the need has been below what the twin holds.")
    ] = None
    corrections: Annotated[list[CorrectionRecord], Field(max_length=10)] = []
    originals: Annotated[list[Original], Field(max_length=4)] = []
    samples_collected: int | None = None
    failed_syncs: Annotated[int, Field(ge=0, description="Syncs in a row in which the metrics backend failed.")] = 0
    failing_since: Time | None = None
    last_sync_time: Time | None = None
    last_handled_sync_request: Annotated[str | None, Field(max_length=256)] = None
