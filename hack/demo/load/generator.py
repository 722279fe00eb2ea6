"""Sends the same requests to every shop at the same time, and keeps what came back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

import aiohttp

from demo.load.measure import Answer
from demo.load.profile import Arrivals, LoadProfile
from demo.shop.service import REPLICAS_HEADER

_SERVER_ERROR = 500
_KEPT = 200_000
"""Answers kept per shop: ten times what the story sends, and an end to it when the demonstration stays up."""


class Generator:
    """An open-loop load generator: slow answers do not slow it down.

    Attributes:
        profile: the rate over time; may be changed while it runs.
        answers: what came back, by shop, the oldest first.

    Args:
        shops: URL by name of the shop.
        profile: the rate over time.
        seed: of the arrivals.
        timeout: seconds after which a request counts as failed.
    """

    def __init__(self, shops: Mapping[str, str], profile: LoadProfile, *, seed: int, timeout: float) -> None:
        self.profile = profile
        self.answers: dict[str, deque[Answer]] = {name: deque(maxlen=_KEPT) for name in shops}
        self._shops = dict(shops)
        self._arrivals = Arrivals(profile, seed)
        self._timeout = timeout
        self._start = 0.0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self._start if self._start else 0.0

    def between(self, name: str, start: float, end: float) -> list[Answer]:
        """Return the answers of one shop to requests that were sent from `start` until before `end`."""
        return [answer for answer in self.answers[name] if start <= answer.sent < end]

    async def run(self) -> None:
        """Send requests until cancelled; those under way are then given up."""
        self._start = asyncio.get_running_loop().time()
        # No limit of connections: requests never wait for each other on this side.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            while True:
                at = self._arrivals.following()
                await asyncio.sleep(max(0.0, at - self.now))
                for name, url in self._shops.items():
                    group.create_task(self._send(session, name, url, at))

    async def _send(self, session: aiohttp.ClientSession, name: str, url: str, at: float) -> None:
        # From the planned time on: a generator that falls behind must not flatter the shop.
        replicas: int | None = None
        try:
            async with session.get(url) as response:
                await response.read()
                replicas = int(response.headers.get(REPLICAS_HEADER, 0))
                failed = response.status >= _SERVER_ERROR
        except (aiohttp.ClientError, TimeoutError):
            failed = True
        seconds = self._timeout if failed else self.now - at
        self.answers[name].append(Answer(at, seconds, failed, replicas))
