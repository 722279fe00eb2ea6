"""Reading PromQL: which series a query takes, and the look-ups that follow from them.

The texts of selectors are built here from the parsed matchers: the parser's own rendering does not
escape quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import promql_parser as parser

from twinops.adapters.prometheus.promql import of_largest, quoted, without_backticks
from twinops.services.ports import Inspection

MAX_SELECTORS = 8
"""Look-ups are asked for at most so many selectors of one query."""

_MAX_STEPS = 60
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The parser's operators cannot be keys.
_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


@lru_cache(maxsize=8192)
def inspect(promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
    """Parse a rendered query and derive the look-ups that go with it.

    The newest sample of a selector is found by ``timestamp()``. Where the series has ended, its last
    sample is searched for in the last ``stale_after_seconds``, at the pace of scraping. A value is as
    fresh as the oldest of its necessary parts; of the two sides of ``or`` the newer one counts, and a
    constant side is always fresh. Series that are only looked at for being absent do not count.

    With 1 in place of its quantile, ``histogram_quantile`` gives the upper bound of the last bucket that holds an
    observation, and the largest finite bound when that is the open one (Prometheus, "Query functions"). Within a
    closed bucket any lower quantile lies below; so the two are equal only in the open one.

    A query that the parser refuses gives a warning and no look-ups: Prometheus may know more than the
    parser does, so its word decides.
    """
    try:
        # The parser reads escapes in raw strings, too, where Prometheus knows none.
        expression = parser.parse(without_backticks(promql))
    except ValueError as error:
        return Inspection(warning=_first_line(error))
    step = max(scrape_interval_seconds, math.ceil(stale_after_seconds / _MAX_STEPS))
    freshness = _freshness(expression, f"[{stale_after_seconds}s:{step}s]")
    selectors = list(dict.fromkeys(_selectors(expression)))[:MAX_SELECTORS]
    window = f"[{max(stale_after_seconds, 300)}s]"
    return Inspection(
        freshness=freshness,
        presence=MappingProxyType({text: f"count(present_over_time({text}{window}))" for text in selectors}),
        top=of_largest(promql),
    )


def _first_line(error: ValueError) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else "not valid PromQL"


def _freshness(node: Any, window: str) -> str:
    """Return the query for the newest sample behind a node; empty when no series stands behind it."""
    if isinstance(node, parser.VectorSelector):
        newest = f"max(timestamp({_text(node)}))"
        return f"({newest} or max_over_time({newest}{window}))"
    if isinstance(node, parser.Call) and node.func.name.startswith("absent"):
        return ""
    if isinstance(node, parser.BinaryExpr) and str(node.op) == "unless":
        return _freshness(node.lhs, window)
    parts = [_freshness(child, window) for child in _children(node)]
    if isinstance(node, parser.BinaryExpr) and str(node.op) == "or":
        return _combined("max", [part or "vector(time())" for part in parts])
    return _combined("min", [part for part in parts if part])


def _combined(operation: str, parts: list[str]) -> str:
    different = list(dict.fromkeys(parts))
    if len(different) <= 1:
        return "".join(different)
    # Labels keep the parts apart: `or` drops elements whose labels are already there.
    labelled = [f'label_replace({part}, "part", "{index}", "", "")' for index, part in enumerate(different)]
    return f"{operation}({' or '.join(labelled)})"


def _selectors(node: Any) -> Iterator[str]:
    if isinstance(node, parser.VectorSelector):
        yield _text(node)
        return
    for child in _children(node):
        yield from _selectors(child)


def _children(node: Any) -> list[Any]:
    if isinstance(node, parser.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, parser.Call):
        return list(node.args)
    if isinstance(node, parser.MatrixSelector):
        return [node.vector_selector]
    if isinstance(node, parser.AggregateExpr):
        return [node.expr, *([node.param] if node.param is not None else [])]
    if isinstance(node, (parser.ParenExpr, parser.UnaryExpr, parser.SubqueryExpr)):
        return [node.expr]
    return []


def _text(selector: Any) -> str:
    """Return the selector as PromQL, without ``offset`` and ``@``: whether a series lives is asked as of now."""
    groups = [group for group in (selector.matchers.matchers, *selector.matchers.or_matchers) if group]
    matchers = " or ".join(",".join(map(_matcher, group)) for group in groups)
    return f"{selector.name or ''}{{{matchers}}}" if matchers or not selector.name else selector.name


def _matcher(matcher: Any) -> str:
    name = matcher.name if _PLAIN_NAME.fullmatch(matcher.name) else quoted(matcher.name)
    return f"{name}{_OPERATORS[str(matcher.op)]}{quoted(matcher.value)}"
