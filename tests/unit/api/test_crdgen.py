from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from twinops.api import crdgen
from twinops.metric_definitions import STANDARD

ROOT = Path(__file__).parents[3]
Node = dict[str, Any]


def nodes(schema: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield every node of a schema with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for below, sign in (("items", "[]"), ("additionalProperties", ".*")):
        if below in schema:
            yield from nodes(schema[below], path + sign)


def every_node() -> Iterator[tuple[str, Node]]:
    for document in crdgen.crds():
        root = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            yield from nodes(root["properties"][part], f"{document['spec']['names']['kind']}.{part}")


def bounded(node: Node) -> bool:
    if node["type"] == "array":
        return "maxItems" in node
    if "additionalProperties" in node:
        return "maxProperties" in node
    if node["type"] == "string":
        return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
    return True


def test_the_generated_files_are_up_to_date() -> None:
    assert crdgen.stale(ROOT) == []


def test_generation_is_deterministic() -> None:
    assert crdgen.files() == crdgen.files()


def test_the_yaml_holds_the_definition_and_no_alias() -> None:
    for document in crdgen.crds():
        text = crdgen.to_yaml(document)
        assert yaml.safe_load(text) == document
        assert "&id" not in text


def test_everything_is_bounded() -> None:
    """What has no bound costs CEL too much, and can outgrow etcd."""
    assert [path for path, node in every_node() if not bounded(node)] == []


def test_every_field_is_explained() -> None:
    unexplained = [
        f"{path}.{name}"
        for path, node in every_node()
        for name, child in node.get("properties", {}).items()
        if not child.get("description", "").strip()
    ]
    assert unexplained == []


def test_every_rule_says_what_is_wrong_in_one_line() -> None:
    rules = [rule for _, node in every_node() for rule in node.get("x-kubernetes-validations", [])]
    assert len(rules) > 30
    for rule in rules:
        assert 10 < len(rule["message"]) < 200
        assert "\n" not in rule["message"] + rule["rule"]


def test_only_the_default_of_status_is_set_in_status() -> None:
    for document in crdgen.crds():
        status = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        assert status["default"] == {"observedGeneration": -1}
        assert [path for path, node in nodes(status, "status") if "default" in node] == ["status"]


def test_the_rules_list_every_standard_metric() -> None:
    listed = "[" + ", ".join(f"'{name}'" for name in sorted(STANDARD)) + "]"
    rules = [rule["rule"] for _, node in every_node() for rule in node.get("x-kubernetes-validations", [])]
    assert sum(listed in rule for rule in rules) >= 6


def test_the_reference_names_every_field() -> None:
    reference = crdgen.files()["docs/api.md"]
    for word in ("spec.source.metrics[].query", "status.predictions[].quantiles", "spec.auth.basicAuthSecretRef"):
        assert f"`{word}`" in reference
    assert "LAST SYNC" in reference
    assert "`spec.source.targetRef`: targetRef cannot be changed" in reference


def test_write_makes_what_check_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main(["--check", str(tmp_path)]) == 1
    assert "crds/twinops.dev_digitaltwins.yaml is out of date: run `make crds`" in capsys.readouterr().err
    assert crdgen.main(["--write", str(tmp_path)]) == 0
    assert "wrote crds/twinops.dev_metricssources.yaml" in capsys.readouterr().out
    assert crdgen.main(["--check", str(tmp_path)]) == 0


def test_check_finds_an_edited_file_and_leaves_it(tmp_path: Path) -> None:
    crdgen.main(["--write", str(tmp_path)])
    edited = tmp_path / "crds" / "twinops.dev_digitaltwins.yaml"
    edited.write_text("by hand")
    assert crdgen.stale(tmp_path) == ["crds/twinops.dev_digitaltwins.yaml"]
    assert crdgen.main(["--check", str(tmp_path)]) == 1
    assert edited.read_text() == "by hand"


@pytest.mark.parametrize(
    "arguments", [pytest.param([], id="neither"), pytest.param(["--check", "a", "--write", "b"], id="both")]
)
def test_one_of_check_and_write_must_be_given(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        crdgen.main(arguments)
