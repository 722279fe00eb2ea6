"""What a sync observed of a twin: its metrics and health. Part of ``DigitalTwin.status``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import Fraction, StatusPart, Text, Time, Word
from twinops.api.rules import keyed_by
from twinops.api.twin.spec import MAX_METRICS

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


class ObservedMetric(StatusPart):
    """The last answer for one metric."""

    name: Annotated[Word, Field(description="Name of the metric.")]
    value: Annotated[float | None, Field(description="The value; left out when there is none.")] = None
    unit: Annotated[Word, Field(description="Unit of the value, with its basis: percent of limits or of requests.")] = (
        ""
    )
    time: Annotated[
        Time | None,
        Field(description="Time of the newest sample behind the value; left out where it is status.observedTime."),
    ] = None
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


class HealthComponent(StatusPart):
    """One metric's part in the health score."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    penalty: Annotated[
        float, Field(ge=0, le=1, description="0, which is left out, at the expected value; 1 at the limit.")
    ] = 0.0
    weight: Annotated[float, Field(ge=0, le=1, description="Share of the score, all known metrics adding up to 1.")]
    points: Annotated[float, Field(ge=0, le=100, description="Points this metric costs; left out when 0.")] = 0.0


class LastKnown(StatusPart):
    """What a metric without a fresh value cost when it was last seen."""

    metric: Annotated[Word, Field(description="Name of the metric.")]
    penalty: Annotated[float, Field(ge=0, le=1, description="0 at the expected value, 1 at the limit, as last seen.")]


class Health(StatusPart):
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
