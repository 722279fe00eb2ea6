"""The port ``MetricsBackend`` over prometheus-api-client, off the event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import structlog
from prometheus_api_client import PrometheusConnect

from twinops.adapters.prometheus import decode
from twinops.adapters.prometheus.slow_queries import SlowAskers, SlowQueries
from twinops.adapters.prometheus.transport import NoAnswer, QueryFailed, Transport
from twinops.api.base import utc
from twinops.controllers.shared.requester import requester
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.engine.fair_slots import FairSlots, Key, Slot
from twinops.errors import MetricsBusy, MetricsUnavailable, SourceInvalid
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery, SourceAccess

MAX_POINTS = 10_000
"""Points of one range query; Prometheus itself refuses more than 11,000."""

# Where one value is wanted, two are enough to know that there are too many; over time one may follow another.
_MAX_VALUES = 2
_MAX_SERIES = 100

# Prometheus gives up on a slow query before we give up on Prometheus: then only that query fails.
_EVALUATION_SHARE = 0.8
# Connecting, sending and reading each have their own time-out within a thread; this one bounds them together.
_GRACE_SECONDS = 1.0

_HISTORY_PATIENCE_SECONDS = 300.0
"""Queries about the past wait so long for their turn: live ones go first, and nobody waits for the past."""

_UNFINISHED = frozenset({"timeout", "busy"})
"""Errors that say nothing about the query's text, nor about whether the source is well."""

_WITHOUT_A_VALUE = _UNFINISHED | {"too_large"}

_NOT_DECODABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)

_Answer = TypeVar("_Answer", InstantAnswer, RangeAnswer)

log = structlog.get_logger()


