"""The operator's HTTP side: ``/metrics``, ``/healthz`` and ``/readyz``, in the event loop it reports on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from twinops.errors import SettingsError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Web:
    """A small HTTP server.

    ``/readyz`` answers 200 as long as the server runs: a standby is ready to take over, and one that
    was not ready would hold up every roll-out.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        render: returns what ``/metrics`` answers; called in a thread, since 10,000 twins take a while.
        health: returns whether the process should be left running, and why not, for ``/healthz``.
    """

    def __init__(
        self, host: str, port: int, *, render: Callable[[], bytes], health: Callable[[], tuple[bool, str]]
    ) -> None:
        self._host = host
        self._port = port
        self._render = render
        self._health = health
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            SettingsError: the address cannot be listened on.
        """
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
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        body = await asyncio.to_thread(self._render)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        healthy, message = self._health()
        return web.Response(text=message + "\n", status=200 if healthy else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")
