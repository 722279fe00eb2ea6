"""``DigitalTwin.spec``: what a person declares about a workload and its twin."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from twinops.api.base import ApiModel
from twinops.api.references import LocalRef, TargetRef
from twinops.api.rules import ATOMIC_LIST, keyed_by, validations
from twinops.api.twin import rules

MAX_METRICS = 32
MetricName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$")]
LARGEST = 1e18
"""No metric comes near it, no reckoning with values up to it overflows, and the API server compares it rightly."""

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
MetricMap = Annotated[
    dict[str, Number],
    Field(max_length=MAX_METRICS, json_schema_extra=validations(*rules.METRIC_VALUES)),
]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
PositiveMap = Annotated[dict[str, Positive], Field(max_length=MAX_METRICS)]
Horizon = Annotated[int, Field(ge=5, le=86_400)]
LabelValue = Annotated[str, Field(max_length=63)]
TargetLabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class SystemType(StrEnum):
    """What kind of system is twinned: picks metrics, health weights and built-in queries."""

    API_GATEWAY = "APIGateway"
    WEB_SERVICE = "WebService"
    WORKER = "Worker"
    DATABASE = "Database"
    CACHE = "Cache"
    MESSAGE_QUEUE = "MessageQueue"
    CUSTOM = "Custom"


class OnMissing(StrEnum):
    """What stands in for a value that is not there. None of them makes a correction eligible."""

    HOLD = "Hold"
    IGNORE = "Ignore"
    VALUE = "Value"


class CorrectionMode(StrEnum):
    """Whether decisions are carried out."""

    APPLY = "Apply"
    PREVIEW = "Preview"


class OwnershipPolicy(StrEnum):
    """What happens when somebody else owns the field a correction would change."""

    RESPECT = "Respect"
    FORCE = "Force"


class MetricSpec(ApiModel):
    """Adds a metric, or replaces the query of a built-in one, by name."""

    model_config = ConfigDict(json_schema_extra=validations(*rules.METRIC_SPEC))

    name: Annotated[MetricName, Field(description="Name of the metric, for example latencyMs or queueDepth.")]
    query: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="PromQL that yields one series. $(namespace), $(name), $(podRegex), $(window), "
            "$(cpuCores) and $(memoryBytes) are filled in, and $(label.KEY) from source.labels.",
        ),
    ] = None
    unit: Annotated[str | None, Field(max_length=32, description="Shown beside the value.")] = None
    stale_after_seconds: Annotated[
        int | None,
        Field(
            ge=5, le=86_400, description="Older samples count as stale. Default: eight scrape intervals, at least 60."
        ),
    ] = None
    on_missing: Annotated[
        OnMissing,
        Field(description="Hold: the last value, for holdSeconds. Ignore: leave the metric out. Value: missingValue."),
    ] = OnMissing.IGNORE
    hold_seconds: Annotated[
        int, Field(ge=5, le=86_400, description="How long onMissing Hold lets the last value stand in.")
    ] = 300
    missing_value: Annotated[Number | None, Field(description="What stands in with onMissing Value.")] = None


class Source(ApiModel):
    """Where the twin's reality is."""

    model_config = ConfigDict(json_schema_extra=validations(*rules.SOURCE))

    system_type: Annotated[
        SystemType, Field(description="Kind of system: picks metrics, health weights and built-in queries.")
    ]
    target_ref: Annotated[
        TargetRef | None,
        Field(description="The workload. Left out for systems outside the cluster. Cannot be changed."),
    ] = None
    metrics_source_ref: Annotated[LocalRef, Field(description="The MetricsSource to ask.")] = LocalRef(name="default")
    labels: Annotated[
        dict[str, LabelValue],
        Field(
            max_length=16,
            description="Labels that this system's own series carry; matchers of the built-in queries for what its "
            "pods or exporters tell, not for what the kubelet, ingress-nginx or Istio tell of it. Kubernetes label "
            "keys are looked for as Prometheus writes them, app.kubernetes.io/name as app_kubernetes_io_name.",
        ),
    ] = {}
    metrics: Annotated[
        list[MetricSpec],
        Field(
            max_length=MAX_METRICS,
            description="Metrics to add, and built-in ones to ask for differently.",
            json_schema_extra=keyed_by("name"),
        ),
    ] = []


class ReplicaRange(ApiModel):
    """How many replicas are expected."""

    model_config = ConfigDict(json_schema_extra=validations(*rules.REPLICA_RANGE))

    min: Annotated[int | None, Field(ge=0, le=10_000, description="Fewer ready replicas are drift.")] = None
    max: Annotated[int | None, Field(ge=0, le=10_000, description="More ready replicas are drift.")] = None


