"""Base model and shared field types: camelCase on the wire, frozen in Python, times in RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from twinops.printable import printable


def _rfc3339(moment: datetime) -> str:
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        # The last day of year 9999 in a zone west of Greenwich has no UTC time.
        return "9999-12-31T23:59:59Z"


Time = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A ``metav1.Time``: RFC 3339, UTC, whole seconds."""

DnsName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""


def shown(most: int) -> BeforeValidator:
    """Return a validator that makes a text printable and cuts it to ``most`` characters."""
    return BeforeValidator(lambda text: printable(text, most) if isinstance(text, str) else text)


Fraction = Annotated[float, Field(ge=0, le=1)]

Text = Annotated[str, shown(1024), Field(max_length=1024)]
"""A sentence or more for people; longer ones are cut."""

Word = Annotated[str, shown(128), Field(max_length=128)]
"""A word or a short phrase; longer ones are cut."""

Name = Annotated[str, Field(max_length=253)]
"""Name of an object, or group and version, as the API server gave it."""


class ApiModel(BaseModel):
    """Base of every shape that travels to or from the API server.

    Unknown fields are ignored when reading: an older operator must be able to read a newer object.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-ready form: camelCase keys, unset optional fields and empty texts and lists left out."""
        return without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """Read what the API server sent.

        Raises:
            pydantic.ValidationError: the data does not have this shape.
        """
        return cls.model_validate(data)


class StatusPart(ApiModel):
    """Base of the shapes inside a status, of which every twin has some thirty in memory.

    Which fields were given is not kept: the set of their names would take as much memory as the fields themselves.
    """

    def model_post_init(self, context: Any, /) -> None:
        """Share one empty set among all; pydantic copies it before it adds to it."""
        del context
        object.__setattr__(self, "__pydantic_fields_set__", _NO_FIELDS)


_NO_FIELDS: set[str] = set()


def without_empty(data: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object without empty texts, lists and objects, at any depth."""
    return {key: _pruned(value) for key, value in data.items() if value not in ("", [], {})}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return without_empty(value)
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def utc(unix: float) -> datetime:
    """Turn Unix seconds into an aware UTC time."""
    return datetime.fromtimestamp(unix, UTC)
