"""``DigitalTwin.status``: what the operator has seen, foresees and decided. Bounded everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel, Fraction, Time, shown
from twinops.api.conditions import Condition
from twinops.api.rules import keyed_by
from twinops.api.twin.spec import MAX_METRICS, CorrectionMode

Text = Annotated[str, shown(1024), Field(max_length=1024)]
Word = Annotated[str, shown(128), Field(max_length=128)]
Name = Annotated[str, Field(max_length=253)]

MAX_OBSERVED = MAX_METRICS + 6
"""A twin's own metrics beside the six standard ones."""


class Quality(StrEnum):
    """Why a value can or cannot be trusted. None of the bad ones is a zero."""

    GOOD = "Good"
    HELD = "Held"
    BOUNDED = "Bounded"
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

    name: Annotated[Word, Field(description="Name of the metric.")]
    value: Annotated[float | None, Field(description="The value; left out when there is none.")] = None
    unit: Annotated[Word, Field(description="Unit of the value, with its basis: percent of limits or of requests.")] = (
        ""
    )
    time: Annotated[Time | None, Field(description="Time of the newest sample behind the value.")] = None
    quality: Annotated[
        Quality,
        Field(
            description="Good, Held (the last value stands in), Bounded (only known to lie above, below or between "
            "figures that the message tells), or why there is no value. None of the bad ones is a zero."
        ),
    ]
    reason: Annotated[Word, Field(description="Why the quality is not Good, in one word.")] = ""
    message: Annotated[
        Text,
        Field(description="Why the quality is not Good, and how to mend it; or why the value is only a lower bound."),
    ] = ""
    query: Annotated[Word, Field(description="Which query answered: Custom, or the name of a built-in one.")] = ""
    unseen_since: Annotated[
        Time | None,
        Field(description="Since when there is no fresh value; left out while there is one, or if there never was."),
    ] = None
    basis: Annotated[
        Text,
        Field(
            description="What a percentage of what a pod may use is of: limits or requests, of which containers, "
            "and whether the pods themselves told them or only their template."
        ),
    ] = ""


class HealthComponent(ApiModel):
    """One metric's part in the health score."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    penalty: Annotated[float, Field(ge=0, le=1, description="0 at the expected value, 1 at the limit.")]
    weight: Annotated[float, Field(ge=0, le=1, description="Share of the score, all known metrics adding up to 1.")]
    points: Annotated[float, Field(ge=0, le=100, description="Points this metric costs.")]


class LastKnown(ApiModel):
    """What a metric without a fresh value cost when it was last seen."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    penalty: Annotated[float, Field(ge=0, le=1, description="0 at the expected value, 1 at the limit, as last seen.")]


class Health(ApiModel):
    """How the health score came about."""

    confidence: Annotated[Fraction, Field(description="Share of the total weight whose metrics are known.")]
    components: Annotated[
        list[HealthComponent], Field(max_length=MAX_OBSERVED, description="What every known metric costs.")
    ] = []
    unknown: Annotated[
        list[Word],
        Field(
            max_length=MAX_OBSERVED,
            description="Metrics that have a weight but no value; they lower confidence, not the score.",
        ),
    ] = []
    last_known: Annotated[
        list[LastKnown],
        Field(
            max_length=MAX_OBSERVED,
            description="Unknown metrics as they were last seen. Within the grace period they count among the "
            "components; after it there is no score where leaving them out would raise it.",
            json_schema_extra=keyed_by("metric"),
        ),
    ] = []


class PredictedMetric(ApiModel):
    """What one metric is foreseen to be."""

    name: Annotated[Word, Field(description="Name of the metric.")]
    value: Annotated[float, Field(description="Median (.5 quantile).")]
    lower: Annotated[float, Field(description=".05 quantile.")]
    upper: Annotated[float, Field(description=".95 quantile.")]
    confidence: Annotated[
        Fraction | None,
        Field(description="1 - error relative to naive, measured on this metric's own past; null before 30 checks."),
    ] = None
    checks: Annotated[int, Field(ge=0, description="Past forecasts this confidence is measured on.")] = 0


class Prediction(ApiModel):
    """What is foreseen for one horizon."""

    horizon_seconds: Annotated[int, Field(ge=1, description="How far ahead this is, in seconds.")]
    time: Annotated[Time, Field(description="The time that is foreseen.")]
    metrics: Annotated[
        list[PredictedMetric], Field(max_length=MAX_OBSERVED, description="What each metric is foreseen to be.")
    ] = []
    confidence: Annotated[Fraction | None, Field(description="The least of its metrics'.")] = None
    risk_factors: Annotated[
        list[Text], Field(max_length=MAX_OBSERVED, description="Limits that may be crossed by then, in words.")
    ] = []


