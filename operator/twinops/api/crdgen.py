"""The CustomResourceDefinitions, generated from the models, and the files that hold them.

``python -m twinops.api.crdgen --write DIR`` writes every generated file below the project folder ``DIR``;
``--check DIR`` writes nothing and fails when one of them is out of date. The same input always gives the
same text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from twinops.api import GROUP, VERSION
from twinops.api.reference import reference
from twinops.api.schema import structural
from twinops.api.source.resource import MetricsSourceSpec, MetricsSourceStatus
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus

Crd = dict[str, Any]

_HEADER = "# Generated from operator/twinops/api by `make crds`. Do not edit.\n"
_API_VERSION_TEXT = "Version of this shape of the object, for example twinops.dev/v1alpha1."
_KIND_TEXT = "Kind of the object."


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``. Those with ``wide`` show with ``-o wide`` only."""

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
    """What a CRD says beside its schema."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    spec: type[BaseModel]
    status: type[BaseModel]
    description: str
    columns: tuple[Column, ...]


_READY = Column(
    "Ready",
    '.status.conditions[?(@.type=="Ready")].status',
    description="Spec accepted, target found, metrics answering.",
)
_AGE = Column("Age", ".metadata.creationTimestamp", "date", "Time since creation.")

KINDS = (
    Kind(
        kind="DigitalTwin",
        plural="digitaltwins",
        short_names=("dt", "twin"),
        scope="Namespaced",
        spec=DigitalTwinSpec,
        status=DigitalTwinStatus,
        description="The digital twin of a workload: it watches, foresees, explains and, where that is safe, corrects.",
        columns=(
            Column("Target", ".status.summary.target", description="The workload."),
            Column("Health", ".status.healthScore", "integer", "Health score, 0 to 100."),
            Column("Drift", ".status.summary.drift", description="What is not as expected."),
            Column("Replicas", ".status.summary.replicas", description="Ready and desired replicas."),
            Column("Predicted", ".status.summary.predicted", description="Where it is going."),
            _READY,
            Column("Last Sync", ".status.lastSyncTime", "date", "Time since the last sync."),
            _AGE,
            Column(
                "Confidence", ".status.predictions[0].confidence", "number", "Of the nearest prediction.", wide=True
            ),
            Column("Last Action", ".status.summary.lastAction", description="The last decision.", wide=True),
            Column("Mode", ".spec.autoCorrection.mode", description="Apply or Preview.", wide=True),
        ),
    ),
    Kind(
        kind="MetricsSource",
        plural="metricssources",
        short_names=("msrc",),
        scope="Cluster",
        spec=MetricsSourceSpec,
        status=MetricsSourceStatus,
        description="A Prometheus-compatible endpoint that an administrator allows twins to ask.",
        columns=(Column("URL", ".spec.url", description="Base URL of the endpoint."), _READY, _AGE),
    ),
)


def crd(kind: Kind) -> Crd:
    """Return the CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["twins"],
            },
            "scope": kind.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [column.to_wire() for column in kind.columns],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def crds() -> tuple[Crd, ...]:
    """Return every CustomResourceDefinition of the group."""
    return tuple(crd(kind) for kind in KINDS)


def to_yaml(document: Mapping[str, Any]) -> str:
    """Return the YAML text of one definition, as it stands in its file."""
    return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """Return the text of every generated file, by its path below the project folder."""
    generated = {}
    for document in crds():
        name = f"{GROUP}_{document['spec']['names']['plural']}.yaml"
        generated[f"crds/{name}"] = to_yaml(document)
        generated[f"helm/twinops/files/crds/{name}"] = to_yaml(document)
    generated["docs/api.md"] = reference(crds())
    return generated


def stale(root: Path) -> list[str]:
    """Return the paths of generated files below ``root`` that are missing or out of date."""
    return [path for path, text in files().items() if not _holds(root / path, text)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated files. Returns the exit code: 1 when ``--check`` finds stale ones."""
    parser = argparse.ArgumentParser(prog="python -m twinops.api.crdgen", description="Write the generated API files.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", metavar="DIR", type=Path, help="write the files below this project folder")
    action.add_argument("--check", metavar="DIR", type=Path, help="fail when a file is out of date")
    options = parser.parse_args(arguments)
    old = stale(options.write or options.check)
    if options.check:
        sys.stderr.writelines(f"{path} is out of date: run `make crds`\n" for path in old)
        return 1 if old else 0
    for path in old:
        target = options.write / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files()[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0


def _root(kind: Kind) -> Crd:
    status = structural(kind.status, defaults=False)
    # So that a fresh object, which nobody has looked at yet, is not taken for a finished one.
    status["default"] = {"observedGeneration": -1}
    return {
        "description": kind.description,
        "type": "object",
        "properties": {
            "apiVersion": {"description": _API_VERSION_TEXT, "type": "string"},
            "kind": {"description": _KIND_TEXT, "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": status,
        },
        "required": ["spec"],
    }


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


class _Dumper(yaml.SafeDumper):
    """Writes out what YAML would abbreviate: an alias in a CRD helps no reader."""

    def ignore_aliases(self, data: Any) -> bool:
        """Tell PyYAML never to use an alias."""
        del data
        return True


if __name__ == "__main__":
    sys.exit(main())
