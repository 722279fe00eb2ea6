"""Conditions in the shape of ``metav1.Condition``.

Source: Kubernetes API conventions, "Typical status properties".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import StatusPart, Time, shown


class ConditionType(StrEnum):
    """Every condition type a twin can carry."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    METRICS_AVAILABLE = "MetricsAvailable"
    PREDICTIONS_AVAILABLE = "PredictionsAvailable"
    HEALTHY = "Healthy"
    DRIFTED = "Drifted"
    CORRECTION_BLOCKED = "CorrectionBlocked"
    PAUSED = "Paused"


class ConditionStatus(StrEnum):
    """The three answers a condition can give."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusPart):
    """One condition. ``last_transition_time`` moves only when ``status`` changes."""

    type: Annotated[str, Field(max_length=64, description="What this condition speaks of.")]
    status: Annotated[ConditionStatus, Field(description="True, False or Unknown.")]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            description="Why, in one CamelCase word for programs.",
        ),
    ]
    message: Annotated[str, shown(1024), Field(max_length=1024, description="Why, for people.")] = ""
    last_transition_time: Annotated[Time, Field(description="When the status last changed.")]
    observed_generation: Annotated[
        int | None,
        Field(
            ge=0, description="Generation this condition speaks of; of a twin, left out where it is the status's own."
        ),
    ] = None


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: ConditionType) -> bool:
    """Tell whether the condition of this type is listed and True."""
    found = find(conditions, kind)
    return found is not None and found.status is ConditionStatus.TRUE
