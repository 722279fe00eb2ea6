"""One source, many who ask: over real HTTP, how its connections are shared."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from fakes.clock import until
from fakes.http_server import FakeServer, Request, serve
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.adapters.prometheus.slow_queries import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST,
    SlowQueries,
    SlowRequesters,
)
from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import InstantAnswer
from twinops.engine.requester import requested_by, requester
from twinops.errors import MetricsBusy, MetricsUnavailable
from twinops.ports.kubernetes import TwinRef
from twinops.ports.metrics import RangeQuery, SourceAccess

AT = 1_800_000_000.0
ONE = json.dumps(
    {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]}}
)
NONE = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})
TIMED_OUT = json.dumps({"status": "error", "errorType": "timeout", "error": "query timed out"})

ASKED: list[str] = []
"""The texts of all queries that came in since the server was started."""

HOSTILE = TwinRef("hostile", "many", "uid-hostile")
VICTIM = TwinRef("shop", "checkout", "uid-victim")


def behave(request: Request) -> None:
    """Answer quickly, finish nothing that is slow, and never answer what hangs."""
    assert isinstance(request.server, FakeServer)
    query = request.form["query"]
    ASKED.append(query)
    if "hangs" in query:
        request.server.released.wait(20)
    elif "slow" in query:
        request.server.released.wait(0.3)
        request.answer(503, TIMED_OUT)
    else:
        request.answer(200, NONE if request.path.endswith("query_range") else ONE)


@contextmanager
def shared(timeout_seconds: int = 1) -> Iterator[SourceAccess]:
    ASKED.clear()
    with serve(behave) as server:
        spec = MetricsSourceSpec.from_wire({"url": server.url, "timeoutSeconds": timeout_seconds})
        yield SourceAccess("shared", spec)


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend(connections=8)
    yield backend
    await backend.aclose()


def asked(text: str) -> int:
    return sum(text in query for query in ASKED)


@pytest.mark.parametrize("named", [pytest.param(True, id="twins"), pytest.param(False, id="batches")])
@pytest.mark.parametrize("kind", ["slow", "hangs"])
async def test_one_twin_with_many_slow_queries_delays_nobody(
    backend: PrometheusBackend,
    kind: str,
    named: bool,  # noqa: FBT001 - a table case
) -> None:
    async def attack(source: SourceAccess) -> None:
        while True:
            try:
                await backend.instant(source, [f"{kind}{n}" for n in range(64)], AT)
            except MetricsUnavailable:
                await asyncio.sleep(0.01)

    async def as_hostile(source: SourceAccess) -> None:
        with requested_by(HOSTILE):
            await attack(source)

    with shared() as source:
        hostile = asyncio.create_task(as_hostile(source) if named else attack(source))
        await until(lambda: asked(kind) >= 4)
        longest = 0.0
        for _ in range(8):
            begun = time.monotonic()
            with requested_by(VICTIM):
                answers = await backend.instant(source, ["a", "b", "c"], AT)
            longest = max(longest, time.monotonic() - begun)
            assert [answer.values for answer in answers] == [(1.0,)] * 3
            await asyncio.sleep(0.2)
        hostile.cancel()

    assert longest < 0.5


async def test_many_twins_with_slow_queries_delay_nobody_for_long(backend: PrometheusBackend) -> None:
    async def attack(number: int) -> None:
        for again in range(1000):
            try:
                # Ever new ones, so that none is remembered.
                with requested_by(TwinRef(f"hostile-{number}", "many", f"uid-{number}")):
                    await backend.instant(source, [f"slow{number}-{again}-{n}" for n in range(16)], AT)
            except MetricsUnavailable:
                await asyncio.sleep(0.01)

    with shared(timeout_seconds=2) as source:
        hostile = [asyncio.create_task(attack(number)) for number in range(9)]
        # Until it is known of every one; joined queries are not held against a twin.
        await until(lambda: sum("label_replace" not in query for query in ASKED) > 9 * 5)
        waits = []
        for _ in range(8):
            begun = time.monotonic()
            with requested_by(VICTIM):
                await backend.instant(source, ["a", "b", "c"], AT)
            waits.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)
        for task in hostile:
            task.cancel()

    assert max(waits) < 1.5, "none waits for more than a slow query or two"
    assert sorted(waits)[-3] < 0.4, "and hardly one for any"


def test_an_asker_is_slow_while_many_of_its_queries_time_out() -> None:
    now = 0.0
    requesters, slow = SlowRequesters(lambda: now), SlowQueries(lambda: now)
    for _ in range(20):
        requesters.failed(("shop", "one query that is tried again and again"))
        assert not requesters.is_slow(("shop", "one query that is tried again and again"))
        now += slow.failed("q")
    for _ in range(5):
        requesters.failed(("hostile", "many"))
    assert requesters.is_slow(("hostile", "many"))
    now += 120
    assert not requesters.is_slow(("hostile", "many"))
    for number in range(MOST + 1):
        requesters.failed(("many", str(number)))
    assert len(requesters._scores) == MOST


async def test_a_query_that_times_out_is_told_and_left_alone_for_a_while(backend: PrometheusBackend) -> None:
    with shared() as source:
        for _ in range(3):
            slow, fast = await backend.instant(source, ["slow", "fast"], AT)
            assert fast.values == (1.0,)
            assert (slow.values, slow.error) == ((), "timeout")
            assert 0.5 * FIRST_PAUSE_SECONDS < slow.next_attempt - AT < 1.5 * FIRST_PAUSE_SECONDS

        assert asked("slow") == 2, "with the other one, and then alone"
        with pytest.raises(MetricsBusy, match=r"next attempt is at \d\d:\d\d:\d\d UTC"):
            await backend.instant(source, ["slow"], AT)


async def test_a_query_that_hangs_alone_fails_alone(backend: PrometheusBackend) -> None:
    with shared() as source:
        hangs, fast = await backend.instant(source, ["hangs", "fast"], AT)

    assert (hangs.error, fast.values) == ("timeout", (1.0,))
    assert hangs.next_attempt > AT


async def test_while_the_whole_source_hangs_no_query_is_blamed(backend: PrometheusBackend) -> None:
    with shared() as source:
        for _ in range(2):
            with pytest.raises(MetricsUnavailable) as caught:
                await backend.instant(source, ["hangs", "hangs too"], AT)
            assert not isinstance(caught.value, MetricsBusy)


async def test_queries_whose_turn_does_not_come_fail_alone(backend: PrometheusBackend) -> None:
    with shared() as source:
        answers = await backend.instant(source, ["fast", *(f"slow{n}" for n in range(30))], AT)

    assert answers[0].values == (1.0,)
    errors = [answer.error for answer in answers[1:]]
    assert set(errors) == {"timeout", "busy"}
    assert InstantAnswer(error="busy") in answers


async def test_reading_the_past_leaves_room_for_the_present(backend: PrometheusBackend) -> None:
    with shared(timeout_seconds=5) as source:
        past = [RangeQuery(f"hangs{n}", AT, AT + 60, 60) for n in range(40)]
        reading = asyncio.create_task(backend.ranges(source, past))
        await until(lambda: asked("hangs") == 4)
        begun = time.monotonic()
        await backend.instant(source, ["a", "b", "c", "d", "e"], AT)
        seconds = time.monotonic() - begun
        reading.cancel()

    assert seconds < 1
    assert asked("hangs") == 4, "half of the connections"


async def test_a_probe_is_answered_while_every_connection_is_taken() -> None:
    backend = PrometheusBackend(connections=1)
    with shared(timeout_seconds=5) as source:
        hanging = asyncio.create_task(backend.instant(source, ["hangs"], AT))
        await until(lambda: asked("hangs") == 1)
        [answer] = await asyncio.wait_for(backend.probes.instant(source, ["vector(1)"], AT), 2)
        hanging.cancel()
    await backend.aclose()

    assert answer.values == (1.0,)


async def test_what_a_sync_starts_asks_in_its_name() -> None:
    async def who() -> tuple[str, ...] | None:
        return requester()

    with requested_by(VICTIM):
        later = asyncio.create_task(who())
    assert await later == ("shop", "uid-victim")
    assert requester() is None


def test_pauses_grow_up_to_a_quarter_of_an_hour_and_end_with_an_answer() -> None:
    now = 0.0
    slow = SlowQueries(lambda: now)
    pauses = []
    for _ in range(8):
        pauses.append(slow.failed("q"))
        assert slow.wait("q") == pytest.approx(pauses[-1])
        now += pauses[-1]
        assert slow.wait("q") == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 1.2 * LONGEST_PAUSE_SECONDS
    slow.answered("q")
    assert slow.failed("q") < 1.3 * FIRST_PAUSE_SECONDS


def test_only_so_many_slow_queries_are_remembered() -> None:
    slow = SlowQueries(lambda: 0.0)
    for number in range(MOST + 10):
        slow.failed(f"q{number}")
    assert slow.wait("q0") == 0
    assert slow.wait(f"q{MOST + 9}") > 0
