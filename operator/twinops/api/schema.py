"""Converts a pydantic model to the structural schema of a CustomResourceDefinition.

Structural means: one type per node, nothing referenced, no ``null`` beside a type, no keyword that
apiextensions v1 refuses. Keywords that cannot be converted raise an error, so that none is lost silently.

Source: Kubernetes, "Specifying a structural schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from twinops.api.rules import VALIDATIONS

Schema = dict[str, Any]

_CARRIED = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    }
)
_ORDER = ("description", "type", "format", "default", "enum")


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """Return the structural schema of a model, by its wire names.

    Args:
        model: Any model of ``twinops.api``.
        defaults: False leaves defaults out: a status is the operator's to fill.

    Raises:
        ValueError: The model's schema has a keyword or a union that a CRD cannot have.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(raw.get("$defs", {}), defaults=defaults).convert(raw, model.__name__)


class _Converter:
    """Converts the nodes of one JSON schema."""

    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, raw: Schema, path: str) -> Schema:
        """Return the structural form of one node; ``path`` is for error texts."""
        node = dict(raw)
        node.pop("$defs", None)
        node.pop("title", None)
        result = self._inherited(node, path)
        rules = [*result.get(VALIDATIONS, []), *node.pop(VALIDATIONS, [])]
        default = node.pop("default", None)
        for keyword, value in node.items():
            result.update(self._keyword(keyword, value, node, path))
        if rules:
            result[VALIDATIONS] = rules
        self._set_default(result, default)
        return {key: result[key] for key in sorted(result, key=_position)}

    def _inherited(self, node: Schema, path: str) -> Schema:
        """Take a reference or an optional type out of the node and return what it stands for."""
        if "$ref" in node:
            return self.convert(self._definitions[node.pop("$ref").rpartition("/")[2]], path)
        if "anyOf" not in node:
            return {}
        choices = [choice for choice in node.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise ValueError(f"{path}: one type per field, a CRD cannot choose between {len(choices)}")
        return self.convert(choices[0], path)

    def _keyword(self, keyword: str, value: Any, node: Schema, path: str) -> Schema:
        if keyword == "properties":
            return {keyword: {name: self.convert(child, f"{path}.{name}") for name, child in value.items()}}
        if keyword == "items":
            return {keyword: self.convert(value, f"{path}[]")}
        if keyword == "additionalProperties" and isinstance(value, dict):
            return {keyword: self.convert(value, f"{path}.*")}
        if keyword in {"exclusiveMinimum", "exclusiveMaximum"}:
            bound = keyword.removeprefix("exclusive").lower()
            if bound in node:
                raise ValueError(f"{path}: both {bound} and {keyword}")
            return {bound: value, keyword: True}
        if keyword in _CARRIED:
            return {keyword: value}
        raise ValueError(f"{path}: a CRD cannot say {keyword}")

    def _set_default(self, node: Schema, default: Any) -> None:
        if not self._defaults:
            return
        if node.get("type") == "object":
            # Nested defaults are filled in by the API server once the object itself is there.
            has_nested = any("default" in child for child in node.get("properties", {}).values())
            own = _beyond_nested(default or {}, node)
            if default is not None and (own or has_nested):
                node["default"] = own
        elif default is not None and default != []:
            node["default"] = default


def _beyond_nested(default: Mapping[str, Any], node: Schema) -> Schema:
    """Return the part of an object's default that its fields' own defaults do not give."""
    fields = node.get("properties", {})
    own = {}
    for name, value in default.items():
        kept = _beyond_nested(value, fields[name]) if isinstance(value, dict) and name in fields else value
        if kept not in (None, [], {}) and kept != fields.get(name, {}).get("default"):
            own[name] = kept
    return own


def _position(keyword: str) -> tuple[int, str]:
    return (_ORDER.index(keyword) if keyword in _ORDER else len(_ORDER), keyword)
