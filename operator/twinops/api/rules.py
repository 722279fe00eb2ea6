"""Extensions of a model's schema for the API server: CEL validation rules, and list and map types.

A rule travels inside the model's JSON schema under ``x-kubernetes-validations``, so that it stands beside
the fields it judges and becomes part of the generated CRD. The API server evaluates it; Python does not.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", section "Validation rules".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

VALIDATIONS = "x-kubernetes-validations"

ATOMIC: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}
"""Server-side apply replaces a reference as a whole: fields of two managers must not mix."""

ATOMIC_LIST: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
"""Server-side apply replaces the list. With type set, defaulted entries would stay beside given ones."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule.

    Attributes:
        rule: CEL expression that is true for what is allowed; ``self`` is the object the rule stands at.
        message: what is wrong and how to mend it, for people.
        message_expression: CEL expression for a message that repeats what was given; ``message`` stands in
            where it cannot be evaluated. Only strings with a maxLength can be repeated: of a map's keys and
            of numbers turned into text the API server assumes any length, and refuses the rule for its cost.
        field_path: path, relative to ``self``, of the field to blame; empty for ``self``.
    """

    rule: str
    message: str
    message_expression: str = ""
    field_path: str = ""

    def to_wire(self) -> dict[str, str]:
        """Return the form the API server reads."""
        wire = {"rule": self.rule, "message": self.message}
        if self.message_expression:
            wire["messageExpression"] = self.message_expression
        if self.field_path:
            wire["fieldPath"] = self.field_path
        return wire


def validations(*rules: Rule) -> dict[str, Any]:
    """Return the JSON schema extra that carries these rules."""
    return {VALIDATIONS: [rule.to_wire() for rule in rules]}


def keyed_by(field: str) -> dict[str, Any]:
    """Return the JSON schema extra of a list whose entries are told apart by ``field``, which is unique."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


def literal(words: Iterable[str]) -> str:
    """Return a CEL list of strings, sorted, so that the generated text is deterministic."""
    return "[" + ", ".join(f"'{word}'" for word in sorted(words)) + "]"


def at_most_one(*fields: str, message: str) -> Rule:
    """Return the rule that at most one of two or more optional fields is set."""
    pairs = [f"!(has(self.{one}) && has(self.{other}))" for i, one in enumerate(fields) for other in fields[i + 1 :]]
    return Rule(" && ".join(pairs), message)


def ordered(low: str, high: str) -> Rule:
    """Return the rule that of two optional numbers the first is not above the second."""
    return Rule(
        f"!has(self.{low}) || !has(self.{high}) || self.{low} <= self.{high}",
        f"{low} must not be above {high}",
        field_path=f".{low}",
    )
