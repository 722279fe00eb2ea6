"""Whether an answer is complete, or lacks the data of a store that could not be reached.

Thanos, Cortex, Mimir and Prometheus with ``remote_read`` answer with status ``success`` and ``warnings`` when a store
does not answer; VictoriaMetrics with ``isPartial: true``. Such an answer has a value, which is too small.

Two kinds of warnings leave the value complete: PromQL's own annotations of a query
(Prometheus, ``util/annotations``: the texts begin with ``PromQL warning:`` or, before 3.0, ``PromQL info:``), and that
our own ``limit`` cut the list of series. Any other warning counts as partial; ``infos`` never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinops.core.metrics.queries import PARTIAL
from twinops.ports.metrics import NO_STORE

_OF_PROMQL = ("PromQL warning:", "PromQL info:")
_OUR_OWN_LIMIT = "results truncated due to limit"
# Thanos, for a time without any store; also while no store can be reached.
_NO_STORE = "No StoreAPIs matched for this query"


def shortcoming(document: Mapping[str, Any]) -> str:
    """Return ``PARTIAL``, ``NO_STORE`` (no store has data for the time), or empty for a complete answer.

    Args:
        document: the body of a successful answer.
    """
    if document.get("isPartial") not in (None, False):
        return PARTIAL
    warnings = document.get("warnings") or []
    if not isinstance(warnings, list):
        return PARTIAL
    serious = [text for text in warnings if not _harmless(text)]
    if serious and not _result(document) and all(text == _NO_STORE for text in serious):
        return NO_STORE
    return PARTIAL if serious else ""


def _harmless(warning: object) -> bool:
    return isinstance(warning, str) and (warning.startswith(_OF_PROMQL) or warning == _OUR_OWN_LIMIT)


def _result(document: Mapping[str, Any]) -> object:
    data = document.get("data")
    return data.get("result") if isinstance(data, Mapping) else None