class ExpectedState(ApiModel):
    """The baseline that drift is measured against."""

    metrics: Annotated[MetricMap, Field(description="Expected value by metric name.")] = {}
    learned: Annotated[
        bool,
        Field(
            description="Learn from its own past what is normal for each hour, of every metric that is not named in "
            "metrics. It takes a day of data."
        ),
    ] = False
    replicas: Annotated[ReplicaRange | None, Field(description="How many ready replicas are expected.")] = None
    version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="Expected version, against app.kubernetes.io/version or the image tag.",
        ),
    ] = None
    labels: Annotated[
        dict[str, TargetLabelValue],
        Field(
            max_length=16,
            description="Labels the target is expected to carry.",
            json_schema_extra=validations(*rules.TARGET_LABELS),
        ),
    ] = {}


class Predictions(ApiModel):
    """How far to look ahead, and on how much of the past."""

    horizons_seconds: Annotated[
        list[Horizon],
        Field(
            min_length=1,
            max_length=6,
            description="How far to look ahead, in seconds; each one is foreseen by itself.",
            json_schema_extra=ATOMIC_LIST | validations(*rules.HORIZONS),
        ),
    ] = [900, 1800, 3600]
    history_seconds: Annotated[
        int,
        Field(
            ge=60,
            le=5_184_000,
            description="Length of the history to learn from. At most 21 days are read: the newest 1,272 sync "
            "intervals one by one, older values every five minutes.",
        ),
    ] = 1_814_400


class Bounds(ApiModel):
    """The envelope that corrections never leave."""

    model_config = ConfigDict(json_schema_extra=validations(*rules.BOUNDS))

    min_replicas: Annotated[
        int | None, Field(ge=1, le=10_000, description="Corrections never ask for fewer replicas.")
    ] = None
    max_replicas: Annotated[
        int | None, Field(ge=1, le=10_000, description="Corrections never ask for more replicas.")
    ] = None
    max_step_percent: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="One correction adds at most this share of the ready replicas (at least one replica).",
        ),
    ] = 100


class AutoCorrection(ApiModel):
    """Whether and how the twin corrects its target."""

    enabled: Annotated[bool, Field(description="Whether the twin decides about corrections at all.")] = True
    mode: Annotated[
        CorrectionMode,
        Field(description="Apply: carry decisions out. Preview: decide, publish and record, change nothing."),
    ] = CorrectionMode.APPLY
    horizontal_pod_autoscaler_ref: Annotated[
        LocalRef | None, Field(description="Found by itself when exactly one targets the workload.")
    ] = None
    bounds: Annotated[
        Bounds,
        Field(
            description="The envelope that corrections never leave. Default: the HPA's own minReplicas as first seen "
            "and maxReplicas as it is now. Without an HPA both must be given."
        ),
    ] = Bounds()
    cooldown_seconds: Annotated[int, Field(ge=0, le=86_400, description="Least time between two corrections.")] = 300
    ownership_policy: Annotated[
        OwnershipPolicy,
        Field(
            description="When somebody else owns the field: Respect leaves it alone and says whose it is; "
            "Force takes it over, for fields that Git is told to ignore."
        ),
    ] = OwnershipPolicy.RESPECT


class DigitalTwinSpec(ApiModel):
    """What a person declares."""

    model_config = ConfigDict(json_schema_extra=validations(*rules.SPEC))

    source: Annotated[Source, Field(description="Where the twin's reality is: the workload and its metrics.")]
    sync_frequency_seconds: Annotated[
        int, Field(ge=5, le=3600, description="Seconds between two syncs with reality.")
    ] = 60
    suspend: Annotated[bool, Field(description="Stop syncing, and give back what was corrected.")] = False
    expected_state: Annotated[
        ExpectedState, Field(description="The baseline that drift is measured against; without it no drift is found.")
    ] = ExpectedState()
    thresholds: Annotated[
        PositiveMap, Field(description="Allowed deviation in percent of the expected value, by metric; 20 unless said.")
    ] = {}
    absolute_thresholds: Annotated[
        PositiveMap, Field(description="Allowed deviation in the metric's own unit, for expected values at or near 0.")
    ] = {}
    limits: Annotated[MetricMap, Field(description="Values that must not be crossed, by metric.")] = {}
    limits_per_replica: Annotated[
        PositiveMap,
        Field(description="What one replica can carry, by metric; for example throughputRps: 50."),
    ] = {}
    predictions: Annotated[Predictions, Field(description="How far to look ahead, and on how much of the past.")] = (
        Predictions()
    )
    auto_correction: Annotated[AutoCorrection, Field(description="Whether and how the twin corrects its target.")] = (
        AutoCorrection()
    )