class PrometheusBackend:
    """Asks Prometheus and what speaks its HTTP API.

    Every source has its own connections and threads, so that one that hangs does not hold up another. So
    has the same source before and after a change of its spec or credentials: syncs under way end with what
    they began with.

    Within a source namespaces take turns, and within these twins; none holds all connections, see ``FairSlots``.
    Live queries go before those about the past. A query that timed out is left alone for a while.

    Args:
        connections: requests that run at once against one source.

    Attributes:
        probes: asks a source whether it answers, whatever else is being asked of it.
    """

    def __init__(self, connections: int = 8) -> None:
        self._connections = connections
        self._endpoints: dict[str, list[_Endpoint]] = {}
        self._unnamed = itertools.count()
        self.probes = Probes(self)

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer every query as of ``at`` (Unix seconds), in their order. A bad query fails alone.

        ``error`` of an answer is Prometheus' ``errorType`` (``bad_data``, ``execution``, ``timeout``,
        ``canceled``), ``too_large``, ``result_type`` when the result is neither a number nor a vector of them,
        ``PARTIAL``, or ``busy`` when its turn did not come.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
            MetricsBusy: every query timed out, or was not asked.
            SpecError: reason ``MetricsSourceForbidden`` (HTTP 401, 403) or ``MetricsSourceInvalid``.
        """
        with self._endpoint(source) as endpoint:
            who = self._asker()
            answers = await _all([endpoint.ask_instant(who, text, at) for text in queries])
        waited = sum(answer.error == "busy" for answer in answers)
        if waited:
            log.warning("queries were not asked", source=source.name, namespace=who[0], uid=who[1], count=waited)
        return answers

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        """Answer every range query, in their order. A bad query fails alone. Times are whole seconds.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
            SpecError: reason ``MetricsSourceForbidden`` (HTTP 401, 403) or ``MetricsSourceInvalid``.
            ValueError: a query asks for more than ``MAX_POINTS``.
        """
        for query in queries:
            if (query.end - query.start) / query.step >= MAX_POINTS:
                raise ValueError(f"more than {MAX_POINTS} points: {query.start} to {query.end} by {query.step}")
        with self._endpoint(source) as endpoint:
            who = self._asker()
            return await _all([endpoint.ask_range(who, query) for query in queries])

    async def probe(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer like ``instant``, over a connection that nothing else can take."""
        with self._endpoint(source) as endpoint:
            return await _all([endpoint.probe(text, at) for text in queries])

    def forget(self, name: str) -> None:
        """Close the connections of a source that is gone."""
        for endpoint in self._endpoints.pop(name, []):
            endpoint.close()

    async def aclose(self) -> None:
        """Close everything. Requests under way end within their time-out."""
        for name in list(self._endpoints):
            self.forget(name)

    def _asker(self) -> Key:
        """Return who asks; what no twin asks for shares with nobody."""
        return requester() or ("", str(next(self._unnamed)))

    @contextmanager
    def _endpoint(self, source: SourceAccess) -> Iterator[_Endpoint]:
        """Lend the endpoint for exactly this access. What changes have left behind is closed, never while in use."""
        known = self._endpoints.get(source.name, [])
        endpoint = next((one for one in known if one.source == source), None) or _Endpoint(source, self._connections)
        others = [one for one in known if one is not endpoint]
        # The last used one stands last. It and the one before it stay: syncs from before and after a change take turns.
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
    """The part of ``PrometheusBackend`` that checks whether a source answers."""

    def __init__(self, backend: PrometheusBackend) -> None:
        self._backend = backend

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer like ``PrometheusBackend.instant``, over a connection that nothing else can take."""
        return await self._backend.probe(source, queries, at)


def _instant_error(failure: QueryFailed) -> InstantAnswer:
    # Of now there is always something, if only the stores can be reached.
    kind = PARTIAL if failure.kind == NO_STORE else failure.kind
    return InstantAnswer(error=kind, error_position=failure.position)


def _range_error(failure: QueryFailed) -> RangeAnswer:
    return RangeAnswer(error=failure.kind)


async def _all(questions: Sequence[Awaitable[_Answer]]) -> Sequence[_Answer]:
    """Ask everything at once. The first failure of the endpoint ends the whole batch, without further waiting.

    Raises:
        MetricsBusy: not a single query was finished.
    """
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        answers = await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = {answer.error for answer in answers}
    if errors & _UNFINISHED and errors <= _WITHOUT_A_VALUE:
        next_attempt = min(getattr(answer, "next_attempt", 0.0) for answer in answers)
        again = f"; the next attempt is at {utc(next_attempt):%H:%M:%S} UTC" if next_attempt else ""
        raise MetricsBusy(f"the metrics source did not finish any query within its time-out{again}")
    return answers


class _Endpoint:
    """One source with its connections and threads.

    Attributes:
        users: batches that are being asked.
    """

    def __init__(self, source: SourceAccess, connections: int) -> None:
        self.source = source
        self.users = 0
        self._timeout = float(source.spec.timeout_seconds)
        self._evaluation = f"{math.ceil(self._timeout * _EVALUATION_SHARE * 1000)}ms"
        try:
            self._transport = Transport(source, connections)
        except (OSError, ValueError) as error:
            raise SourceInvalid(f"the CA bundle of metrics source {source.name} is not valid PEM") from error
        self._client = PrometheusConnect(source.spec.url.rstrip("/"), session=self._transport, method="POST")
        # One more than there are places, for the probe.
        self._threads = ThreadPoolExecutor(connections + 1, thread_name_prefix=f"metrics-{source.name}")
        spare = connections // 4
        self._places = FairSlots(connections, spare=(min(spare, 1), spare), most=(connections, -(-connections // 2)))
        self._slow = SlowQueries()
        self._slow_askers = SlowAskers()
        self._answered_at = 0.0

    def close(self) -> None:
        """Take no further requests; threads end with those they have.

        None is cancelled: a sync that waits for one could not tell that from being cancelled itself.
        """
        self._threads.shutdown(wait=False)
        self._transport.close()

    async def ask_instant(self, who: Key, promql: str, at: float) -> InstantAnswer:
        """Ask one instant query in its turn, unless it timed out a short while ago."""
        wait = self._slow.wait(promql)
        if wait:
            return InstantAnswer(error="timeout", next_attempt=at + wait)
        try:
            place = await self._place(who, self._timeout, background=self._slow_askers.is_slow(who))
        except MetricsBusy:
            return InstantAnswer(error="busy")
        began = time.monotonic()
        try:
            answer = await self._ask(partial(self.instant, promql, at), _instant_error, place)
        except NoAnswer:
            if self._answered_at <= began:
                raise
            # Others were answered meanwhile: it is the query that hangs, not the source.
            answer = InstantAnswer(error="timeout")
        if answer.error == "timeout":
            self._slow_askers.failed(who)
            return dataclasses.replace(answer, next_attempt=at + self._slow.failed(promql))
        self._slow.answered(promql)
        return answer

    async def ask_range(self, who: Key, query: RangeQuery) -> RangeAnswer:
        """Ask one range query when no instant query waits."""
        place = await self._place(who, _HISTORY_PATIENCE_SECONDS, background=True)
        return await self._ask(partial(self.range, query), _range_error, place)

    async def probe(self, promql: str, at: float) -> InstantAnswer:
        """Ask one instant query at once."""
        return await self._ask(partial(self.instant, promql, at), _instant_error, None)

    async def _ask(
        self, call: Callable[[], _Answer], failed: Callable[[QueryFailed], _Answer], place: Slot | None
    ) -> _Answer:
        """Run a blocking call in a thread of this source, bounded in time.

        A thread that outlives its time-out keeps its place until it ends: hung threads show as
        MetricsUnavailable, they never pile up.
        """
        try:
            future = self._threads.submit(call)
        except RuntimeError as error:
            if place is not None:
                place.release()
            raise MetricsUnavailable(f"metrics source {self.source.name} has just been removed") from error
        loop = asyncio.get_running_loop()
        if place is not None:
            future.add_done_callback(lambda _: _give_back(loop, place))
        try:
            async with asyncio.timeout(self._timeout + _GRACE_SECONDS):
                answer = await asyncio.wrap_future(future)
        except QueryFailed as failure:
            answer = failed(failure)
        except TimeoutError as error:
            raise NoAnswer(f"metrics source {self.source.name}: no answer within {self._timeout:.0f} s") from error
        self._answered_at = time.monotonic()
        return answer

    def instant(self, promql: str, at: float) -> InstantAnswer:
        """Ask one instant query. Blocks."""
        params = {"time": f"{at:.3f}", **self._limits(_MAX_VALUES)}
        return self._decoded(decode.instant, self._client.custom_query(promql, params=params))

    def range(self, query: RangeQuery) -> RangeAnswer:
        """Ask one range query. Blocks."""
        result = self._client.custom_query_range(
            query.promql,
            start_time=datetime.fromtimestamp(query.start, UTC),
            end_time=datetime.fromtimestamp(query.end, UTC),
            step=f"{query.step:g}",
            params=self._limits(_MAX_SERIES),
        )
        return self._decoded(decode.ranges, result)

    def _limits(self, series: int) -> dict[str, str]:
        return {"timeout": self._evaluation, "limit": str(series)}

    @staticmethod
    def _decoded(decoder: Callable[[list[Any]], _Answer], result: list[Any]) -> _Answer:
        try:
            return decoder(result)
        except _NOT_DECODABLE as error:
            raise QueryFailed("result_type") from error

    async def _place(self, who: Key, patience: float, *, background: bool) -> Slot:
        try:
            async with asyncio.timeout(patience):
                return await self._places.take(who, background=background)
        except TimeoutError as error:
            raise MetricsBusy(
                f"metrics source {self.source.name}: other queries have kept its connections busy for {patience:.0f} s"
            ) from error


def _give_back(loop: asyncio.AbstractEventLoop, place: Slot) -> None:
    """Release a place from the thread that is done with it."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(place.release)
