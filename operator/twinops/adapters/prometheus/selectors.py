"""Parses PromQL: which series a query selects, and the look-ups that are derived from them.

The texts of selectors are built here from the parsed matchers, since the parser's own rendering does not escape
quotes. The parser gets queries without the content of their strings, and none that is too complex: see ``lexing``.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import promql_parser as parser

from twinops.adapters.prometheus.lexing import too_complex, without_strings
from twinops.adapters.prometheus.memo import Memo
from twinops.adapters.prometheus.promql import of_largest, quoted, without_backticks
from twinops.adapters.prometheus.quantiles import QuantileTexts, quantile_texts
from twinops.core.metrics.queries import Inspection

MAX_SELECTORS = 8
"""Most selectors of one query that are looked up."""

MAX_FRESHNESS = 64 * 1024
"""Most characters of the look-up for the newest sample; a query with a longer one gets a warning and no look-ups."""

MAX_PRESENCE = 64 * 1024
"""Most characters of all selectors that are looked up."""

MAX_QUANTILE = 16 * 1024
"""Most characters of a query whose quantile is looked up, since the look-ups repeat the query several times."""

MEMORY_BYTES = 32 * 1024 * 1024
"""Most bytes of cached inspections, queries and look-ups together."""

_MAX_STEPS = 60
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The parser's operators cannot be keys.
_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


_memo = Memo[tuple[str, int, int], Inspection](MEMORY_BYTES)


def inspect(promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
    """Parse a rendered query and derive the look-ups that go with it. Results are cached.

    The newest sample of a selector is found by ``timestamp()``. Where the series has ended, its last
    sample is searched for in the last ``stale_after_seconds``, in steps of the scrape interval. A value is as
    fresh as the oldest of its necessary parts; of the two sides of ``or`` the newer one counts, and a
    constant side is always fresh. Series within ``absent()`` and on the right of ``unless`` do not count.

    With 1 in place of its quantile, ``histogram_quantile`` gives the upper bound of the last bucket that holds an
    observation, and the largest finite bound when that is the open one (Prometheus, "Query functions"). Within a
    closed bucket any lower quantile lies below; so the two are equal only in the open one.

    A query that the parser refuses, or that is too complex to be parsed, gives a warning and no look-ups; Prometheus
    may still accept it.
    """
    key = (promql, stale_after_seconds, scrape_interval_seconds)
    known = _memo.get(key)
    if known is None:
        known = _inspect(*key)
        quantile = (known.top, known.measured, known.bounds, known.past)
        texts = (promql, known.freshness, known.warning, *quantile, *known.presence, *known.presence.values())
        _memo.put(key, known, size=sum(map(sys.getsizeof, texts)))
    return known


def _inspect(promql: str, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
    problem = too_complex(promql)
    if problem:
        return Inspection(warning=problem)
    # The parser takes backslashes in raw strings for escapes; Prometheus does not.
    text, strings = without_strings(without_backticks(promql))
    expression = _parse(text)
    if isinstance(expression, Inspection):
        return expression
    step = max(scrape_interval_seconds, math.ceil(stale_after_seconds / _MAX_STEPS))
    reader = _Reader(strings, f"[{stale_after_seconds}s:{step}s]")
    freshness = reader.freshness(expression)
    if len(freshness) > MAX_FRESHNESS:
        return Inspection(warning="it reads too many different series")
    selectors = _first(dict.fromkeys(reader.selectors(expression)))
    window = f"[{max(stale_after_seconds, 300)}s]"
    short = len(promql) <= MAX_QUANTILE
    quantile = quantile_texts(promql, expression, _children) if short else QuantileTexts()
    return Inspection(
        freshness=freshness,
        presence=MappingProxyType({text: f"count(present_over_time({text}{window}))" for text in selectors}),
        top=of_largest(promql) if short else "",
        measured=quantile.measured,
        bounds=quantile.bounds,
        past=quantile.past,
    )


def _first(selectors: Iterable[str]) -> list[str]:
    kept = list(itertools.islice(selectors, MAX_SELECTORS))
    lengths = itertools.accumulate(map(len, kept))
    return [selector for selector, length in zip(kept, lengths, strict=True) if length <= MAX_PRESENCE]


def _parse(text: str) -> Any:
    """Return the syntax tree, or the inspection of a query that the parser refuses."""
    try:
        return parser.parse(text)
    except ValueError as error:
        return Inspection(warning=_first_line(error))
    except BaseException as error:
        # A panic of the parser derives from BaseException, in a class that cannot be imported.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            return Inspection(warning=f"our parser fails on it ({type(error).__name__})")
        raise


def _first_line(error: ValueError) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else "not valid PromQL"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Derives look-ups from the syntax tree of one query.

    Attributes:
        strings: the strings of the query, by the numbers that the parser got in their place.
        window: range and step of the search for the last sample of series that have ended.
    """

    strings: Sequence[str]
    window: str

    def freshness(self, node: Any) -> str:
        """Return the query for the time of the newest sample behind a node; empty where the node has no series."""
        if isinstance(node, parser.VectorSelector):
            newest = f"max(timestamp({self._text(node)}))"
            return f"({newest} or max_over_time({newest}{self.window}))"
        if isinstance(node, parser.Call) and node.func.name.startswith("absent"):
            return ""
        if isinstance(node, parser.BinaryExpr) and str(node.op) == "unless":
            return self.freshness(node.lhs)
        parts = [self.freshness(child) for child in _children(node)]
        if isinstance(node, parser.BinaryExpr) and str(node.op) == "or":
            return _combined("max", [part or "vector(time())" for part in parts])
        return _combined("min", [part for part in parts if part])

    def selectors(self, node: Any) -> Iterator[str]:
        """Yield every selector below a node."""
        if isinstance(node, parser.VectorSelector):
            yield self._text(node)
            return
        for child in _children(node):
            yield from self.selectors(child)

    def _text(self, selector: Any) -> str:
        """Return the selector as PromQL, without ``offset`` and ``@``: series are looked up as of now."""
        groups = [group for group in (selector.matchers.matchers, *selector.matchers.or_matchers) if group]
        matchers = " or ".join(",".join(map(self._matcher, group)) for group in groups)
        return f"{selector.name or ''}{{{matchers}}}" if matchers or not selector.name else selector.name

    def _matcher(self, matcher: Any) -> str:
        name = matcher.name if _PLAIN_NAME.fullmatch(matcher.name) else self._string(matcher.name)
        return f"{name}{_OPERATORS[str(matcher.op)]}{self._string(matcher.value)}"

    def _string(self, number: str) -> str:
        """Return the string of the query that this number replaced, quotes included."""
        return self.strings[int(number)] if number.isdecimal() else quoted(number)


def _combined(operation: str, parts: list[str]) -> str:
    different = list(dict.fromkeys(parts))
    if len(different) <= 1:
        return "".join(different)
    # A label for each part, because `or` drops elements of the right side whose labels the left side has, too.
    labelled = [f'label_replace({part}, "part", "{index}", "", "")' for index, part in enumerate(different)]
    return f"{operation}({' or '.join(labelled)})"


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
