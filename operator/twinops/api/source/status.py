"""``MetricsSource.status``: whether the endpoint answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinops.api.base import ApiModel
from twinops.api.conditions import Condition
from twinops.api.rules import keyed_by


class MetricsSourceStatus(ApiModel):
    """Whether the endpoint answers."""

    observed_generation: Annotated[
        int, Field(ge=-1, description="Generation that this status speaks of; -1 before the first look.")
    ] = -1
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=8,
            description="Ready, and what stands in its way.",
            json_schema_extra=keyed_by("type"),
        ),
    ] = []
