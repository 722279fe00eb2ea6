from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, Field

from twinops.api.base import ApiModel, Time
from twinops.api.rules import Rule, at_most_one, ordered, validations
from twinops.api.schema import structural

POSITIVE = Rule("self.size > 0", "size must be positive", field_path=".size")
NAMED = Rule("self.size < 9", "of the field")


class Colour(StrEnum):
    """What it looks like."""

    RED = "Red"


class Inner(ApiModel):
    """An inner object."""

    model_config = ConfigDict(json_schema_extra=validations(POSITIVE))

    size: Annotated[int, Field(ge=1)] = 3
    note: Annotated[str | None, Field(max_length=5)] = None


class Required(ApiModel):
    """Has no default of its own."""

    first_name: str


def fields(model: type[ApiModel], *, defaults: bool = True) -> dict[str, Any]:
    properties: dict[str, Any] = structural(model, defaults=defaults)["properties"]
    return properties


def model(annotation: Any, default: Any = ...) -> type[ApiModel]:
    """Return a model with one field, ``field``."""
    return type("Probe", (ApiModel,), {"__annotations__": {"field": annotation}, "field": Field(default=default)})


@pytest.mark.parametrize(
    ("annotation", "default", "schema"),
    [
        pytest.param(int, ..., {"type": "integer"}, id="integer"),
        pytest.param(float, 20, {"type": "number", "default": 20}, id="whole-number-as-default-of-a-fraction"),
        pytest.param(bool, False, {"type": "boolean", "default": False}, id="false-is-a-default"),
        pytest.param(str, "", {"type": "string", "default": ""}, id="empty-text-is-a-default"),
        pytest.param(int | None, None, {"type": "integer"}, id="optional-is-not-nullable"),
        pytest.param(
            Annotated[float, Field(gt=0, lt=1)],
            ...,
            {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True},
            id="exclusive-bounds-are-flags",
        ),
        pytest.param(
            Annotated[list[int], Field(max_length=3)],
            [],
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            id="empty-list-is-no-default",
        ),
        pytest.param(
            Annotated[dict[str, float], Field(max_length=2)],
            {},
            {"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 2},
            id="map",
        ),
        pytest.param(
            Colour,
            Colour.RED,
            {"description": "What it looks like.", "type": "string", "default": "Red", "enum": ["Red"]},
            id="enum",
        ),
        pytest.param(Time, ..., {"type": "string", "format": "date-time"}, id="time"),
    ],
)
def test_a_field_becomes_structural(annotation: Any, default: Any, schema: dict[str, Any]) -> None:
    assert fields(model(annotation, default))["field"] == schema


@pytest.mark.parametrize(
    ("default", "written"),
    [
        pytest.param(Inner(), {}, id="nothing-beyond-the-nested-defaults"),
        pytest.param(Inner(size=7), {"size": 7}, id="another-value"),
        pytest.param(Inner(note="hi"), {"note": "hi"}, id="a-value-without-nested-default"),
    ],
)
def test_the_default_of_an_object_holds_only_what_its_fields_do_not_default(
    default: Inner, written: dict[str, Any]
) -> None:
    assert fields(model(Inner, default))["field"]["default"] == written


def test_an_optional_object_has_no_default() -> None:
    assert "default" not in fields(model(Inner | None, None))["field"]


def test_defaults_can_be_left_out() -> None:
    found = fields(model(Inner, Inner(size=7)), defaults=False)["field"]
    assert "default" not in found
    assert "default" not in found["properties"]["size"]


def test_required_fields_are_named_as_on_the_wire() -> None:
    assert structural(Required)["required"] == ["firstName"]


def test_rules_of_an_object_and_of_the_field_that_holds_it_stand_together() -> None:
    annotation = Annotated[Inner, Field(json_schema_extra=validations(NAMED))]
    found = fields(model(annotation))["field"]
    assert found["x-kubernetes-validations"] == [
        {"rule": "self.size > 0", "message": "size must be positive", "fieldPath": ".size"},
        {"rule": "self.size < 9", "message": "of the field"},
    ]
    assert (found["type"], found["description"]) == ("object", "An inner object.")


@pytest.mark.parametrize(
    ("annotation", "telling"),
    [
        pytest.param(int | str, "one type per field, a CRD cannot choose between 2", id="two-types"),
        pytest.param(tuple[int, str], "a CRD cannot say prefixItems", id="tuple"),
        pytest.param(set[int], "a CRD cannot say uniqueItems", id="set"),
        pytest.param(Annotated[int, Field(gt=0, ge=0)], "both minimum and exclusiveMinimum", id="two-lower-bounds"),
        pytest.param(
            dict[Annotated[str, Field(pattern="^a$")], int],
            "a CRD cannot say patternProperties",
            id="map-with-key-form",
        ),
    ],
)
def test_what_a_crd_cannot_say_is_an_error(annotation: Any, telling: str) -> None:
    with pytest.raises(ValueError, match=telling):
        structural(model(annotation))


def test_rules_in_cel() -> None:
    assert at_most_one("a", "b", "c", message="one").rule == (
        "!(has(self.a) && has(self.b)) && !(has(self.a) && has(self.c)) && !(has(self.b) && has(self.c))"
    )
    assert ordered("low", "high").to_wire() == {
        "rule": "!has(self.low) || !has(self.high) || self.low <= self.high",
        "message": "low must not be above high",
        "fieldPath": ".low",
    }
