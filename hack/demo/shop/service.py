"""The shop's HTTP service, and the two endpoints by which the demonstration plays its kubelet."""

from __future__ import annotations

import asyncio

from aiohttp import web

from demo.scenario import PodShape
from demo.shop.capacity import Overloaded, Pool
from demo.shop.exposition import Exposition

LOOPBACK = "127.0.0.1"

REPLICAS_HEADER = "X-Shop-Replicas"
"""Tells with every answer how many pods are ready."""


class Shop:
    """The service in front of a pool of pods.

    Args:
        namespace: label of its metrics.
        shape: what each pod can do.
        seed: of the service times.
    """

    def __init__(self, namespace: str, shape: PodShape, seed: int) -> None:
        self._pool = Pool(shape, seed)
        self._exposition = Exposition(namespace)

    def application(self) -> web.Application:
        """Return the application.

        - `GET /`: an order, as customers send it; 503 when overloaded.
        - `GET /metrics`: for Prometheus.
        - `PUT /-/pods`, a list of names: these pods are ready now.
        - `GET /-/cpu`: CPU seconds by pod, as a kubelet would measure them.
        """
        application = web.Application()
        application.add_routes(
            [
                web.get("/", self._order),
                web.get("/metrics", self._metrics),
                web.put("/-/pods", self._pods),
                web.get("/-/cpu", self._cpu),
            ]
        )
        return application

    async def _order(self, _request: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            pod, code = (await self._pool.serve()).name, 200
        except Overloaded as overloaded:
            pod, code = overloaded.pod, 503
        self._exposition.count(pod, code, loop.time() - start)
        return web.Response(status=code, headers={REPLICAS_HEADER: str(len(self._pool.pods))})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._exposition.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _pods(self, request: web.Request) -> web.Response:
        names = await request.json()
        self._pool.set_ready(names)
        self._exposition.set_pods(names)
        return web.Response(status=204)

    async def _cpu(self, _request: web.Request) -> web.Response:
        return web.json_response({pod.name: pod.cpu_seconds for pod in self._pool.pods})
