"""The field reference ``docs/api.md``: Markdown tables generated from the CRDs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_HEAD = """\
# API reference

Generated from `operator/twinops/api` by `make crds`; do not edit. `kubectl explain` shows the same texts.

An optional field without a default may be left out; a field in **bold** must be given.
Rules that judge several fields together stand below each table.
"""


def reference(crds: Iterable[Mapping[str, Any]]) -> str:
    """Return the reference of these CustomResourceDefinitions."""
    return "\n".join([_HEAD, *(_kind(crd["spec"]) for crd in crds)])


def _kind(spec: Mapping[str, Any]) -> str:
    names, version = spec["names"], spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(
        f"{column['name'].upper()}{' (`-o wide`)' if column.get('priority') else ''}"
        for column in version["additionalPrinterColumns"]
    )
    lines = [
        f"## {names['kind']}",
        "",
        schema["description"],
        "",
        f"{spec['scope']}. Version `{spec['group']}/{version['name']}`.",
        f"Short names {_listed(names['shortNames'])}, category {_listed(names['categories'])}.",
        "",
        f"Columns of `kubectl get {names['plural']}`: {columns}.",
        "",
    ]
    for part in ("spec", "status"):
        node = schema["properties"][part]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += _rows(node, part)
        lines.append("")
        rules = list(_rules(node, part))
        if rules:
            lines += ["Rules:", "", *rules, ""]
    return "\n".join(lines)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _rows(node: Mapping[str, Any], path: str) -> Iterator[str]:
    required = node.get("required", [])
    for name, child in node.get("properties", {}).items():
        shown = f"**`{path}.{name}`**" if name in required else f"`{path}.{name}`"
        meaning = child.get("description", "").replace("|", "\\|").replace("\n", " ")
        yield f"| {shown} | {_type(child)} | {_default(child)} | {meaning} |"
        yield from _rows(child, f"{path}.{name}")
        yield from _rows(child.get("items", {}), f"{path}.{name}[]")


def _type(node: Mapping[str, Any]) -> str:
    if node["type"] == "array":
        most = f", at most {node['maxItems']}" if "maxItems" in node else ""
        return f"list of {_type(node['items'])}{most}"
    if "additionalProperties" in node:
        return f"map to {_type(node['additionalProperties'])}, at most {node['maxProperties']}"
    if "enum" in node:
        return " \\| ".join(f"`{word}`" for word in node["enum"])
    if node.get("format") == "date-time":
        return "time"
    return f"{node['type']}{_range(node)}"


def _range(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" {low}..{high}"
    if low is not None:
        return f" {'>' if node.get('exclusiveMinimum') else '≥'} {low}"
    if high is not None:
        return f" {'<' if node.get('exclusiveMaximum') else '≤'} {high}"
    return ""


def _default(node: Mapping[str, Any]) -> str:
    default = node.get("default")
    if default in (None, {}, ""):
        return ""
    if isinstance(default, dict):
        return ", ".join(f"`{key}: {value}`" for key, value in default.items())
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _rules(node: Mapping[str, Any], path: str) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", []):
        yield f"- `{path}{rule.get('fieldPath', '')}`: {rule['message']}."
    for name, child in node.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}")
    if "items" in node:
        yield from _rules(node["items"], f"{path}[]")
