"""Forecasts of a twin's metrics, their skill, and risks. Part of ``DigitalTwin.status``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinops.api.base import Fraction, StatusPart, Text, Time, Word
from twinops.api.rules import ATOMIC_LIST, keyed_by
from twinops.api.twin.observed import MAX_OBSERVED

MAX_RESTART_STATE = 24_576
"""Characters of the restart state; six metrics take some 900."""

Quantiles = Annotated[tuple[float, ...], Field(min_length=3, max_length=3, json_schema_extra=ATOMIC_LIST)]
"""The .05, .5 and .95 quantile of a forecast."""


class Prediction(StatusPart):
    """What is foreseen for one horizon."""

    horizon_seconds: Annotated[int, Field(ge=1, description="How far ahead this is, in seconds.")]
    time: Annotated[Time, Field(description="The time that is foreseen.")]
    quantiles: Annotated[
        dict[str, Quantiles],
        Field(
            max_length=MAX_OBSERVED,
            description="What each metric is foreseen to be, by name: its .05, .5 (median) and .95 quantile.",
        ),
    ] = {}
    confidence: Annotated[
        Fraction | None,
        Field(description="1 - error relative to naive, the least of its metrics'; left out before 30 checks."),
    ] = None
    risk_factors: Annotated[
        list[Text], Field(max_length=MAX_OBSERVED, description="Limits that may be crossed by then, in words.")
    ] = []


class MetricSkill(StatusPart):
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
        bool,
        Field(description="False where naive is published at some horizon instead of this forecast; else left out."),
    ] = True
    state: Annotated[
        str,
        Field(
            max_length=1536, description="Where older versions kept what a restart resumes from. Read, never written."
        ),
    ] = ""


class ForecastSkill(StatusPart):
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


class Risk(StatusPart):
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
