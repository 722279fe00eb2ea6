"""Quantiles of classic histograms that cannot be interpolated, and the bounds that are known instead.

``histogram_quantile`` interpolates within the bucket in which the quantile lies. In the first bucket that holds any
observation it is only known that the quantile lies between the bounds of that bucket. Where the bounds are meant for
another unit (seconds in buckets of milliseconds) that bucket holds every observation. In the last bucket, which is
open, the result is the largest finite bound, and the quantile lies somewhere above it.

Let ``B`` be the cumulative counts by ``le``: ``min(B > 0)`` is the count of the first filled bucket, ``max(B)`` that of
all. The quantile lies in the first filled bucket if ``min(B > 0) / max(B)`` reaches it, and the quantile of exactly
that share is the bucket's upper bound. Source: Prometheus, "Query functions", ``histogram_quantile``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import promql_parser as parser

from twinops.adapters.prometheus.lexing import QUOTED
from twinops.adapters.prometheus.promql import of_largest

_SIGN = re.compile(rf"{QUOTED.pattern}|(?P<call>\bhistogram_quantile\s*+\()|[(){{}}\[\],]", re.DOTALL)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_SMALLEST = "1e-9"


@dataclass(frozen=True, slots=True)
class QuantileTexts:
    """The further queries for one quantile of one histogram.

    Attributes:
        measured: the same query, without a result where the quantile lies in the first filled bucket.
        bounds: the bounds of that bucket, as two values; both are the largest finite bound where that is the open one.
        past: as ``measured``, and without a result where the quantile lies in the open bucket either.
    """

    measured: str = ""
    bounds: str = ""
    past: str = ""


def quantile_texts(promql: str, tree: Any, children: Callable[[Any], Iterable[Any]]) -> QuantileTexts:
    """Return the texts for a query with one ``histogram_quantile`` over counts by ``le`` alone; else empty ones.

    Args:
        promql: the query.
        tree: as parsed.
        children: yields the nodes below a node.
    """
    call = _Call.found(promql) if _is_of_one_histogram(tree, children) else None
    if call is None or not 0 < call.quantile < 1:
        return QuantileTexts()
    counts = call.counts
    unsupported = f"min without (le) ({counts} > 0) >= {call.quantile!r} * max without (le) ({counts})"
    measured = call.over(f"{counts} unless ignoring (le) ({unsupported})")
    most, least = call.at(f"scalar(min({counts} > 0) / max({counts}))"), call.at(_SMALLEST)
    end = "\n" if "#" in promql else ""
    return QuantileTexts(
        measured,
        f'label_replace({most}{end}, "bound", "most", "", "") or label_replace({least}{end}, "bound", "least", "", "")',
        f"({measured}{end}) < ({of_largest(promql)}{end})",
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """The one call of ``histogram_quantile`` in a query, by positions in its text."""

    text: str
    begin: int
    comma: int
    end: int

    @classmethod
    def found(cls, text: str) -> _Call | None:
        """Return the first call in the text, None where it has none with two arguments."""
        depth, begin, comma = 0, -1, -1
        for sign in _SIGN.finditer(text):
            if sign.group("call") and begin < 0:
                depth, begin = 1, sign.end()
            elif begin < 0:
                continue
            elif sign.group() in _OPENING or sign.group("call"):
                depth += 1
            elif sign.group() in _CLOSING:
                depth -= 1
                if depth == 0:
                    return cls(text, begin, comma, sign.start()) if comma > 0 else None
            elif sign.group() == "," and depth == 1 and comma < 0:
                comma = sign.start()
        return None

    @property
    def quantile(self) -> float:
        """The first argument, NaN where it is no number."""
        try:
            return float(self.text[self.begin : self.comma])
        except ValueError:
            return math.nan

    @property
    def counts(self) -> str:
        """The second argument, in brackets."""
        counts = self.text[self.comma + 1 : self.end].strip()
        # The bracket must not become part of a comment.
        return f"({counts}\n)" if "#" in counts else f"({counts})"

    def over(self, counts: str) -> str:
        """Return the query with other counts."""
        return f"{self.text[: self.comma + 1]} {counts}{self.text[self.end :]}"

    def at(self, quantile: str) -> str:
        """Return the query with another quantile."""
        return f"{self.text[: self.begin]}{quantile}{self.text[self.comma :]}"


def _is_of_one_histogram(tree: Any, children: Callable[[Any], Iterable[Any]]) -> bool:
    """Tell whether the query has exactly one ``histogram_quantile``, of a literal and of counts by ``le`` alone."""
    calls, nodes = [], [tree]
    while nodes:
        node = nodes.pop()
        nodes += children(node)
        if isinstance(node, parser.Call):
            if node.func.name == "scalar":
                return False
            calls += [node] if node.func.name == "histogram_quantile" else []
    if len(calls) != 1 or not isinstance(calls[0].args[0], parser.NumberLiteral):
        return False
    counts = calls[0].args[1]
    while isinstance(counts, parser.ParenExpr):
        counts = counts.expr
    return _by_le_alone(counts) and _has_buckets(counts, children)


def _by_le_alone(node: Any) -> bool:
    modifier = node.modifier if isinstance(node, parser.AggregateExpr) else None
    return modifier is not None and modifier.type == parser.AggModifierType.By and list(modifier.labels) == ["le"]


def _has_buckets(tree: Any, children: Callable[[Any], Iterable[Any]]) -> bool:
    """Tell whether the histogram is a classic one; native ones have no series of buckets."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        nodes += children(node)
        if isinstance(node, parser.VectorSelector) and (node.name or "").endswith("_bucket"):
            return True
    return False
