"""Forecasts of a twin's metrics, their skill, and risks. Part of ``DigitalTwin.status``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel, Fraction, Text, Time, Word
from twinops.api.rules import keyed_by
from twinops.api.twin.observed import MAX_OBSERVED


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
