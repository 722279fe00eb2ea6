"""``DigitalTwin.spec``: what a person declares about a workload and its twin."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel, DnsName

MAX_METRICS = 32
MetricName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$")]
MetricMap = Annotated[dict[str, float], Field(max_length=MAX_METRICS)]
Horizon = Annotated[int, Field(ge=5, le=86_400)]
LabelValue = Annotated[str, Field(max_length=63)]


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


class TargetRef(ApiModel):
    """The workload: any object of the twin's namespace that has a ``/scale`` subresource."""

    api_version: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$")] = (
        "apps/v1"
    )
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = "Deployment"
    name: DnsName


class LocalRef(ApiModel):
    """Names an object."""

    name: DnsName


class MetricSpec(ApiModel):
    """Adds a metric, or replaces the query of a built-in one, by name."""

    name: MetricName
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
    hold_seconds: Annotated[int, Field(ge=5, le=86_400)] = 300
    missing_value: float | None = None


class Source(ApiModel):
    """Where the twin's reality is."""

    system_type: SystemType
    target_ref: Annotated[
        TargetRef | None, Field(description="The workload. Left out for systems outside the cluster.")
    ] = None
    metrics_source_ref: Annotated[LocalRef, Field(description="The MetricsSource to ask.")] = LocalRef(name="default")
    labels: Annotated[
        dict[str, LabelValue],
        Field(
            max_length=16,
            description="Labels that this system's series carry; added to the built-in queries as matchers.",
        ),
    ] = {}
    metrics: Annotated[list[MetricSpec], Field(max_length=MAX_METRICS)] = []


class ReplicaRange(ApiModel):
    """How many replicas are expected."""

    min: Annotated[int, Field(ge=0, le=10_000)] | None = None
    max: Annotated[int, Field(ge=0, le=10_000)] | None = None


class ExpectedState(ApiModel):
    """The baseline that drift is measured against."""

    metrics: Annotated[MetricMap, Field(description="Expected value by metric name.")] = {}
    replicas: ReplicaRange | None = None
    version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="Expected version, against app.kubernetes.io/version or the image tag.",
        ),
    ] = None
    labels: Annotated[
        dict[str, LabelValue], Field(max_length=16, description="Labels the target is expected to carry.")
    ] = {}


class Predictions(ApiModel):
    """How far to look ahead, and on how much of the past."""

    horizons_seconds: Annotated[list[Horizon], Field(min_length=1, max_length=6)] = [900, 1800, 3600]
    history_seconds: Annotated[
        int,
        Field(ge=60, le=5_184_000, description="History to learn from; at most 10,000 steps of it are read."),
    ] = 1_814_400


class Bounds(ApiModel):
    """The envelope that corrections never leave."""

    min_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] | None = None
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

    enabled: bool = True
    mode: CorrectionMode = CorrectionMode.APPLY
    horizontal_pod_autoscaler_ref: Annotated[
        LocalRef | None, Field(description="Found by itself when exactly one targets the workload.")
    ] = None
    bounds: Annotated[
        Bounds,
        Field(description="Default: the HPA's own min and max as first seen. Without an HPA both must be given."),
    ] = Bounds()
    cooldown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    ownership_policy: OwnershipPolicy = OwnershipPolicy.RESPECT


class DigitalTwinSpec(ApiModel):
    """What a person declares."""

    source: Source
    sync_frequency_seconds: Annotated[int, Field(ge=5, le=3600)] = 60
    suspend: Annotated[bool, Field(description="Stop syncing, and give back what was corrected.")] = False
    expected_state: ExpectedState = ExpectedState()
    thresholds: Annotated[
        MetricMap, Field(description="Allowed deviation in percent of the expected value, by metric; 20 unless said.")
    ] = {}
    absolute_thresholds: Annotated[
        MetricMap, Field(description="Allowed deviation in the metric's own unit, for expected values at or near 0.")
    ] = {}
    limits: Annotated[MetricMap, Field(description="Values that must not be crossed, by metric.")] = {}
    limits_per_replica: Annotated[
        MetricMap,
        Field(description="What one replica can carry, by metric; for example throughputRps: 50."),
    ] = {}
    predictions: Predictions = Predictions()
    auto_correction: AutoCorrection = AutoCorrection()
