"""The original beside a raised value: what is written, and what of it is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.correcting import KUBECTL, NOW, OURS, SERVER_SIDE, hpa, original, scale
from twinops.core.correction.saved_annotation import LONGEST, annotation_text, recover
from twinops.core.lever import Lever

NOTED = {"value": 2, "manager": "helm", "operation": "Update", "ours": 15, "min": 2, "max": 40}


def written(**change: Any) -> str:
    return json.dumps({key: value for key, value in (NOTED | change).items() if value != "-"})


def raised(value: int | None = 15, *owners: Any, **more: Any) -> Lever:
    known: dict[str, Any] = {"maximum": 40, "original_annotation": written()}
    return hpa(value, *(owners or (OURS,)), **(known | more))


@pytest.mark.parametrize("held", [original(2), original(None), original(2, manager="", operation="")])
def test_what_is_written_is_read_again(held: Any) -> None:
    lever = raised(15, original_annotation=annotation_text(held, 15, "checkout"))
    assert recover(lever, "", NOW) == held.model_copy(update={"ours": 15, "time": recover(lever, "", NOW).time})  # type: ignore[union-attr]
    assert len(lever.original_annotation) <= LONGEST
    assert recover(scale(15, OURS), lever.original_annotation, NOW) is not None


@pytest.mark.parametrize(
    "lever",
    [
        pytest.param(raised(15, KUBECTL), id="not ours"),
        pytest.param(raised(16), id="more than was set"),
        pytest.param(raised(2), id="given back"),
        pytest.param(raised(None), id="not set"),
        pytest.param(raised(applied_value=15), id="the manifest says so now"),
        pytest.param(raised(original_annotation=""), id="nothing"),
    ],
)
def test_a_field_that_is_no_raise_of_ours(lever: Lever) -> None:
    assert recover(lever, "", NOW) is None


@pytest.mark.parametrize(
    "original_annotation",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[" * 1000, id="too deep"),
        pytest.param("x" * 5000, id="too long"),
        pytest.param("[1]", id="no object"),
        pytest.param(written(value="2"), id="a text"),
        pytest.param(written(value=True), id="a truth"),
        pytest.param(written(value=2.5), id="a fraction"),
        pytest.param(written(value=-3), id="below nothing"),
        pytest.param(written(value=15), id="not below what stands"),
        pytest.param(written(value=1e999), id="without end"),
        pytest.param(written(ours=3), id="less than stands"),
        pytest.param(written(ours="-"), id="not what was set"),
        pytest.param(written(ours=2**63), id="beyond what fits"),
        pytest.param(written(manager=7), id="no name"),
        pytest.param(written(manager="x" * 200), id="a long name"),
        pytest.param(written(manager="a\x1b[2Jb"), id="a name with escapes"),
        pytest.param(written(manager="twinops"), id="ourselves"),
        pytest.param(written(operation="Delete"), id="no operation"),
        pytest.param(written(operation="-"), id="an owner without operation"),
        pytest.param(written(manager="-"), id="an operation without owner"),
    ],
)
def test_what_is_not_believed(original_annotation: str) -> None:
    assert recover(raised(original_annotation=original_annotation), "", NOW) is None
    assert recover(scale(15, OURS), original_annotation, NOW) is None


def test_strange_bounds_are_left_out() -> None:
    found = recover(raised(original_annotation=written(min="x", max=-1)), "", NOW)
    assert found is not None
    assert (found.value, found.bounds_min, found.bounds_max) == (2, None, None)


def test_the_twins_word_counts_for_scale_alone() -> None:
    assert recover(raised(original_annotation=""), written(), NOW) is None
    assert recover(scale(15, OURS, original_annotation=written()), "", NOW) is None
    assert recover(scale(15, OURS), written(), NOW) is not None


@pytest.mark.parametrize(
    ("lever", "value"),
    [
        pytest.param(raised(original_annotation="", applied_value=2), 2, id="raised above the manifest"),
        pytest.param(scale(6, OURS, applied_value=3), 3, id="scale, too"),
        pytest.param(raised(original_annotation="", applied_value=20), None, id="below the manifest"),
        pytest.param(raised(15, KUBECTL, original_annotation="", applied_value=2), None, id="set by somebody else"),
        pytest.param(
            raised(15, OURS, SERVER_SIDE, original_annotation="", applied_value=2), None, id="applied by others, too"
        ),
    ],
)
def test_the_manifest_tells_where_nothing_else_does(lever: Lever, value: int | None) -> None:
    found = recover(lever, "", NOW)
    assert (found.value if found else None) == value
