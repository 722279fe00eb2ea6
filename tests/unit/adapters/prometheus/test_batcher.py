"""Queries of many twins in few requests: against a server that understands joined queries, and shows any fault."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.clock import until
from fakes.http_server import FakeServer, Request, serve
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.adapters.prometheus.joined import LABEL, MAX_VALUES
from twinops.adapters.prometheus.sharing_state import LEAST, MOST_REMEMBERED, Allowance, BatchSize, Remembered
from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import PARTIAL, InstantAnswer
from twinops.engine.requester import requested_by
from twinops.errors import MetricsUnavailable, SpecError
from twinops.ports.kubernetes import TwinRef
from twinops.ports.metrics import SourceAccess

AT = 1_800_000_000.0
_PART = re.compile(rf'label_replace\(\((.*?)\n\),"{LABEL}","(\d+)"', re.DOTALL)


@dataclass
class Server:
    """Understands joined queries, whose texts are names of what they do.

    Attributes:
        asked: the texts of each request, in the order of their arrival.
        times: the evaluation times of these requests.
        gate: no request is answered unless it is set.
        unwell: requests that fail with HTTP 500 whatever they ask, from now on.
        whole: whether no store is away.
    """

    asked: list[list[str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    unwell: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def behave(self, request: Request) -> None:
        assert isinstance(request.server, FakeServer)
        query = request.form["query"]
        parts = [(text, int(index)) for text, index in _PART.findall(query)]
        texts = [text for text, _ in parts] or [query]
        self.asked.append(texts)
        self.times.append(float(request.form["time"]))
        self.gate.wait(20)
        if self.unwell:
            self.unwell -= 1
            request.answer(500)
        elif any("hangs" in text for text in texts):
            request.server.released.wait(20)
        elif any("slow" in text for text in texts):
            request.server.released.wait(0.05)
            request.answer(503, json.dumps({"status": "error", "errorType": "timeout", "error": "timed out"}))
        elif any("refused" in text for text in texts):
            request.answer(422, json.dumps({"status": "error", "errorType": "execution", "error": "refused"}))
        elif any("panic" in text for text in texts) and parts:
            request.answer(502, "too long for me")
        else:
            self._answer(request, parts or [(query, -1)])

    def _answer(self, request: Request, parts: Sequence[tuple[str, int]]) -> None:
        series: list[dict[str, Any]] = []
        for text, index in parts:
            labels = {LABEL: str(index)} if index >= 0 else {}
            count = 5000 if "large" in text else 0 if "empty" in text else 1
            series += [{"metric": labels, "value": [AT, text.rpartition("_")[2]]}] * count
        warnings = ["a store is away"] if not self.whole and any("partial" in text for text, _ in parts) else []
        result = series[: int(request.form["limit"])]
        data = {"resultType": "vector", "result": result}
        request.answer(200, json.dumps({"status": "success", "warnings": warnings, "data": data}))

    def requests_with(self, text: str) -> int:
        return sum(any(text in one for one in texts) for texts in self.asked)


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend(connections=8)
    yield backend
    await backend.aclose()


@contextmanager
def site(timeout_seconds: int = 4) -> Iterator[tuple[Server, SourceAccess]]:
    server = Server()
    with serve(server.behave) as http:
        spec = MetricsSourceSpec.from_wire({"url": http.url, "timeoutSeconds": timeout_seconds})
        try:
            yield server, SourceAccess("shared", spec)
        finally:
            server.gate.set()


async def ask(
    backend: PrometheusBackend,
    source: SourceAccess,
    texts: Sequence[str],
    *,
    namespace: str = "shop",
    at: float = AT,
    built_in: Collection[str] | None = None,
) -> Sequence[InstantAnswer]:
    with requested_by(TwinRef(namespace, texts[0], f"uid-{texts[0]}")):
        return await backend.instant(source, texts, at, built_in=texts if built_in is None else built_in)


def numbers(first: int, count: int) -> list[str]:
    return [f"m_{number}" for number in range(first, first + count)]


def told(texts: Sequence[str]) -> list[InstantAnswer]:
    return [InstantAnswer((float(text.rpartition("_")[2]),)) for text in texts]


async def test_one_twin_asks_at_once_and_in_one_request(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        texts = [*numbers(0, 12), "empty_0"]
        answers = await ask(backend, source, texts)

    assert answers == [*told(numbers(0, 12)), InstantAnswer()]
    assert server.asked == [texts]


async def test_many_twins_share_requests_while_others_are_under_way(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        batches = [numbers(10 * twin, 10) for twin in range(100)]
        answers = await asyncio.gather(*(ask(backend, source, batch) for batch in batches))

    assert answers == [told(batch) for batch in batches]
    assert len(server.asked) <= 16, "at most 64 at first, and more when that goes well"
    assert max(map(len, server.asked)) <= 256


async def test_what_comes_while_requests_are_under_way_goes_in_the_next_one(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        server.gate.clear()
        first = [asyncio.create_task(ask(backend, source, numbers(10 * n, 2))) for n in range(2)]
        await until(lambda: len(server.asked) >= 1)
        others = [asyncio.create_task(ask(backend, source, numbers(1000 + 10 * n, 2))) for n in range(20)]
        await until(lambda: len(server.asked) == 2)
        server.gate.set()
        await asyncio.gather(*first, *others)

    assert len(server.asked) <= 3


async def test_equal_queries_are_asked_once(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        answers = await asyncio.gather(*(ask(backend, source, ["m_1", "m_2", "m_1"]) for _ in range(50)))

    assert answers == [told(["m_1", "m_2", "m_1"])] * 50
    assert len(server.asked) == 1


async def test_different_times_are_asked_apart(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        await asyncio.gather(*(ask(backend, source, ["m_1", "m_2"], at=AT + n) for n in range(3)))

    assert sorted(server.times) == [AT, AT + 1, AT + 2]


async def test_built_in_queries_of_all_namespaces_share_but_own_ones_only_within_one(
    backend: PrometheusBackend,
) -> None:
    with site() as (server, source):
        asking = [
            ask(backend, source, [f"common_{n}", f"own_{n}"], namespace=f"team-{n % 2}", built_in=[f"common_{n}"])
            for n in range(6)
        ]
        answers = await asyncio.gather(*asking)

    assert answers == [told([f"common_{n}", f"own_{n}"]) for n in range(6)]
    assert sorted(sorted(texts) for texts in server.asked) == [
        [f"common_{n}" for n in range(6)],
        ["own_0", "own_2", "own_4"],
        ["own_1", "own_3", "own_5"],
    ]


async def test_what_is_no_instant_vector_goes_alone(backend: PrometheusBackend) -> None:
    texts = ["m_1", "scalar(m_5) + 0_5", "m_2"]
    with site() as (server, source):
        for _ in range(2):
            assert await ask(backend, source, texts, built_in=()) == told(texts)

    assert sorted(server.asked) == [["m_1", "m_2"]] * 2 + [["scalar(m_5) + 0_5"]] * 2


async def test_a_bad_query_fails_alone_and_is_asked_alone_from_then_on(backend: PrometheusBackend) -> None:
    texts = [*numbers(0, 40), "refused_0", *numbers(40, 20)]
    with site() as (server, source):
        for _ in range(3):
            answers = await ask(backend, source, texts)
            assert answers == [*told(texts[:40]), InstantAnswer(error="execution"), *told(texts[41:])]

    assert len(server.asked) <= 1 + 2 * 6 + 2 * 2, "halved six times, and then known"
    assert [texts for texts in server.asked if "refused_0" in texts][-2:] == [["refused_0"]] * 2


async def test_many_bad_queries_are_found_at_once(backend: PrometheusBackend) -> None:
    texts = [f"refused_{number}" if number % 7 == 0 else f"m_{number}" for number in range(60)]
    with site() as (_, source):
        answers = await ask(backend, source, texts)

    assert [answer.error for answer in answers] == ["execution" if "refused" in text else "" for text in texts]


async def test_a_query_that_times_out_costs_the_others_little(backend: PrometheusBackend) -> None:
    texts = [*numbers(0, 30), "slow_0", *numbers(30, 30)]
    with site() as (server, source):
        answers = await ask(backend, source, texts)
        again = await ask(backend, source, texts, at=AT + 1)

    assert [answer.error for answer in answers] == ["timeout" if "slow" in text else "" for text in texts]
    assert answers[30].next_attempt > AT
    assert again[30].next_attempt > AT + 1, "it is left alone for a while"
    assert server.requests_with("slow") == 3, "with all, with its part, alone"


async def test_a_query_that_hangs_delays_others_for_less_than_a_time_out(backend: PrometheusBackend) -> None:
    async def timed(texts: Sequence[str]) -> float:
        begun = time.monotonic()
        assert await ask(backend, source, texts) == told(texts)
        return time.monotonic() - begun

    with site(timeout_seconds=2) as (_, source):
        hanging = asyncio.create_task(ask(backend, source, ["hangs_0", "m_0"]))
        others = await asyncio.gather(*(timed(numbers(10 * n, 3)) for n in range(1, 9)))
        answers = await hanging

    assert [answer.error for answer in answers] == ["timeout", ""]
    assert max(others) < 2, "two joined requests, with a quarter of the time-out each"


async def test_a_query_that_was_slow_for_a_time_is_joined_again(backend: PrometheusBackend) -> None:
    with site(timeout_seconds=1) as (server, source):
        server.gate.clear()
        asking = asyncio.create_task(ask(backend, source, ["m_0"]))
        await until(lambda: len(server.asked) == 1)
        await asyncio.sleep(0.2)  # More than an eighth of the time-out, so that it counts as slow.
        server.gate.set()
        await asking
        for number in range(3):
            assert await ask(backend, source, ["m_0", "m_1"], at=AT + 1 + number) == told(["m_0", "m_1"])

    assert [texts for texts in server.asked if "m_0" in texts] == [["m_0"], ["m_0"], ["m_0", "m_1"], ["m_0", "m_1"]]


async def test_slow_answers_make_smaller_requests(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        await ask(backend, source, [*numbers(0, 63), "slow_0"])
        server.asked.clear()
        await ask(backend, source, numbers(100, 64), at=AT + 1)

    assert max(map(len, server.asked)) <= 32


async def test_slow_queries_of_one_namespace_split_no_requests_of_another(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        await ask(backend, source, [*numbers(0, 63), "slow_0"], namespace="hostile", built_in=())
        server.asked.clear()
        await ask(backend, source, numbers(100, 64), built_in=())

    assert server.asked == [numbers(100, 64)]


async def test_a_huge_answer_is_singled_out(backend: PrometheusBackend) -> None:
    texts = [*numbers(0, 20), "large_7", *numbers(20, 20)]
    with site() as (server, source):
        for _ in range(2):
            answers = await ask(backend, source, texts)
            assert answers == [*told(texts[:20]), InstantAnswer((7.0,) * MAX_VALUES), *told(texts[21:])]

    assert len(server.asked) == 3 + 2


async def test_partial_answers_concern_those_alone_whose_data_is_away(backend: PrometheusBackend) -> None:
    texts = [f"partial_{number}" if number in {3, 4, 17} else f"m_{number}" for number in range(24)]
    expected = [InstantAnswer(error=PARTIAL) if "partial" in text else told([text])[0] for text in texts]
    with site() as (server, source):
        assert await ask(backend, source, texts) == expected
        found = len(server.asked)
        assert await ask(backend, source, texts) == expected
        assert len(server.asked) == found + 2, "one request for those that are whole, one for the others"


async def test_a_store_that_is_back_is_noticed_at_once(backend: PrometheusBackend) -> None:
    texts = ["partial_3", "partial_4", "m_1"]
    with site() as (server, source):
        for _ in range(2):
            assert [answer.error for answer in await ask(backend, source, texts)] == [PARTIAL, PARTIAL, ""]
        server.whole = True
        assert await ask(backend, source, texts) == told(texts)
        server.asked.clear()
        assert await ask(backend, source, texts) == told(texts)

    assert len(server.asked) == 1, "and they go with the others again"


async def test_one_failure_of_the_source_fails_nobody_but_an_outage_fails_all(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        server.unwell = 1
        assert await ask(backend, source, numbers(0, 20)) == told(numbers(0, 20))
        server.unwell = 1000
        asking = [ask(backend, source, numbers(20 * n, 20)) for n in range(10)]
        failed = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(error, MetricsUnavailable) for error in failed)
        assert 1000 - server.unwell <= 12, "of 200 queries; one more request for each joined one"


async def test_a_proxy_that_takes_no_long_queries_is_sent_shorter_ones(backend: PrometheusBackend) -> None:
    texts = [*numbers(0, 7), "panic_3"]
    with site() as (_, source):
        assert await ask(backend, source, texts) == told(texts)


async def test_a_sync_that_is_cancelled_takes_nothing_from_others(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        server.gate.clear()
        gone = asyncio.create_task(ask(backend, source, ["m_1", "m_2"]))
        await until(lambda: len(server.asked) == 1)
        others = [asyncio.create_task(ask(backend, source, ["m_1", f"m_{n}"])) for n in range(3, 6)]
        await until(lambda: len(server.asked) == 2)
        gone.cancel()
        server.gate.set()
        assert await asyncio.gather(*others) == [told(["m_1", f"m_{n}"]) for n in range(3, 6)]

    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_what_nobody_waits_for_any_more_is_not_sent(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        server.gate.clear()
        sent = [asyncio.create_task(ask(backend, source, numbers(2 * n, 2), at=AT)) for n in range(2)]
        await until(lambda: len(server.asked) >= 1)
        held = [asyncio.create_task(ask(backend, source, numbers(100, 2), at=AT)) for _ in range(1)]
        await asyncio.sleep(0)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        server.gate.set()
        await asyncio.gather(*sent)

    assert server.requests_with("m_100") == 0


async def test_a_source_that_is_removed_meanwhile_fails_who_waits(backend: PrometheusBackend) -> None:
    with site() as (server, source):
        server.gate.clear()
        asking = [asyncio.create_task(ask(backend, source, numbers(300 * n, 300))) for n in range(2)]
        await until(lambda: len(server.asked) == 2)
        backend.forget("shared")
        server.gate.set()
        failed = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(error) for error in failed] == [MetricsUnavailable] * 2


async def test_refused_credentials_are_told_to_all(backend: PrometheusBackend) -> None:
    with serve(lambda request: request.answer(403)) as http:
        source = SourceAccess("shared", MetricsSourceSpec(url=http.url))
        asking = [ask(backend, source, numbers(2 * n, 2)) for n in range(5)]
        failed = await asyncio.gather(*asking, return_exceptions=True)

    assert {type(error) for error in failed} == {SpecError}


async def test_slow_queries_of_one_namespace_delay_no_built_in_ones(backend: PrometheusBackend) -> None:
    with site(timeout_seconds=2) as (server, source):
        hostile = [
            asyncio.create_task(
                ask(backend, source, [f"hangs{twin}_{n}" for n in range(20)], namespace="hostile", built_in=())
            )
            for twin in range(10)
        ]
        await until(lambda: server.requests_with("hangs") >= 2)
        longest = 0.0
        for number in range(5):
            begun = time.monotonic()
            assert await ask(backend, source, numbers(10 * number, 5)) == told(numbers(10 * number, 5))
            longest = max(longest, time.monotonic() - begun)
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)

    assert longest < 0.5


def test_the_size_grows_slowly_and_shrinks_fast() -> None:
    size = BatchSize(first=64, most=256, step=32)
    size.quick(10)
    assert size.texts == 64, "a small request tells nothing"
    for _ in range(20):
        size.quick(size.texts)
    assert size.texts == 256
    size.slow(256)
    assert size.texts == 128
    size.slow(256)
    assert size.texts == 128, "sent before the cut"
    for _ in range(20):
        size.slow(size.texts)
    assert size.texts == LEAST


def test_queries_are_remembered_for_a_while_and_only_so_many() -> None:
    now = 0.0
    remembered = Remembered(60, lambda: now)
    assert "q" not in remembered
    remembered.add("q")
    now = 59
    assert "q" in remembered
    now = 61
    assert "q" not in remembered
    remembered.add("q")
    remembered.discard("q")
    assert "q" not in remembered
    for number in range(MOST_REMEMBERED + 1):
        remembered.add(str(number))
    assert "0" not in remembered
    assert str(MOST_REMEMBERED) in remembered


def test_an_allowance_fills_again() -> None:
    now = 0.0
    allowance = Allowance(10, 20, lambda: now)
    assert allowance.take(20)
    assert not allowance.take(1)
    now = 0.5
    assert allowance.take(5)
    assert not allowance.take(1)
    now = 100.0
    assert not allowance.take(21)
    assert allowance.take(20)
