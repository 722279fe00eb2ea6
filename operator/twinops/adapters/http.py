"""The operator's HTTP side: ``/metrics``, ``/healthz`` and ``/readyz``, in the event loop it reports on.

Anyone who reaches the port may send anything, so these have limits: the number of connections, the time until a
request has been received and until its answer is sent, and how often metrics are rendered.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from twinops.errors import SettingsError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_CONNECTIONS = 64
"""One more closes the oldest, so that a probe is answered whoever keeps the others open."""

REQUEST_SECONDS = 5.0
"""Longest time until the request of a connection has been received."""

ANSWER_SECONDS = 30.0
"""Longest time until an answer is sent."""

RENDER_SECONDS = 1.0
"""Largest age of rendered metrics; requests within this time get the same ones."""

_LONGEST_LINE = 4096
_PIECE = 64 * 1024


class Web:
    """A small HTTP server. One connection serves one request.

    ``/readyz`` answers 200 as long as the server runs: a standby is ready to take over, and a replica that is not ready
    would block every rollout.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        render: returns what ``/metrics`` answers; called in a thread of its own, since 10,000 twins take a while.
        health: returns for ``/healthz`` whether the process is healthy, and a message.
    """

    def __init__(
        self, host: str, port: int, *, render: Callable[[], bytes], health: Callable[[], tuple[bool, str]]
    ) -> None:
        self._host = host
        self._port = port
        self._health = health
        self._rendered = _Rendered(render)
        self._server: _Server | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        self._server = _Server(self._answer)
        self._runner = web.ServerRunner(self._server, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {self._host}:{self._port}: {error.strerror}; "
                "set TWINOPS_LISTEN_HOST and TWINOPS_LISTEN_PORT to an address that is free"
            ) from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the server."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._rendered.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._server is not None and request.transport is not None:
            self._server.asked(request.transport)
        if request.method not in ("GET", "HEAD"):
            return _text("only GET is served here", 405)
        if request.path == "/metrics":
            return await _send(request, await self._rendered.newest())
        if request.path == "/healthz":
            healthy, message = self._health()
            return _text(message, 200 if healthy else 503)
        return _text("ok", 200) if request.path == "/readyz" else _text("not found", 404)


def _text(text: str, status: int) -> web.Response:
    response = web.Response(text=text + "\n", status=status)
    response.force_close()
    return response


async def _send(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
    """Send the body in pieces: a single write would keep a copy of all of it for each slow reader."""
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    if request.method == "GET":
        for begin in range(0, len(body), _PIECE):
            await response.write(body[begin : begin + _PIECE])
    return response


class _Rendered:
    """The metrics rendered last; one thread renders them, once at a time."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics-page")
        self._body = b""
        self._at = float("-inf")
        self._running: asyncio.Future[bytes] | None = None

    async def newest(self) -> bytes:
        """Return metrics that are at most ``RENDER_SECONDS`` old, rendering them if there are none."""
        loop = asyncio.get_running_loop()
        if self._running is None:
            if loop.time() - self._at < RENDER_SECONDS:
                return self._body
            self._running = asyncio.ensure_future(loop.run_in_executor(self._thread, self._render))
            self._running.add_done_callback(self._keep)
        # Shielded: the request that started it may be cancelled while others wait for the result.
        return await asyncio.shield(self._running)

    def close(self) -> None:
        """Shut the thread down without waiting for it."""
        self._thread.shutdown(wait=False)

    def _keep(self, done: asyncio.Future[bytes]) -> None:
        self._running = None
        if not done.cancelled() and done.exception() is None:
            self._body, self._at = done.result(), done.get_loop().time()


class _Server(web.Server):
    """Closes connections that take too long, and the oldest when there are too many."""

    def __init__(self, answer: Callable[[web.BaseRequest], Any]) -> None:
        super().__init__(
            answer,
            handler_cancellation=True,
            access_log=None,
            lingering_time=0.0,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._ends: OrderedDict[asyncio.BaseTransport, asyncio.TimerHandle] = OrderedDict()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._end_within(REQUEST_SECONDS, transport)
        if len(self._ends) > MAX_CONNECTIONS:
            self._close(next(iter(self._ends)))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        transport = self._connections.get(handler)
        end = None if transport is None else self._ends.pop(transport, None)
        if end is not None:
            end.cancel()
        super().connection_lost(handler, exc)

    def asked(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the answer of a connection whose request has been received."""
        end = self._ends.get(transport)
        if end is not None:
            end.cancel()
            self._end_within(ANSWER_SECONDS, transport)

    def _end_within(self, seconds: float, transport: asyncio.BaseTransport) -> None:
        self._ends[transport] = asyncio.get_running_loop().call_later(seconds, self._close, transport)

    def _close(self, transport: asyncio.BaseTransport) -> None:
        end = self._ends.pop(transport, None)
        if end is not None:
            end.cancel()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
