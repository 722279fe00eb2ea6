"""References to objects, for the specs and statuses of all kinds."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from twinops.api.base import ApiModel, DnsName, Name, Word
from twinops.api.rules import ATOMIC, Rule, literal, validations

# Kubernetes kinds that have no /scale, and that people try all the same.
_NOT_SCALABLE = literal(("CronJob", "DaemonSet", "HorizontalPodAutoscaler", "Job", "Pod", "Service"))
_TARGET_RULES = (
    Rule(
        f"!(self.kind in {_NOT_SCALABLE})",
        "this kind has no /scale; a twin's target is a Deployment, a StatefulSet or another kind with /scale",
        "self.kind + ' has no /scale; a twin\\'s target is a Deployment, a StatefulSet or another kind with /scale'",
        field_path=".kind",
    ),
)


class TargetRef(ApiModel):
    """The workload: any object of the twin's namespace that has a /scale subresource."""

    model_config = ConfigDict(json_schema_extra=ATOMIC | validations(*_TARGET_RULES))

    api_version: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$",
            description="Group and version, for example apps/v1.",
        ),
    ] = "apps/v1"
    kind: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[A-Z][A-Za-z0-9]*$",
            description="Deployment, StatefulSet or any other kind that has /scale.",
        ),
    ] = "Deployment"
    name: Annotated[DnsName, Field(description="Name of the workload.")]


class LocalRef(ApiModel):
    """Names an object."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    name: Annotated[DnsName, Field(description="Name of the object.")]


class ObjectRef(ApiModel):
    """The object a correction writes to."""

    api_version: Annotated[Name, Field(description="Group and version of the object.")]
    kind: Annotated[Word, Field(description="Kind of the object.")]
    name: Annotated[Name, Field(description="Name of the object.")]
