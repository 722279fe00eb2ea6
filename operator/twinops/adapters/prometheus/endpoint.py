"""One metrics source: its connections, threads and back-off, and single queries over them."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from prometheus_api_client import PrometheusConnect

from twinops.adapters.prometheus import decode
from twinops.adapters.prometheus.slow_queries import SlowQueries, SlowRequesters
from twinops.adapters.prometheus.transport import NoAnswer, QueryFailed, Transport
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.engine.fair_semaphore import FairSemaphore, Key, Permit
from twinops.errors import MetricsBusy, MetricsUnavailable, SourceInvalid
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery, SourceAccess

# An instant query must give one value, so two show that there are too many; over a range, series may follow each other.
_MAX_VALUES = 2
_MAX_SERIES = 100

# Prometheus' own time-out is shorter than ours, so that a slow query fails alone.
_EVALUATION_SHARE = 0.8
# Added to the time-out of the thread's request to get the bound of the awaiting task.
_GRACE_SECONDS = 1.0

_HISTORY_PATIENCE_SECONDS = 300.0
"""How long a range query waits for a connection; instant queries go first."""

_NOT_DECODABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)

_Answer = TypeVar("_Answer", InstantAnswer, RangeAnswer)


class Endpoint:
    """The connections and threads of one source, for one spec and its credentials.

    Args:
        source: where to send queries.
        connections: concurrent requests, besides one for probes.

    Attributes:
        users: number of running batches.

    Raises:
        SourceInvalid: the CA bundle is not valid PEM.
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
        # One more than there are permits, for the probe.
        self._threads = ThreadPoolExecutor(connections + 1, thread_name_prefix=f"metrics-{source.name}")
        spare = connections // 4
        self._permits = FairSemaphore(
            connections, spare=(min(spare, 1), spare), most=(connections, -(-connections // 2))
        )
        self._slow = SlowQueries()
        self._slow_requesters = SlowRequesters()
        self._answered_at = 0.0

    def close(self) -> None:
        """Refuse further requests; running ones finish.

        They are not cancelled: a waiting sync could not distinguish that from its own cancellation.
        """
        self._threads.shutdown(wait=False)
        self._transport.close()

    async def ask_instant(self, who: Key, promql: str, at: float) -> InstantAnswer:
        """Send one instant query when a connection is free, unless it timed out recently."""
        wait = self._slow.wait(promql)
        if wait:
            return InstantAnswer(error="timeout", next_attempt=at + wait)
        try:
            permit = await self._permit(who, self._timeout, background=self._slow_requesters.is_slow(who))
        except MetricsBusy:
            return InstantAnswer(error="busy")
        began = time.monotonic()
        try:
            answer = await self._ask(partial(self.instant, promql, at), _instant_error, permit)
        except NoAnswer:
            if self._answered_at <= began:
                raise
            # Others were answered meanwhile: the query hangs, not the source.
            answer = InstantAnswer(error="timeout")
        if answer.error == "timeout":
            self._slow_requesters.failed(who)
            return dataclasses.replace(answer, next_attempt=at + self._slow.failed(promql))
        self._slow.answered(promql)
        return answer

    async def ask_range(self, who: Key, query: RangeQuery) -> RangeAnswer:
        """Send one range query when no instant query waits."""
        permit = await self._permit(who, _HISTORY_PATIENCE_SECONDS, background=True)
        return await self._ask(partial(self.range, query), _range_error, permit)

    async def probe(self, promql: str, at: float) -> InstantAnswer:
        """Send one instant query over the connection for probes."""
        return await self._ask(partial(self.instant, promql, at), _instant_error, None)

    async def _ask(
        self, call: Callable[[], _Answer], failed: Callable[[QueryFailed], _Answer], permit: Permit | None
    ) -> _Answer:
        """Run a blocking call in a thread of this source, bounded in time.

        A thread that exceeds its time-out keeps its permit until it ends, so that hung threads do not accumulate.

        Raises:
            NoAnswer: the call did not end in time.
        """
        try:
            future = self._threads.submit(call)
        except RuntimeError as error:
            if permit is not None:
                permit.release()
            raise MetricsUnavailable(f"metrics source {self.source.name} has just been removed") from error
        loop = asyncio.get_running_loop()
        if permit is not None:
            future.add_done_callback(lambda _: _release(loop, permit))
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
        """Send one instant query. Blocks."""
        params = {"time": f"{at:.3f}", **self._limits(_MAX_VALUES)}
        return self._decoded(decode.instant, self._client.custom_query(promql, params=params))

    def range(self, query: RangeQuery) -> RangeAnswer:
        """Send one range query. Blocks."""
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

    async def _permit(self, who: Key, patience: float, *, background: bool) -> Permit:
        try:
            async with asyncio.timeout(patience):
                return await self._permits.acquire(who, background=background)
        except TimeoutError as error:
            raise MetricsBusy(
                f"metrics source {self.source.name}: other queries have kept its connections busy for {patience:.0f} s"
            ) from error


def _release(loop: asyncio.AbstractEventLoop, permit: Permit) -> None:
    """Release a permit from another thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(permit.release)


def _instant_error(failure: QueryFailed) -> InstantAnswer:
    # An instant query concerns now, for which some store must exist: the answer is partial.
    kind = PARTIAL if failure.kind == NO_STORE else failure.kind
    return InstantAnswer(error=kind, error_position=failure.position)


def _range_error(failure: QueryFailed) -> RangeAnswer:
    return RangeAnswer(error=failure.kind)
