"""One metrics source: its connections and threads, and requests over them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from prometheus_api_client import PrometheusConnect

from twinops.adapters.prometheus import decode, joined
from twinops.adapters.prometheus.batcher import Batcher
from twinops.adapters.prometheus.transport import (
    MAX_BODY_BYTES,
    MAX_INSTANT_BYTES,
    MORE_BYTES,
    NoAnswer,
    QueryFailed,
    Transport,
)
from twinops.adapters.prometheus.value_types import is_instant_vector
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.engine.fair_semaphore import FairSemaphore, Key, Permit
from twinops.errors import MetricsBusy, MetricsUnavailable, SourceInvalid
from twinops.ports.metrics import NO_STORE, RangeAnswer, RangeQuery, SourceAccess

_MAX_SERIES = 100
"""Series of one range query. They may follow each other, so that more than one is no mistake."""

# Prometheus' own time-out is shorter than ours, so that a slow query fails alone.
_EVALUATION_SHARE = 0.8
# Added to the time-out of the thread's request to get the bound of the awaiting task.
_GRACE_SECONDS = 1.0

_HISTORY_PATIENCE_SECONDS = 300.0
"""How long a range query waits for a connection; instant queries go first."""

_Result = TypeVar("_Result")


class Endpoint:
    """The connections and threads of one source, for one spec and its credentials.

    Args:
        source: where to send queries.
        connections: concurrent requests, besides one for probes.

    Attributes:
        users: number of running batches.
        batcher: asks the instant queries of all twins.
        answered_at: when the last answer came, in seconds of the monotonic clock; a refusal is an answer, too.

    Raises:
        SourceInvalid: the CA bundle is not valid PEM.
    """

    def __init__(self, source: SourceAccess, connections: int) -> None:
        self.source = source
        self.users = 0
        self._timeout = float(source.spec.timeout_seconds)
        try:
            self._transport = Transport(source, connections)
        except (OSError, ValueError) as error:
            raise SourceInvalid(f"the CA bundle of metrics source {source.name} is not valid PEM") from error
        url = source.spec.url.rstrip("/")
        self._instant_url = f"{url}/api/v1/query"
        self._client = PrometheusConnect(url, session=self._transport, method="POST")
        # One more than there are permits, for the probe.
        self._threads = ThreadPoolExecutor(connections + 1, thread_name_prefix=f"metrics-{source.name}")
        spare = connections // 4
        self._permits = FairSemaphore(
            connections, spare=(min(spare, 1), spare), most=(connections, -(-connections // 2))
        )
        self.batcher = Batcher(self, self._timeout)
        self.answered_at = 0.0

    def close(self) -> None:
        """Refuse further requests; running ones finish.

        They are not cancelled: a waiting sync could not distinguish that from its own cancellation.
        """
        self._threads.shutdown(wait=False)
        self._transport.close()

    async def permit(self, who: Key, patience: float, *, background: bool) -> Permit:
        """Wait for a free connection, for ``patience`` seconds at most.

        Raises:
            MetricsBusy: none became free in time.
        """
        try:
            async with asyncio.timeout(patience):
                return await self._permits.acquire(who, background=background)
        except TimeoutError as error:
            raise MetricsBusy(
                f"metrics source {self.source.name}: other queries have kept its connections busy for {patience:.0f} s"
            ) from error

    async def ask_one(self, promql: str, at: float, permit: Permit | None) -> InstantAnswer:
        """Send one instant query, and release the permit; without one the connection for probes is used."""
        try:
            return await self._run(partial(self.instant, promql, at), permit, self._timeout)
        except QueryFailed as failure:
            # An instant query concerns now, for which some store must exist: the answer is partial.
            kind = PARTIAL if failure.kind == NO_STORE else failure.kind
            return InstantAnswer(error=kind, error_position=failure.position)

    async def ask_joined(
        self, texts: Sequence[str], at: float, permit: Permit, *, check: bool, seconds: float
    ) -> Sequence[InstantAnswer | None]:
        """Send several instant queries as one, and release the permit; None for a query that cannot be joined.

        Args:
            texts: the queries.
            at: Unix seconds.
            permit: for one connection.
            check: whether the texts may be of any type, or none that can be parsed.
            seconds: time until the answer must be there.

        Raises:
            QueryFailed: the joined query failed.
            Unusable: its answer cannot be split.
        """
        return await self._run(partial(self.joined, texts, at, check=check, seconds=seconds), permit, seconds)

    async def ask_range(self, who: Key, query: RangeQuery) -> RangeAnswer:
        """Send one range query when no instant query waits."""
        permit = await self.permit(who, _HISTORY_PATIENCE_SECONDS, background=True)
        try:
            return await self._run(partial(self.range, query), permit, self._timeout)
        except QueryFailed as failure:
            return RangeAnswer(error=failure.kind)

    async def _run(self, call: Callable[[], _Result], permit: Permit | None, seconds: float) -> _Result:
        """Run a blocking call in a thread of this source, bounded in time.

        A thread that exceeds its time-out keeps its permit until it ends, so that hung threads do not accumulate.

        Raises:
            NoAnswer: the call did not end in time.
            QueryFailed, Unusable: as the call does.
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
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                result = await asyncio.wrap_future(future)
        except (QueryFailed, joined.Unusable):
            self.answered_at = time.monotonic()
            raise
        except TimeoutError as error:
            raise NoAnswer(f"metrics source {self.source.name}: no answer within {seconds:.0f} s") from error
        self.answered_at = time.monotonic()
        return result

    def instant(self, promql: str, at: float) -> InstantAnswer:
        """Send one instant query. Blocks."""
        params = {"time": f"{at:.3f}", **_limits(joined.MAX_VALUES, self._timeout)}
        return self._decoded(decode.instant, self._client.custom_query(promql, params=params))

    def joined(self, texts: Sequence[str], at: float, *, check: bool, seconds: float) -> list[InstantAnswer | None]:
        """Send several instant queries as one; see ``ask_joined``. Blocks."""
        # Parsing takes its time, so it is done here rather than in the event loop.
        asked = [index for index, text in enumerate(texts) if not check or is_instant_vector(text)]
        answers: list[InstantAnswer | None] = [None] * len(texts)
        if not asked:
            return answers
        query = joined.join([texts[index] for index in asked])
        params = {"query": query, "time": f"{at:.3f}", **_limits(joined.limit(len(asked)), seconds)}
        most = min(MAX_BODY_BYTES, MAX_INSTANT_BYTES + MORE_BYTES * len(asked))
        document = self._transport.send("POST", self._instant_url, params, most=most, seconds=seconds).document
        for index, answer in zip(asked, joined.split(document["data"]["result"], len(asked)), strict=True):
            answers[index] = answer
        return answers

    def range(self, query: RangeQuery) -> RangeAnswer:
        """Send one range query. Blocks."""
        result = self._client.custom_query_range(
            query.promql,
            start_time=datetime.fromtimestamp(query.start, UTC),
            end_time=datetime.fromtimestamp(query.end, UTC),
            step=f"{query.step:g}",
            params=_limits(_MAX_SERIES, self._timeout),
        )
        return self._decoded(decode.ranges, result)

    @staticmethod
    def _decoded(decoder: Callable[[list[Any]], _Result], result: list[Any]) -> _Result:
        try:
            return decoder(result)
        except decode.NOT_DECODABLE as error:
            raise QueryFailed("result_type") from error


def _release(loop: asyncio.AbstractEventLoop, permit: Permit) -> None:
    """Release a permit from another thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(permit.release)


def _limits(series: int, seconds: float) -> dict[str, str]:
    return {"timeout": f"{math.ceil(seconds * _EVALUATION_SHARE * 1000)}ms", "limit": str(series)}
