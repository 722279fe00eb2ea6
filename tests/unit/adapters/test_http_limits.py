"""The operator's HTTP side against whoever reaches its port."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fakes.clock import until
from twinops.adapters import http as web
from twinops.adapters.http import MAX_CONNECTIONS, Web

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

REQUEST = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"


class Page:
    """Renders a page, and counts how often and how many at once."""

    def __init__(self, size: int = 100) -> None:
        self.size = size
        self.calls = self.at_once = self.most_at_once = 0
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def render(self) -> bytes:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.threads.add(threading.get_ident())
        self.gate.wait(10)
        self.at_once -= 1
        return b"x" * self.size


@asynccontextmanager
async def serving(page: Page) -> AsyncIterator[int]:
    server = Web("127.0.0.1", 0, render=page.render, health=lambda: (True, "well"))
    port = await server.start()
    try:
        yield port
    finally:
        page.gate.set()
        await server.stop()


async def connect(port: int, sent: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def answer(port: int, path: bytes) -> bytes:
    reader, writer = await connect(port, REQUEST % path)
    async with asyncio.timeout(10):
        told = await reader.read()
    writer.close()
    return told


async def test_a_flood_is_rendered_once_in_a_thread_of_its_own() -> None:
    page = Page()
    async with serving(page) as port:
        page.gate.clear()
        requested_by = [asyncio.create_task(answer(port, b"/metrics")) for _ in range(MAX_CONNECTIONS // 2)]
        await until(lambda: page.calls == 1)
        # The threads that everything else shares are free, and so are the probes.
        async with asyncio.timeout(5):
            await asyncio.to_thread(time.monotonic)
            assert b" 200 " in await answer(port, b"/healthz")
        page.gate.set()
        told = await asyncio.gather(*requested_by)

    assert all(one.endswith(b"x" * 100) for one in told)
    assert (page.calls, page.most_at_once, len(page.threads)) == (1, 1, 1)
    assert threading.get_ident() not in page.threads


async def test_a_page_is_rendered_anew_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page()
    async with serving(page) as port:
        await answer(port, b"/metrics")
        await answer(port, b"/metrics")
        assert page.calls == 1
        monkeypatch.setattr(web, "RENDER_SECONDS", 0.0)
        await answer(port, b"/metrics")
        assert page.calls == 2


async def test_a_rendering_that_fails_is_tried_again() -> None:
    calls = 0

    def render() -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("a defect")
        return b"fine"

    server = Web("127.0.0.1", 0, render=render, health=lambda: (True, ""))
    port = await server.start()
    try:
        assert b" 500 " in await answer(port, b"/metrics")
        assert (await answer(port, b"/metrics")).endswith(b"fine")
    finally:
        await server.stop()


async def test_the_oldest_of_too_many_connections_makes_room() -> None:
    async with serving(Page()) as port:
        silent = [await connect(port) for _ in range(MAX_CONNECTIONS)]
        assert b" 200 " in await answer(port, b"/healthz")

        reader, _ = silent[0]
        async with asyncio.timeout(5):
            assert await closed(reader)
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-", b"GET /metr"], ids=repr)
async def test_a_request_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.2)
    async with serving(Page()) as port:
        reader, writer = await connect(port, sent)
        async with asyncio.timeout(5):
            assert await closed(reader)
        writer.close()


async def test_an_answer_that_is_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.2)
    page = Page(size=32 * 1024 * 1024)
    async with serving(page) as port:
        _, writer = await connect(port, REQUEST % b"/metrics")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it

        def broken() -> bool:
            writer.write(b" ")
            return writer.transport.is_closing()

        await until(broken)
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", b" 405 "),
        (b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", b" 404 "),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b" 400 "),
    ],
    ids=["a large body", "another path", "a long line", "a large header"],
)
async def test_requests_that_are_none(sent: bytes, status: bytes) -> None:
    async with serving(Page()) as port:
        reader, writer = await connect(port, sent)
        async with asyncio.timeout(5):
            assert status in await reader.readline()
        writer.close()


async def test_one_connection_serves_one_request() -> None:
    async with serving(Page()) as port:
        told = await answer(port, b"/readyz")

    assert b"Connection: close" in told
    assert told.endswith(b"ok\n")


async def closed(reader: asyncio.StreamReader) -> bool:
    """Tell whether the other side ends the connection, without an answer or with a refusal."""
    try:
        return b" 200 " not in await reader.read()
    except ConnectionError:
        return True
