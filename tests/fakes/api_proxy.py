"""A proxy in front of a real API server that can be told to answer badly: what the real one cannot be made to do."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp import web

_HOP = frozenset({"host", "transfer-encoding", "content-length", "connection", "content-encoding"})


class Fault(Enum):
    """What happens to a request instead of its usual answer."""

    TOO_MANY = auto()
    """429, try again in a second; the request is not passed on."""

    CONFLICT = auto()
    """409; the request is not passed on."""

    ANSWER_LOST = auto()
    """The request is carried out, and the connection breaks before its answer."""


@dataclass
class Rule:
    """The next requests that fit go wrong.

    Attributes:
        path: regular expression, searched in the path.
        body: likewise, searched in what is sent.
        left: how many more.
        met: how many have.
    """

    method: str
    path: str
    body: str
    fault: Fault
    left: int
    met: int = 0


@dataclass
class ApiProxy:
    """The proxy; serves plain HTTP to whoever brings a bearer token."""

    upstream: str
    ca_file: Path
    rules: list[Rule] = field(default_factory=list)
    url: str = ""

    def expect(self, method: str, path: str, fault: Fault, times: int = 1, *, body: str = "") -> Rule:
        """Let the next ``times`` requests of this kind go wrong."""
        rule = Rule(method, path, body, fault, times)
        self.rules.append(rule)
        return rule

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, or not."""
        body = await request.read()
        rule = self._rule(request, body)
        if rule is not None and rule.fault is Fault.TOO_MANY:
            return _status(HTTPStatus.TOO_MANY_REQUESTS, "slow down", {"Retry-After": "1"})
        if rule is not None and rule.fault is Fault.CONFLICT:
            return _status(HTTPStatus.CONFLICT, "the object has been modified", {})
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        session: aiohttp.ClientSession = request.app[SESSION]
        async with session.request(
            request.method, self.upstream + request.raw_path, headers=headers, data=body or None
        ) as got:
            if rule is not None:
                await got.read()
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            kept = {name: value for name, value in got.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=got.status, headers=kept)
            await response.prepare(request)
            # A watch streams for minutes, and its client goes when it likes.
            with suppress(ConnectionError, aiohttp.ClientError):
                async for chunk in got.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    def _rule(self, request: web.Request, body: bytes) -> Rule | None:
        for rule in self.rules:
            fits = rule.method == request.method and re.search(rule.path, request.path)
            if rule.left and fits and re.search(rule.body, body.decode()):
                rule.left -= 1
                rule.met += 1
                return rule
        return None


SESSION = web.AppKey("session", aiohttp.ClientSession)


def _status(code: HTTPStatus, message: str, headers: dict[str, str]) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.value, "message": message}
    return web.json_response(body, status=code.value, headers=headers)


@contextmanager
def serve(upstream: str, ca_file: Path) -> Iterator[ApiProxy]:
    """Serve a proxy of this API server on a free port, in a thread of its own."""
    proxy, loop, ended = ApiProxy(upstream, ca_file), asyncio.new_event_loop(), asyncio.Event()
    started = threading.Event()

    async def run() -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", proxy.answer)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca_file)), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=True) as session:
            app[SESSION] = session
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set()
            await ended.wait()
            await runner.cleanup()
            watches = asyncio.all_tasks() - {asyncio.current_task()}
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the proxy did not start")
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