class MetricSkill(ApiModel):
    """How good the forecasts of one metric have been over the last three days."""

    name: Annotated[Word, Field(description="Name of the metric.")]
    error: Annotated[
        float | None,
        Field(ge=0, description="Error relative to naive under the same calibrator; left out before 30 checks."),
    ] = None
    coverage: Annotated[
        Fraction | None, Field(description="Share of values that came inside the 90 % interval; .9 is right.")
    ] = None
    width: Annotated[float | None, Field(ge=0, description="Width of the 90 % interval relative to naive's.")] = None
    checks: Annotated[int, Field(ge=0, description="Past forecasts this was measured on, the least of a horizon.")] = 0
    trusted: Annotated[
        bool, Field(description="Whether this forecast is published at every horizon; if not, naive is at some.")
    ] = True
    state: Annotated[
        str,
        Field(max_length=1536, description="What a restart resumes from. Not meant to be read, or written, by others."),
    ] = ""


class ForecastSkill(ApiModel):
    """How good the twin's forecasts have been over the last three days."""

    error: Annotated[
        float | None,
        Field(ge=0, description="Error relative to naive under the same calibrator, geometric mean over the metrics."),
    ] = None
    coverage: Annotated[
        Fraction | None, Field(description="Share of values that came inside the 90 % interval; .9 is right.")
    ] = None
    width: Annotated[
        float | None,
        Field(ge=0, description="Width of the 90 % interval relative to naive's, geometric mean over the metrics."),
    ] = None
    checks: Annotated[int, Field(ge=0, description="Past forecasts this was measured on, the least of a metric.")] = 0
    metrics: Annotated[
        list[MetricSkill],
        Field(max_length=MAX_OBSERVED, description="The same of each metric.", json_schema_extra=keyed_by("name")),
    ] = []


class DriftAlert(ApiModel):
    """One component that is not as expected."""

    component: Annotated[Word, Field(description="Metric name, or replicas, version, labels.KEY.")]
    severity: Annotated[Severity, Field(description="By the ratio of deviation to threshold.")]
    direction: Annotated[Direction, Field(description="On which side of the expected value the actual one lies.")]
    expected: Annotated[Word, Field(description="What is expected.")]
    actual: Annotated[Word, Field(description="What is.")]
    deviation_percent: Annotated[
        float | None,
        Field(description="Deviation in percent of the expected value; left out where that has no meaning."),
    ] = None
    threshold_percent: Annotated[
        float | None, Field(description="Allowed deviation in percent of the expected value.")
    ] = None
    since: Annotated[Time, Field(description="Since when it has been outside its threshold.")]
    recent: Annotated[
        str, Field(max_length=5, pattern="^[01]*$", description="The last five syncs, newest last: 1 = outside.")
    ] = ""
    last_data_time: Annotated[Time | None, Field(description="Time of the newest data that count in recent.")] = None
    persistent: Annotated[
        bool, Field(description="Outside in three of the last five syncs, and not yet well back.")
    ] = False
    harmless: Annotated[
        bool, Field(description="On the side that does no harm; listed, and never counted as drift.")
    ] = False
    learned: Annotated[bool, Field(description="Against what was learned to be normal for this hour.")] = False
    recommendation: Annotated[Text, Field(description="What a person, or the twin, can do about it.")] = ""
    eligible: Annotated[bool, Field(description="Whether the twin may correct this by itself.")] = False
    not_eligible_reason: Annotated[Text, Field(description="Why it may not.")] = ""


class Drift(ApiModel):
    """Expected against actual."""

    detected: Annotated[
        bool,
        Field(
            description="Whether any deviation that does harm is known to be persistent. Where the condition Drifted "
            "is Unknown, false says nothing."
        ),
    ] = False
    alerts: Annotated[list[DriftAlert], Field(max_length=64, description="Every component outside its threshold.")] = []
    unknown: Annotated[
        list[Word],
        Field(
            max_length=64,
            description="Components with a persistent deviation that is no longer seen: neither there nor gone.",
        ),
    ] = []


