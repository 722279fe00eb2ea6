"""Decisions about corrections, saved values, and the state of corrections. Part of ``DigitalTwin.status``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from twinops.api.base import StatusPart, Text, Time, Word
from twinops.api.references import ObjectRef
from twinops.api.twin.spec import CorrectionMode


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


class CorrectionRecord(StatusPart):
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


class Original(StatusPart):
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


class Fight(StatusPart):
    """Somebody keeps putting back what the twin writes, and the twin steps back."""

    manager: Annotated[Word, Field(description="Field manager that put the value back last.")]
    reversions: Annotated[
        list[Time], Field(max_length=2, description="When it was put back within the last ten minutes, oldest first.")
    ] = []
    cycles: Annotated[int, Field(ge=0, le=4, description="How often the twin has backed off; 4 = it has given up.")] = 0
    until: Annotated[Time | None, Field(description="Nothing is written before this time.")] = None
    generation: Annotated[int, Field(ge=0, description="Generation this speaks of; a newer one starts afresh.")]


class StartUp(StatusPart):
    """Pods start up, one after the other: what they use and how slow they are says nothing of the load."""

    since: Annotated[Time, Field(description="Since when some pod has been starting up, without a pause.")]
    changed: Annotated[Time, Field(description="When the message changed last.")]
    last: Annotated[Time, Field(description="When that was seen last.")]
    rollout: Annotated[bool, Field(description="Whether a rollout is under way.")] = False
    message: Annotated[Text, Field(description="What starts up.")] = ""


class ReplicaStep(StatusPart):
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
