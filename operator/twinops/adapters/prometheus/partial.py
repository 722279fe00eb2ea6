"""Whether an answer speaks for all that is stored, or only for the part that could be reached.

Thanos, Cortex, Mimir and Prometheus with ``remote_read`` answer with status ``success`` and ``warnings`` when a store
does not answer; VictoriaMetrics with ``isPartial: true``. What comes then is a value all the same, and too small.

Warnings are used for two further things, which leave the value whole: what PromQL itself finds odd about a query
(Prometheus, ``util/annotations``: the texts begin with ``PromQL warning:`` or, before 3.0, ``PromQL info:``), and that
our own ``limit`` cut the list of series. Whatever else is said there, and whatever is not understood, counts as
partial. ``infos`` never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinops.core.metrics.queries import PARTIAL
from twinops.ports.metrics import NO_STORE

_OF_PROMQL = ("PromQL warning:", "PromQL info:")
_OUR_OWN_LIMIT = "results truncated due to limit"
# Thanos, for a time of which no store has anything; also while none of them can be reached.
_NO_STORE = "No StoreAPIs matched for this query"


def shortcoming(document: Mapping[str, Any]) -> str:
    """Return what an answer lacks: ``PARTIAL``, ``NO_STORE`` (no store for its time at all), or nothing.

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
