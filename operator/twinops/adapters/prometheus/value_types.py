"""Which type a query has, as far as our parser knows it."""

from __future__ import annotations

from typing import Any

import promql_parser as parser

from twinops.adapters.prometheus.lexing import too_complex, without_strings
from twinops.adapters.prometheus.memo import Memo
from twinops.adapters.prometheus.promql import without_backticks

MAX_LENGTH = 16 * 1024
"""Characters of a query that is parsed for its type; longer ones count as of unknown type."""

MEMORY_BYTES = 8 * 1024 * 1024
"""Most bytes of remembered types."""

_memo = Memo[int, bool](MEMORY_BYTES)


def is_instant_vector(promql: str) -> bool:
    """Tell whether our parser accepts the query and takes it for an instant vector. Cached; thread-safe."""
    if len(promql) > MAX_LENGTH:
        return False
    key = hash(promql)
    known = _memo.get(key)
    if known is None:
        known = not too_complex(promql) and _is_vector(_parsed(promql))
        _memo.put(key, known, size=0)
    return known


def _parsed(promql: str) -> Any:
    """Return the syntax tree, None where the parser refuses or fails."""
    try:
        return parser.parse(without_strings(without_backticks(promql))[0])
    except BaseException as error:
        # A panic of the parser derives from BaseException, in a class that cannot be imported.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            return None
        raise


def _is_vector(node: Any) -> bool:
    while isinstance(node, (parser.ParenExpr, parser.UnaryExpr)):
        node = node.expr
    if isinstance(node, parser.BinaryExpr):
        return _is_vector(node.lhs) or _is_vector(node.rhs)
    if isinstance(node, parser.Call):
        # The parser's types cannot be compared.
        return str(node.func.return_type) == "ValueType.Vector"
    return isinstance(node, (parser.VectorSelector, parser.AggregateExpr))
