"""What a CRD states beside its schemas: names, scope and printer columns. Each kind's ``kind.py`` holds its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinops.api.base import ApiModel


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of ``kubectl get``; one with ``wide`` is shown with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the form the API server reads."""
        wire = {"name": self.name, "type": self.type, "description": self.description, "jsonPath": self.path}
        return wire | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: names, models, description and printer columns of its CRD."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    spec: type[ApiModel]
    status: type[ApiModel]
    description: str
    columns: tuple[Column, ...]


READY = Column(
    "Ready",
    '.status.conditions[?(@.type=="Ready")].status',
    description="Spec accepted, target found, metrics answering.",
)
AGE = Column("Age", ".metadata.creationTimestamp", "date", "Time since creation.")
