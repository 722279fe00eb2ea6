"""Generates the CustomResourceDefinitions and the field reference from the models.

``python -m twinops.api.crdgen --write DIR`` writes every generated file below the project folder ``DIR``;
``--check DIR`` writes nothing and fails when one of them is out of date. The output is deterministic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from twinops.api import GROUP, VERSION
from twinops.api.field_docs import reference
from twinops.api.kind import Kind
from twinops.api.schema import structural
from twinops.api.source.kind import METRICS_SOURCE
from twinops.api.twin.kind import DIGITAL_TWIN

Crd = dict[str, Any]

_HEADER = "# Generated from operator/twinops/api by `make crds`. Do not edit.\n"
_API_VERSION_TEXT = "Version of this shape of the object, for example twinops.dev/v1alpha1."
_KIND_TEXT = "Kind of the object."


KINDS = (DIGITAL_TWIN, METRICS_SOURCE)
"""Every kind of the group. To add one, write its package (spec, status, kind) and list it here."""


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
    # So that kstatus and people do not take a new object, which no sync has read yet, for a reconciled one.
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
    """Writes repeated parts in full instead of as YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Tell PyYAML never to use an alias."""
        del data
        return True


if __name__ == "__main__":
    sys.exit(main())
