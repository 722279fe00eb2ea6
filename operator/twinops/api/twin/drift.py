"""Deviations from the expected state. Part of ``DigitalTwin.status``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import StatusPart, Text, Time, Word


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


class DriftAlert(StatusPart):
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


class Drift(StatusPart):
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
