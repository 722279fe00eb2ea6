"""Restart states of forecasters, marked with the query that they were learned from.

A state that was learned from another query, perhaps in another unit, must not be resumed from.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from twinops.core.forecast.result import Skill

_MARK = 4
"""Characters before a state in status that identify its query."""


def marked(skills: Sequence[Skill], queries: Mapping[str, str]) -> dict[str, str]:
    """Return the states by metric, with the mark of its metric's query before each.

    Args:
        skills: of a forecast result.
        queries: that the forecaster was learned from, by metric.
    """
    return {one.metric: _mark(queries.get(one.metric, "")) + one.state for one in skills if one.state}


def unmarked(states: Mapping[str, str], queries: Mapping[str, str]) -> dict[str, str]:
    """Return the states that were learned from these queries, without their marks.

    Args:
        states: marked, by metric.
        queries: by metric.
    """
    return {
        metric: text[_MARK:]
        for metric, text in states.items()
        if metric in queries and text[:_MARK] == _mark(queries[metric])
    }


def _mark(promql: str) -> str:
    return base64.b64encode(hashlib.blake2b(promql.encode(), digest_size=3).digest()).decode()
