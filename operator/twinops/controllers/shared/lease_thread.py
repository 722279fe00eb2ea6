"""Runs the elector in a thread of its own, so that a renewal waits for nothing that the process does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from twinops.controllers.shared.lease import Elector
from twinops.errors import LeadershipLost
from twinops.ports.process import Clock

BEAT_SECONDS = 1.0
"""Pause between two beats of the main loop."""

STALLED_SECONDS = 30.0
"""A main loop that has not beaten for so long stands still: the lease is not renewed, so that another process leads."""

RELEASE_SECONDS = 5.0
"""Seconds that releasing the lease may take at the end; a lease that is not released runs out."""

Electors = Callable[[Callable[[], bool]], AbstractAsyncContextManager[Elector]]
"""Makes the elector, and whatever it needs, within the thread; is given whether the process is alive."""


class LeaseThread:
    """An elector with a thread, an event loop and connections of its own.

    The main loop may stand still for seconds, when a thousand twins come at once: renewals go on. A main loop that
    stands still for longer than ``STALLED_SECONDS`` will not go on; its lease is lost, and ``lost`` is called.

    ``start`` and ``aclose`` belong to the main loop; ``fence`` may be called from any thread.

    Args:
        electors: makes the elector in the thread.
        clock: monotonic time.
        lost: called in the thread when leadership is lost, as the main loop may stand still.
    """

    def __init__(self, electors: Electors, clock: Clock, *, lost: Callable[[], None]) -> None:
        self._electors = electors
        self._clock = clock
        self._on_lost = lost
        self._elector: Elector | None = None
        self._beaten = clock.monotonic()
        self._beating: asyncio.TimerHandle | None = None
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._stop: Callable[[], None] | None = None
        self._stopping = threading.Event()
        self.leading = asyncio.Event()
        """Set in the main loop once this process leads."""
        self.lost = asyncio.Event()
        """Set in the main loop once this process led and does not any more: it must exit."""

    def start(self) -> asyncio.Future[None]:
        """Start the thread; the future is done when leadership was lost or released, with the error of a defect."""
        main = asyncio.get_running_loop()
        self._beat(main)
        threading.Thread(target=self._run, args=(main,), name="lease", daemon=True).start()
        return asyncio.wrap_future(self._ended)

    def fence(self) -> None:
        """Return only while this process surely leads. Call it right before every write.

        Raises:
            LeadershipLost: it does not lead, or its last renewal is too long ago to be sure.
        """
        elector = self._elector
        if elector is None:
            raise LeadershipLost("no lease has been asked for yet")
        elector.fence()

    async def aclose(self) -> None:
        """Stop renewing, release the lease, and wait for the end of the thread."""
        self._stopping.set()
        if self._stop is not None:
            self._stop()
        await asyncio.wait({asyncio.wrap_future(self._ended)}, timeout=RELEASE_SECONDS)
        if self._beating is not None:
            self._beating.cancel()

    def _beat(self, main: asyncio.AbstractEventLoop) -> None:
        """Note that the main loop goes on, and do so again soon."""
        self._beaten = self._clock.monotonic()
        self._beating = main.call_later(BEAT_SECONDS, self._beat, main)

    def _alive(self) -> bool:
        return self._clock.monotonic() - self._beaten < STALLED_SECONDS

    def _run(self, main: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._elect(main))
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _elect(self, main: asyncio.AbstractEventLoop) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: _from_elsewhere(loop, stop.set)
        if self._stopping.is_set():
            return
        async with self._electors(self._alive) as elector:
            self._elector = elector
            running = asyncio.create_task(elector.run())
            waits = [asyncio.create_task(event.wait()) for event in (elector.leading, elector.lost, stop)]
            leading, _, stopped = waits
            leading.add_done_callback(
                lambda done: None if done.cancelled() else _from_elsewhere(main, self.leading.set)
            )
            try:
                await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if elector.lost.is_set():
                    self._on_lost()
                    _from_elsewhere(main, self.lost.set)
                    await stopped
            finally:
                for task in (running, *waits):
                    task.cancel()
                ends = await asyncio.gather(running, return_exceptions=True)
                await elector.release()
            if isinstance(ends[0], Exception):
                raise ends[0]


def _from_elsewhere(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """Call this in the loop of another thread, unless that loop has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(act)
