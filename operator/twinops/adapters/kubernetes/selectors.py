"""Label selectors, as objects (``LabelSelector``) and as query texts.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<no>[^\s=!,()]+)"
    r"|(?P<key>[^\s=!,()]+)\s*(?:(?P<set>in|notin)\s*\((?P<values>[^()]*)\)|(?P<sign>==|=|!=)\s*(?P<value>[^\s,()=!]*))?"
    r")\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label.

    Attributes:
        operator: ``In``, ``NotIn``, ``Exists`` or ``DoesNotExist``.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition. As in Kubernetes, ``NotIn`` holds for a missing label."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; at least one."""

    requirements: tuple[Requirement, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(each.holds(labels) for each in self.requirements)

    @property
    def narrowest(self) -> Requirement | None:
        """The ``In`` condition with the fewest values, for index look-ups; None without one."""
        named = [each for each in self.requirements if each.operator == "In"]
        return min(named, key=lambda each: (len(each.values), each.key), default=None)

    @property
    def text(self) -> str:
        """The query parameter ``labelSelector``."""
        return ",".join(_text(each) for each in self.requirements)


def of_object(selector: Mapping[str, Any] | None) -> Selector | None:
    """Read a ``LabelSelector``; None for a missing or empty one.

    An empty selector selects every pod of the namespace, which no workload means.
    """
    if not selector:
        return None
    simple = [Requirement(str(k), "In", frozenset({str(v)})) for k, v in (selector.get("matchLabels") or {}).items()]
    others = [
        Requirement(str(each["key"]), str(each["operator"]), frozenset(map(str, each.get("values") or ())))
        for each in selector.get("matchExpressions") or ()
    ]
    return _of([*simple, *others])


def of_labels(labels: Mapping[str, str] | None) -> Selector | None:
    """Read the selector of a ReplicationController, a map of labels."""
    return of_object({"matchLabels": labels} if labels else None)


@lru_cache(maxsize=4096)
def of_text(text: str) -> Selector | None:
    """Read the selector text of a ``/scale``; None when it is empty or cannot be read."""
    found, position = [], 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or term.end() == position:
            return None
        found.append(_requirement(term))
        position = term.end()
    return _of(found)


def _of(requirements: list[Requirement]) -> Selector | None:
    return Selector(tuple(sorted(requirements, key=lambda each: (each.key, each.operator)))) if requirements else None


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["no"], "DoesNotExist")
    if term["set"]:
        values = frozenset(value.strip() for value in term["values"].split(","))
        return Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values)
    if term["sign"]:
        return Requirement(term["key"], "NotIn" if term["sign"] == "!=" else "In", frozenset({term["value"]}))
    return Requirement(term["key"], "Exists")


def _text(each: Requirement) -> str:
    match each.operator:
        case "In" | "NotIn":
            return f"{each.key} {each.operator.lower()} ({','.join(sorted(each.values))})"
        case "Exists":
            return each.key
        case _:
            return f"!{each.key}"