class Risk(ApiModel):
    """A limit that is foreseen to be crossed."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    limit: Annotated[float, Field(description="The limit, from spec.limits.")]
    horizon_seconds: Annotated[int, Field(ge=1, description="Nearest horizon at which it may be crossed.")]
    probability: Annotated[
        Fraction,
        Field(
            description="Probability that any step until this horizon crosses the limit; at the horizon itself while "
            "that is not known."
        ),
    ]
    upper: Annotated[float, Field(description=".95 quantile at this horizon.")]
    since: Annotated[Time, Field(description="Since when it has been foreseen.")]
    recent: Annotated[
        str, Field(max_length=5, pattern="^[01]*$", description="The last five syncs, newest last: 1 = at risk.")
    ] = ""
    last_data_time: Annotated[Time | None, Field(description="Time of the newest data that count in recent.")] = None
    persistent: Annotated[bool, Field(description="Foreseen in three of the last five syncs.")] = False
    calibrated: Annotated[
        bool, Field(description="Whether the forecast behind it has been checked often enough to be acted on.")
    ] = False
    current: Annotated[bool, Field(description="Whether the metric lies beyond its limit already.")] = False
    message: Annotated[Text, Field(description="The risk in words.")]


class ObjectRef(ApiModel):
    """The object a correction writes to."""

    api_version: Annotated[Name, Field(description="Group and version of the object.")]
    kind: Annotated[Word, Field(description="Kind of the object.")]
    name: Annotated[Name, Field(description="Name of the object.")]


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
    time: Annotated[Time, Field(description="When it was decided.")]
    action: Annotated[CorrectionAction, Field(description="Raise, or GiveBack what was raised.")]
    mode: Annotated[CorrectionMode, Field(description="Mode in which it was decided.")]
    object: Annotated[ObjectRef, Field(description="The object that is written to.")]
    field: Annotated[Word, Field(description="Field that is written, for example spec.minReplicas.")]
    from_: Annotated[
        int | None, Field(alias="from", description="Value before; left out when the field was not set.")
    ] = None
    to: Annotated[int | None, Field(description="Value decided on; left out when the field is unset again.")] = None
    trigger: Annotated[Word, Field(description="Drift/METRIC or Risk/METRIC, or what ended the need.")]
    why: Annotated[Text, Field(description="The reason in words, with the figures behind it.")]
    limited_by: Annotated[
        list[Word], Field(max_length=8, description="What kept the value lower than the need: bounds, step.")
    ] = []
    outcome: Annotated[Outcome, Field(description="How far it has come.")]
    outcome_time: Annotated[Time | None, Field(description="When the outcome last changed.")] = None
    message: Annotated[Text, Field(description="What the outcome means, and what to do about it.")] = ""
    reason: Annotated[Word, Field(description="Why it failed, in CamelCase.")] = ""
    attempts: Annotated[
        int | None, Field(ge=0, description="How often in a row it was tried and failed; only the last one is listed.")
    ] = None
    retry_time: Annotated[Time | None, Field(description="A failed one is not tried again before this time.")] = None


class Original(ApiModel):
    """A field as it was before the first correction, for giving it back."""

    object: Annotated[ObjectRef, Field(description="The object that was written to.")]
    field: Annotated[Word, Field(description="Field that was written, for example spec.minReplicas.")]
    value: Annotated[int | None, Field(description="Left out when the field was not set.")] = None
    manager: Annotated[Word, Field(description="Former owner's field manager; empty when nobody owned it.")] = ""
    operation: Annotated[Word, Field(description="Update or Apply; empty when nobody owned it.")] = ""
    declared: Annotated[bool, Field(description="Whether the former owner had declared the field.")] = True
    time: Annotated[Time, Field(description="When it was recorded.")]
    ours: Annotated[int | None, Field(description="The value last written; only that value is ever undone.")] = None
    bounds_min: Annotated[int | None, Field(description="Lower bound as first seen.")] = None
    bounds_max: Annotated[int | None, Field(description="Upper bound as first seen.")] = None


class Fight(ApiModel):
    """Somebody keeps putting back what the twin writes, and the twin steps back."""

    manager: Annotated[Word, Field(description="Field manager that put the value back last.")]
    reversions: Annotated[
        list[Time], Field(max_length=2, description="When it was put back within the last ten minutes, oldest first.")
    ] = []
    cycles: Annotated[int, Field(ge=0, le=4, description="How often the twin has backed off; 4 = it has given up.")] = 0
    until: Annotated[Time | None, Field(description="Nothing is written before this time.")] = None
    generation: Annotated[int, Field(ge=0, description="Generation this speaks of; a newer one starts afresh.")]


class StartUp(ApiModel):
    """Pods start up, one after the other: what they use and how slow they are says nothing of the load."""

    since: Annotated[Time, Field(description="Since when some pod has been starting up, without a pause.")]
    changed: Annotated[Time, Field(description="When the message changed last.")]
    last: Annotated[Time, Field(description="When that was seen last.")]
    rollout: Annotated[bool, Field(description="Whether a rollout is under way.")] = False
    message: Annotated[Text, Field(description="What starts up.")] = ""


class ReplicaStep(ApiModel):
    """How a metric that asked for more replicas has answered to more of them."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    generation: Annotated[int, Field(ge=-1, description="Generation this speaks of; a newer one starts afresh.")]
    replicas: Annotated[int, Field(ge=0, description="Pods that shared the load before.")]
    value: Annotated[float, Field(description="The metric's last value before there were more.")]
    beyond: Annotated[bool, Field(description="Whether that value was beyond the metric's goal, not only foreseen.")]
    load: Annotated[float | None, Field(description="What the workload had to do then, where that is known.")] = None
    load_metric: Annotated[Word, Field(description="The metric that tells the load.")] = ""
    asked: Annotated[Time, Field(description="When the metric last asked for more than there are.")]
    grown: Annotated[Time | None, Field(description="Since when there are more pods; left out before.")] = None
    effects: Annotated[
        list[float],
        Field(
            max_length=3,
            description="Of the first samples since: the share that came of the fall in proportion to pods; 0 = none.",
        ),
    ] = []
    last_data_time: Annotated[Time | None, Field(description="Time of the newest data that count in effects.")] = None


