"""Joining queries into one, and splitting its answer, without a server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import promql_parser as parser
import pytest

from twinops.adapters.prometheus.joined import LABEL, NotJoined, Truncated, join, limit, split
from twinops.core.metrics.queries import InstantAnswer


def series(index: object, value: object = "1", **labels: str) -> dict[str, Any]:
    return {"metric": {LABEL: index, **labels}, "value": [0, value]}


def depth(node: Any) -> int:
    if isinstance(node, parser.ParenExpr):
        return depth(node.expr)
    return 1 + max(depth(node.lhs), depth(node.rhs)) if isinstance(node, parser.BinaryExpr) else 0


def test_every_query_is_labelled_and_bracketed() -> None:
    assert join(["a # one", "b or c"]) == (
        '(label_replace((a # one\n),"twinops_query","0","","") or label_replace((b or c\n),"twinops_query","1","",""))'
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100, 256])
def test_the_tree_is_balanced(count: int) -> None:
    assert depth(parser.parse(join([f"m{n}" for n in range(count)]))) == math.ceil(math.log2(count))


@pytest.mark.parametrize(
    ("result", "answers"),
    [
        pytest.param([], [InstantAnswer(), InstantAnswer()], id="nothing"),
        pytest.param([series("1", "2.5")], [InstantAnswer(), InstantAnswer((2.5,))], id="the second one"),
        pytest.param(
            [series("0", "3", pod="b"), series("0", "2", pod="a"), series("1")],
            [InstantAnswer((3.0, 2.0)), InstantAnswer((1.0,))],
            id="two series, in the order of the answer",
        ),
        pytest.param(
            [*[series("0", str(n)) for n in range(3)], series("1")],
            [InstantAnswer((0.0, 1.0)), InstantAnswer((1.0,))],
            id="more series than are read",
        ),
        pytest.param(
            [{"metric": {LABEL: "0"}, "histogram": [0, {"count": "1"}]}, series("1")],
            [InstantAnswer(error="result_type"), InstantAnswer((1.0,))],
            id="a native histogram",
        ),
        pytest.param(
            [series("0", "x"), series("1", "+Inf")],
            [InstantAnswer(error="result_type"), InstantAnswer((math.inf,))],
            id="no number",
        ),
    ],
)
def test_answers_are_told_apart(result: Sequence[Any], answers: Sequence[InstantAnswer]) -> None:
    assert split(result, 2) == answers


def test_nan_is_passed_on() -> None:
    np.testing.assert_array_equal(split([series("0", "NaN")], 1)[0].values, [math.nan])


@pytest.mark.parametrize(
    "result",
    [
        pytest.param([{"metric": {}, "value": [0, "1"]}], id="no label"),
        pytest.param([series("2")], id="another's"),
        pytest.param([series("x")], id="no number"),
        pytest.param([0, "1"], id="a scalar"),
        pytest.param([{}], id="no metric"),
    ],
)
def test_what_answers_no_joined_query_is_none(result: Sequence[Any]) -> None:
    with pytest.raises(NotJoined):
        split(result, 2)


@pytest.mark.parametrize(
    ("counts", "large"),
    [
        pytest.param([5, 0], (0,), id="one is large"),
        pytest.param([1, 4], (1,), id="the last one is"),
    ],
)
def test_an_answer_that_may_be_cut_names_the_large_ones(counts: Sequence[int], large: tuple[int, ...]) -> None:
    result = [series(str(index)) for index, count in enumerate(counts) for _ in range(count)]
    with pytest.raises(Truncated) as caught:
        split(result, 2)
    assert caught.value.large == large


def test_full_answers_are_not_taken_for_cut_ones() -> None:
    result = [series(str(index)) for index in range(50) for _ in range(2)]
    assert len(result) < limit(50)
    assert {answer.values for answer in split(result, 50)} == {(1.0, 1.0)}
