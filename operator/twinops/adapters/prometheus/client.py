"""The port ``MetricsBackend``: queries to Prometheus and compatible backends, shared fairly among twins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog

from twinops.adapters.prometheus.endpoint import Endpoint
from twinops.api.base import utc
from twinops.core.metrics.queries import InstantAnswer
from twinops.engine.fair_semaphore import Key
from twinops.engine.requester import requester
from twinops.errors import MetricsBusy
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

MAX_POINTS = 10_000
"""Points of one range query; Prometheus itself refuses more than 11,000."""

_UNFINISHED = frozenset({"timeout", "busy"})
"""Errors that show neither a wrong query nor an unhealthy source."""

_WITHOUT_A_VALUE = _UNFINISHED | {"too_large"}

_Answer = TypeVar("_Answer", InstantAnswer, RangeAnswer)

log = structlog.get_logger()


class PrometheusBackend:
    """Sends queries to any number of metrics sources.

    Every source has its own connections and threads (``Endpoint``), so that one that hangs does not block another. A
    changed spec or credential gives a new endpoint; running syncs finish with the one they began with.

    Instant queries of many twins are asked together, see ``Batcher``; they go before range queries. Within a source,
    namespaces and within them twins are served in turn, and none gets all connections, see ``FairSemaphore``. A query
    that timed out is not sent again for a while.

    Args:
        connections: concurrent requests to one source.

    Attributes:
        probes: checks whether a source answers, over a connection of its own.
    """

    def __init__(self, connections: int = 8) -> None:
        self._connections = connections
        self._endpoints: dict[str, list[Endpoint]] = {}
        self._unnamed = itertools.count()
        self.probes = Probes(self)

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        """Answer every query as of ``at`` (Unix seconds), in the order given. A failed query fails alone.

        Queries for the same time go in common requests, see ``Batcher``.

        ``error`` of an answer is Prometheus' ``errorType`` (``bad_data``, ``execution``, ``timeout``,
        ``canceled``), ``too_large``, ``result_type`` when the result is neither a number nor a vector of them,
        ``PARTIAL``, or ``busy`` when it waited too long for a connection.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
            MetricsBusy: every query timed out, or was not sent.
            SpecError: reason ``MetricsSourceForbidden`` (HTTP 401, 403) or ``MetricsSourceInvalid``.
        """
        with self._endpoint(source) as endpoint:
            who = self._requester()
            answers = _unless_busy(await endpoint.batcher.ask(who, queries, at, built_in))
        waited = sum(answer.error == "busy" for answer in answers)
        if waited:
            log.warning("queries were not asked", source=source.name, namespace=who[0], uid=who[1], count=waited)
        return answers

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        """Answer every range query, in the order given. A failed query fails alone. Times are whole seconds.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
            SpecError: reason ``MetricsSourceForbidden`` (HTTP 401, 403) or ``MetricsSourceInvalid``.
            ValueError: a query asks for more than ``MAX_POINTS``.
        """
        for query in queries:
            if (query.end - query.start) / query.step >= MAX_POINTS:
                raise ValueError(f"more than {MAX_POINTS} points: {query.start} to {query.end} by {query.step}")
        with self._endpoint(source) as endpoint:
            who = self._requester()
            return _unless_busy(await _all([endpoint.ask_range(who, query) for query in queries]))

    async def probe(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer like ``instant``, over a connection that is reserved for probes."""
        with self._endpoint(source) as endpoint:
            return _unless_busy(await _all([endpoint.ask_one(text, at, None) for text in queries]))

    def forget(self, name: str) -> None:
        """Close the connections of a deleted source."""
        for endpoint in self._endpoints.pop(name, []):
            endpoint.close()

    async def aclose(self) -> None:
        """Close all connections. Running requests end within their time-out."""
        for name in list(self._endpoints):
            self.forget(name)

    def _requester(self) -> Key:
        """Return the key of the twin that is being synced; a new key for each batch outside of a sync."""
        return requester() or ("", str(next(self._unnamed)))

    @contextmanager
    def _endpoint(self, source: SourceAccess) -> Iterator[Endpoint]:
        """Lend the endpoint for exactly this access, and close unused endpoints of former specs."""
        known = self._endpoints.get(source.name, [])
        endpoint = next((one for one in known if one.source == source), None) or Endpoint(source, self._connections)
        others = [one for one in known if one is not endpoint]
        # Most recently used last. The last two stay: syncs from before and after a change alternate between them.
        unused = [one for one in others[:-1] if not one.users]
        for one in unused:
            one.close()
        self._endpoints[source.name] = [*(one for one in others if one not in unused), endpoint]
        endpoint.users += 1
        try:
            yield endpoint
        finally:
            endpoint.users -= 1


class Probes:
    """The part of ``PrometheusBackend`` for health checks. Satisfies ``MetricsBackend.instant``."""

    def __init__(self, backend: PrometheusBackend) -> None:
        self._backend = backend

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        """Answer like ``PrometheusBackend.instant``, each query alone, over a connection reserved for probes."""
        del built_in
        return await self._backend.probe(source, queries, at)


async def _all(questions: Sequence[Awaitable[_Answer]]) -> Sequence[_Answer]:
    """Await all answers. The first error of the endpoint cancels the rest of the batch."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _unless_busy(answers: Sequence[_Answer]) -> Sequence[_Answer]:
    """Return the answers.

    Raises:
        MetricsBusy: no query was finished.
    """
    errors = {answer.error for answer in answers}
    if errors & _UNFINISHED and errors <= _WITHOUT_A_VALUE:
        next_attempt = min(getattr(answer, "next_attempt", 0.0) for answer in answers)
        again = f"; the next attempt is at {utc(next_attempt):%H:%M:%S} UTC" if next_attempt else ""
        raise MetricsBusy(f"the metrics source did not finish any query within its time-out{again}")
    return answers
