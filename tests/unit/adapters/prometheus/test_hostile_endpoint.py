"""The client against servers that want its threads or its memory, over real HTTP."""

from __future__ import annotations

import gzip
import json
import math
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fakes.http_server import FakeServer, Request, serve
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.adapters.prometheus.transport import MAX_BODY_BYTES, MAX_INSTANT_BYTES, QueryFailed, Transport
from twinops.api.source.spec import MetricsSourceSpec
from twinops.errors import MetricsUnavailable
from twinops.ports.metrics import RangeQuery, SourceAccess

AT = 1_800_000_000.0
OK = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
MIB = 1024 * 1024

Send = Callable[[Request], None]


def source(url: str, timeout_seconds: int = 1) -> SourceAccess:
    return SourceAccess("shared", MetricsSourceSpec(url=url, timeout_seconds=timeout_seconds))


@contextmanager
def transport(server: FakeServer, timeout_seconds: int = 30) -> Iterator[Callable[[str], object]]:
    """Return what asks one instant query, or a range query where the path says so."""
    sending = Transport(source(server.url, timeout_seconds), 2)

    def ask(path: str = "query") -> object:
        return sending.request("POST", f"{server.url}/api/v1/{path}", params={"query": "up"}).document

    try:
        yield ask
    finally:
        sending.close()


def _forever(request: Request, piece: bytes, pause: float = 0.05) -> None:
    server = request.server
    assert isinstance(server, FakeServer)
    try:
        while not server.released.wait(pause):
            request.wfile.write(piece)
    except OSError:
        # The client has hung up, as it should.
        assert isinstance(request, Request)


def _head(*lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b""))


def dripped_body(request: Request) -> None:
    request.wfile.write(_head(b"Content-Length: 60000"))
    _forever(request, b"x")


def dripped_body_until_the_end(request: Request) -> None:
    request.wfile.write(_head(b"Connection: close"))
    _forever(request, b"{")


