"""Many instant queries as one: their texts joined, and its answer split again. Pure.

Each query gets a label of its own by ``label_replace``, and ``or`` unites them. ``or`` keeps every element of its right
side whose labels are not on its left (Prometheus, "Logical/set binary operators"); so, with that label, it keeps all.
It is a balanced tree: each ``or`` copies its left side, and a chain would copy that of the first query n times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twinops.adapters.prometheus.decode import NOT_DECODABLE
from twinops.adapters.prometheus.decode import instant as decoded
from twinops.core.metrics.queries import InstantAnswer

LABEL = "twinops_query"
"""The label that tells whose answer a series is. A query whose series carry it already may fail when joined."""

MAX_VALUES = 2
"""Series that are read of one instant query: it must give one value, so two show that there are too many."""


class Unusable(ValueError):
    """The answer to joined queries cannot be split."""


class NotJoined(Unusable):
    """The answer is not one to joined queries: a series lacks the label, or has another's."""


class Truncated(Unusable):
    """The answer has as many series as were asked for at most, so some may be missing.

    Attributes:
        large: positions of the queries with more series than are read of one, possibly none.
    """

    def __init__(self, large: Sequence[int]) -> None:
        """Set the positions."""
        super().__init__("truncated")
        self.large = tuple(large)


def join(texts: Sequence[str]) -> str:
    """Return one query for all of these, each of which must be of type instant vector. There is at least one."""
    # The line break ends a comment with which a text may end.
    parts = [f'label_replace(({text}\n),"{LABEL}","{index}","","")' for index, text in enumerate(texts)]
    while len(parts) > 1:
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [f"({left} or {right})" for left, right in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def limit(count: int) -> int:
    """Return for how many series at most to ask where so many queries are joined.

    One more than is needed, so that a full answer cannot be mistaken for a truncated one.
    """
    return MAX_VALUES * count + 1


def split(result: Sequence[Any], count: int) -> list[InstantAnswer]:
    """Return the answer to each of ``count`` joined queries, in their order.

    Args:
        result: the ``result`` of a vector, as parsed from JSON.
        count: number of queries.

    Raises:
        NotJoined: a series is none of these queries'.
        Truncated: the answer may be incomplete.
    """
    parts: list[list[Any]] = [[] for _ in range(count)]
    try:
        for series in result:
            parts[int(series["metric"][LABEL])].append(series)
    except NOT_DECODABLE as error:
        raise NotJoined from error
    if len(result) >= limit(count):
        raise Truncated([index for index, part in enumerate(parts) if len(part) > MAX_VALUES])
    return [_answer(part) if part else _NOTHING for part in parts]


_NOTHING = InstantAnswer()


def _answer(part: list[Any]) -> InstantAnswer:
    try:
        return decoded(part[:MAX_VALUES])
    except NOT_DECODABLE:
        return InstantAnswer(error="result_type")
