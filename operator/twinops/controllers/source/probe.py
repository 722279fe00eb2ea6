"""One small query to a MetricsSource, and what is wrong when it is not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.errors import MetricsUnavailable, SpecError
from twinops.ports.kubernetes import Sources
from twinops.ports.metrics import SourceAccess

PROBE_SECONDS = 10.0
"""A source that takes longer for a probe does not answer, however long its queries may take."""

PROBE = "vector(1)"
"""Needs no series at all, so that only the endpoint itself is tested."""

_UNAVAILABLE = "MetricsBackendUnavailable"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a source cannot be used.

    Attributes:
        reason: CamelCase, of the condition ``Ready``.
        message: what is wrong, and how to mend it.
        silent: it did not answer; else there is something that a person must mend.
    """

    reason: str
    message: str
    silent: bool


class Prober(Protocol):
    """Sends probes, over connections that the queries of twins do not use."""

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer every query. Raises MetricsUnavailable and SpecError as ``MetricsBackend`` does."""
        ...


async def probe(name: str, sources: Sources, prober: Prober, now: float) -> Problem | None:
    """Query a source, and return what is wrong with it, None when it answers.

    Args:
        name: of the MetricsSource.
        sources: reads it and its Secrets.
        prober: sends the query.
        now: Unix seconds, the time at which the query is evaluated.

    Raises:
        ClusterError: the API server did not give the source or its Secrets.
    """
    try:
        access = await sources.access(name)
        async with asyncio.timeout(PROBE_SECONDS):
            answer = (await prober.instant(access, [PROBE], now))[0]
    except SpecError as error:
        return Problem(error.reason, str(error), silent=False)
    except MetricsUnavailable as error:
        return Problem(_UNAVAILABLE, str(error), silent=True)
    except TimeoutError:
        why = f"metrics source {name}: no answer to {PROBE} within {PROBE_SECONDS:.0f} s"
        return Problem(_UNAVAILABLE, why, silent=True)
    # A partial answer will do: whether all stores behind the endpoint answer is judged for each metric.
    if answer.error and answer.error != PARTIAL:
        return Problem("QueryRefused", f"the endpoint refuses {PROBE}: {answer.error}", silent=False)
    return None
