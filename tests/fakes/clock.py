"""Time that passes only as fast as a test needs it to."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

START = 1_800_000_000.0


class _Warp(selectors.SelectSelector):
    """Instead of sleeping until the next timer, moves the loop's clock there. Real I/O still comes first."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            # Nothing is scheduled: only a thread or a socket can go on from here.
            return super().select(1.0)
        if not ready and timeout:
            self.now += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which every sleep takes no real time."""

    def __init__(self) -> None:
        self._warp = _Warp()
        super().__init__(self._warp)

    def time(self) -> float:
        return self._warp.now


class FakeClock:
    """The Clock of a ``FakeTimeLoop``. Its wall clock can be made to jump."""

    def __init__(self, wall: float = START) -> None:
        self._shift = wall - asyncio.get_running_loop().time()

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self._shift

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Move the wall clock, as an administrator or NTP may."""
        self._shift += seconds


def in_fake_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a ``FakeTimeLoop``."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], within: float = 60.0) -> None:
    """Wait, in the loop's time, for a condition.

    Raises:
        TimeoutError: it did not come true.
    """
    async with asyncio.timeout(within):
        while True:
            answer = condition()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.05)