def dripped_head(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _forever(request, b"x")


def dripped_chunks(request: Request) -> None:
    request.wfile.write(_head(b"Transfer-Encoding: chunked"))
    _forever(request, b"1\r\n \r\n")


def provisional_answers(request: Request) -> None:
    _forever(request, b"HTTP/1.1 100 Continue\r\n\r\n")


DRIPS = [dripped_body, dripped_body_until_the_end, dripped_head, dripped_chunks, provisional_answers]


@pytest.mark.parametrize("behaviour", DRIPS)
def test_no_drip_holds_a_thread(behaviour: Send) -> None:
    with serve(behaviour) as server, transport(server, timeout_seconds=1) as ask:
        begun = time.monotonic()
        with pytest.raises(MetricsUnavailable, match="no answer within 1 s"):
            ask("query")

        assert time.monotonic() - begun < 3


async def test_connections_that_were_dripped_on_are_free_again() -> None:
    backend = PrometheusBackend(connections=2)

    def behaviour(request: Request) -> None:
        if request.form["query"] == "slow":
            dripped_head(request)
        else:
            request.answer(200, OK)

    with serve(behaviour) as server:
        with pytest.raises(MetricsUnavailable):
            await backend.instant(source(server.url), ["slow"] * 2, AT)
        answers = await backend.instant(source(server.url), ["good"] * 4, AT)
    await backend.aclose()

    assert len(answers) == 4


def test_a_handshake_that_is_dripped_holds_no_thread() -> None:
    """TLS records that come byte by byte: every read succeeds in time."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while not over.wait(0.05):
                try:
                    connection.sendall(b"\x02")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    sending = Transport(source(url), 1)
    begun = time.monotonic()
    with pytest.raises(MetricsUnavailable, match="no answer within 1 s"):
        sending.request("POST", f"{url}/api/v1/query", params={"query": "up"})
    took = time.monotonic() - begun
    over.set()
    thread.join()
    listening.close()

    assert took < 3


def endless_chunk_length(request: Request) -> None:
    request.wfile.write(_head(b"Transfer-Encoding: chunked"))
    _forever(request, b"0" * 65536, pause=0)


def endless_head(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _forever(request, b"".join(b"X-%d: %s\r\n" % (n, b"v" * 60_000) for n in range(90)), pause=0)


def endless_provisional_answers(request: Request) -> None:
    _forever(request, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, pause=0)


def endless_body(request: Request) -> None:
    request.wfile.write(_head(b"Connection: close"))
    _forever(request, b" " * 65536, pause=0)


def bomb(request: Request) -> None:
    request.answer(200, _bomb(), **{"Content-Encoding": "gzip"})


def _bomb() -> bytes:
    with_blanks = gzip.compress(b" " * MIB, 9)
    return with_blanks * 256


@pytest.mark.parametrize("path", ["query", "query_range"])
@pytest.mark.parametrize(
    "behaviour", [endless_chunk_length, endless_head, endless_provisional_answers, endless_body, bomb]
)
def test_no_answer_takes_more_memory_than_it_may(behaviour: Send, path: str) -> None:
    with serve(behaviour) as server, transport(server) as ask:
        tracemalloc.start()
        try:
            with pytest.raises((QueryFailed, MetricsUnavailable)) as caught:
                ask(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 4 * MAX_BODY_BYTES
    assert "no answer" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"":{}},' * (MAX_BODY_BYTES // 8 - 40), id="empty objects"),
        pytest.param(b"[]," * (MAX_BODY_BYTES // 3 - 100), id="empty lists"),
        pytest.param(b"1.5," * (MAX_BODY_BYTES // 4 - 100), id="numbers"),
        pytest.param(b"[" * (MAX_BODY_BYTES - 200), id="depth"),
    ],
)
def test_no_document_becomes_much_larger_in_memory(body: bytes) -> None:
    document = b'{"status":"success","data":{"resultType":"matrix","result":[' + body + b"0]}}"
    with serve(lambda request: request.answer(200, document)) as server, transport(server) as ask:
        tracemalloc.start()
        try:
            with pytest.raises(QueryFailed, match="too_large"):
                ask("query_range")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 5 * MAX_BODY_BYTES


@pytest.mark.parametrize("encoding", ["gzip, gzip, gzip", "deflate", "br", "zstd"])
def test_what_was_not_asked_for_is_not_unpacked(encoding: str) -> None:
    with serve(lambda request: request.answer(200, OK, **{"Content-Encoding": encoding})) as server:
        with transport(server) as ask, pytest.raises(MetricsUnavailable):
            ask("query")

        assert server.requests[0].headers["Accept-Encoding"] == "gzip"


def test_deadlines_of_any_length_share_one_thread() -> None:
    def dripping(seconds: int) -> float:
        with transport(server, timeout_seconds=seconds) as ask:
            begun = time.monotonic()
            with pytest.raises(MetricsUnavailable, match=f"no answer within {seconds} s"):
                ask("query")
            return time.monotonic() - begun

    with serve(dripped_head) as server, ThreadPoolExecutor(8) as pool:
        # The longer ones first: a shorter one that comes later must not wait for them.
        took = list(pool.map(dripping, [3, 3, 2, 2, 1, 1]))
        watching = [thread for thread in threading.enumerate() if thread.name == "metrics-deadlines"]

    assert max(took[4:]) < min(took[2:4]) < max(took[2:4]) < min(took[:2])
    assert len(watching) == 1


def test_gzip_is_read() -> None:
    packed = gzip.compress(OK)
    answer = {"Content-Encoding": "gzip"}
    with serve(lambda request: request.answer(200, packed, **answer)) as server, transport(server) as ask:
        assert ask("query") == json.loads(OK)


def test_one_moment_has_a_smaller_bound_than_a_range() -> None:
    body = OK + b" " * MAX_INSTANT_BYTES
    with serve(lambda request: request.answer(200, body)) as server, transport(server) as ask:
        with pytest.raises(QueryFailed, match="too_large"):
            ask("query")
        assert ask("query_range") == json.loads(OK)


def test_no_cookie_is_kept() -> None:
    with serve(lambda request: request.answer(200, OK, **{"Set-Cookie": "a=b; Path=/"})) as server:
        with transport(server) as ask:
            ask("query")
            ask("query")

        assert [request.headers["Cookie"] for request in server.requests] == [None, None]


def test_a_redirect_is_not_even_read() -> None:
    def redirect(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 307 X\r\nLocation: http://[bad\r\nConnection: close\r\n\r\n")
        _forever(request, b" " * 65536, pause=0)

    with serve(redirect) as server, transport(server) as ask:
        with pytest.raises(MetricsUnavailable, match="redirects elsewhere"):
            ask("query")

        assert len(server.requests) == 1


@pytest.mark.parametrize("text", [b"[" * 900 + b"]" * 900, b'{"a":1}'], ids=["deep", "an object"])
def test_an_error_need_not_be_a_text(text: bytes) -> None:
    document = b'{"status":"error","errorType":"bad_data","error":' + text + b"}"
    refused = pytest.raises((QueryFailed, MetricsUnavailable))
    with serve(lambda request: request.answer(400, document)) as server, transport(server) as ask, refused:
        ask("query")


@pytest.mark.parametrize(
    ("value", "number"),
    [("1e999999", math.inf), ("-1e999999", -math.inf), ("nan", math.nan), ("9" * 100_000, math.inf)],
)
async def test_any_number_is_a_float(value: str, number: float) -> None:
    document = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, value]}]}}
    backend = PrometheusBackend(connections=1)
    with serve(lambda request: request.answer(200, json.dumps(document))) as server:
        [answer] = await backend.instant(source(server.url, 10), ["up"], AT)
    await backend.aclose()

    assert answer.values == pytest.approx((number,), nan_ok=True)


@pytest.mark.parametrize("time", ['"NaN"', "NaN", "1e300", "-Infinity", '"x"', "9" * 5000, "{}"])
async def test_times_that_are_none_are_no_history(time: str) -> None:
    body = '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[%s,"1"]]}]}}'
    backend = PrometheusBackend(connections=1)
    with serve(lambda request: request.answer(200, body % time)) as server:
        try:
            [answer] = await backend.ranges(source(server.url, 10), [RangeQuery("up", AT, AT + 60, 60)])
        except MetricsUnavailable:
            return
        finally:
            await backend.aclose()

    assert answer.error == "result_type"