class Summary(ApiModel):
    """One line for ``kubectl get``."""

    target: Annotated[Word, Field(description="The workload.")] = ""
    drift: Annotated[Word, Field(description="The worst drift.")] = ""
    replicas: Annotated[Word, Field(description="Ready and desired replicas.")] = ""
    predicted: Annotated[Word, Field(description="The likeliest risk, or what predictions wait for.")] = ""
    last_action: Annotated[Word, Field(description="The last decision about a correction.")] = ""


class DigitalTwinStatus(ApiModel):
    """What the operator has seen, foresees and decided."""

    observed_generation: Annotated[
        int, Field(ge=-1, description="Generation that this status speaks of; -1 before the first look.")
    ] = -1
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            description="Ready: spec accepted, target found, metrics answering. The workload's own state stands in "
            "Healthy, Drifted and the others.",
            json_schema_extra=keyed_by("type"),
        ),
    ] = []
    summary: Annotated[Summary | None, Field(description="One line for kubectl get.")] = None
    health_score: Annotated[
        int | None, Field(ge=0, le=100, description="0 to 100; left out while no metric is known.")
    ] = None
    health: Annotated[Health | None, Field(description="How the health score came about.")] = None
    observed: Annotated[
        list[ObservedMetric], Field(max_length=MAX_OBSERVED, description="The last answer for every metric.")
    ] = []
    predictions: Annotated[
        list[Prediction], Field(max_length=6, description="What is foreseen, one entry per horizon.")
    ] = []
    risks: Annotated[
        list[Risk], Field(max_length=MAX_OBSERVED, description="Limits that are foreseen to be crossed.")
    ] = []
    forecast_skill: Annotated[
        ForecastSkill | None, Field(description="How good forecasts have been; confidence is 1 less its error.")
    ] = None
    drift: Annotated[Drift, Field(description="Expected against actual.")] = Drift()
    replicas: Annotated[int | None, Field(description="Ready replicas of the target.")] = None
    recommended_replicas: Annotated[int | None, Field(description="What the twin would run now, in every mode.")] = None
    need_below_since: Annotated[
        Time | None, Field(description="Since when the need has been below what the twin holds.")
    ] = None
    corrections: Annotated[
        list[CorrectionRecord], Field(max_length=10, description="The last ten decisions, oldest first.")
    ] = []
    originals: Annotated[
        list[Original],
        Field(max_length=4, description="Values as they were before the first correction, for giving them back."),
    ] = []
    replica_steps: Annotated[
        list[ReplicaStep],
        Field(
            max_length=8,
            description="How metrics that ask for more replicas have answered to the last ones.",
            json_schema_extra=keyed_by("metric"),
        ),
    ] = []
    start_up: Annotated[StartUp | None, Field(description="Set while pods start up.")] = None
    fight: Annotated[Fight | None, Field(description="Set while somebody else puts back what the twin writes.")] = None
    samples_collected: Annotated[
        int | None, Field(description="Samples at hand, the least over the metrics that are predicted.")
    ] = None
    failed_syncs: Annotated[
        int, Field(ge=0, description="Syncs in a row in which the metrics backend or the API server failed.")
    ] = 0
    failing_since: Annotated[
        Time | None, Field(description="Since when the metrics backend or the API server has failed.")
    ] = None
    last_sync_time: Annotated[Time | None, Field(description="When the last sync ended.")] = None
    last_handled_sync_request: Annotated[
        str | None,
        Field(
            max_length=256, description="Value of the annotation twinops.dev/sync-requested-at that was last answered."
        ),
    ] = None
