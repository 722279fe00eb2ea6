"""Label selectors, as objects and as texts.

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
        """Tell whether the labels meet it. As in Kubernetes, a label that is not there is not in any set."""
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
    """All conditions must hold; there is at least one."""

    requirements: tuple[Requirement, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an object with these labels is selected."""
        return all(each.holds(labels) for each in self.requirements)

    @property
    def narrowest(self) -> Requirement | None:
        """Return the condition to look up by: one that names values, None where there is none."""
        named = [each for each in self.requirements if each.operator == "In"]
        return min(named, key=lambda each: (len(each.values), each.key), default=None)

    @property
    def text(self) -> str:
        """Return it as the API server takes it in ``labelSelector``."""
        return ",".join(_text(each) for each in self.requirements)


def of_object(selector: Mapping[str, Any] | None) -> Selector | None:
    """Read a ``LabelSelector``; None for one that selects nothing, or everything.

    An empty one selects every pod of the namespace, which is nobody's workload.
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
    """Read what a ReplicationController has for a selector."""
    return of_object({"matchLabels": labels} if labels else None)


@lru_cache(maxsize=4096)
def of_text(text: str) -> Selector | None:
    """Read a selector as ``/scale`` gives it; None where it selects everything or cannot be read."""
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
