"""Renewals go on while the main loop stands still, and end when it stands still for good."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fakes.leases import LeaseLine, LeaseStore
from fakes.telemetry import FakeTelemetry
from twinops.adapters.clock import SystemClock
from twinops.controllers.shared import lease_thread
from twinops.controllers.shared.lease import ElectionTimes, Elector
from twinops.controllers.shared.lease_thread import LeaseThread
from twinops.errors import LeadershipLost

TIMES = ElectionTimes(lease_duration=2, renew_deadline=0.6, retry_period=0.1, request_timeout=0.2)


class Scene:
    """A lease in memory, and the thread that holds it."""

    def __init__(self) -> None:
        self.store = LeaseStore()
        self.line = LeaseLine(self.store)
        self.ended = threading.Event()
        self.threads: set[str] = set()
        self.defect: Exception | None = None
        self.lease = LeaseThread(self._elector, SystemClock(), lost=self.ended.set)

    @asynccontextmanager
    async def _elector(self, alive: Callable[[], bool]) -> AsyncIterator[Elector]:
        self.threads.add(threading.current_thread().name)
        if self.defect is not None:
            raise self.defect
        yield Elector(self.line, SystemClock(), FakeTelemetry(), TIMES, identity="me", alive=alive)

    async def lead(self) -> asyncio.Future[None]:
        ended = self.lease.start()
        await asyncio.wait_for(self.lease.leading.wait(), 10)
        return ended


def stand_still(seconds: float) -> None:
    """Occupy the loop and let go of the GIL now and then, as a thousand first syncs do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


async def test_a_main_loop_that_stands_still_longer_than_the_deadline_keeps_the_lease() -> None:
    scene = Scene()
    ended = await scene.lead()
    assert scene.threads == {"lease"}
    stand_still(3 * TIMES.renew_deadline)
    scene.lease.fence()
    assert not scene.ended.is_set()
    await scene.lease.aclose()
    assert ended.exception() is None
    assert scene.store.record is not None
    assert scene.store.record.holder == "", "released"
    with pytest.raises(LeadershipLost):
        scene.lease.fence()


async def test_a_main_loop_that_stands_still_for_good_loses_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_thread, "STALLED_SECONDS", 1.5)
    scene = Scene()
    await scene.lead()
    deadline = time.monotonic() + 20
    while not scene.ended.is_set():
        assert time.monotonic() < deadline
        stand_still(0.05)
    with pytest.raises(LeadershipLost):
        scene.lease.fence()
    assert scene.store.record is not None
    renewed = scene.store.record.renew_time
    await asyncio.wait_for(scene.lease.lost.wait(), 5)
    assert scene.store.record.renew_time == renewed
    await scene.lease.aclose()


async def test_before_the_lease_is_held_nothing_may_be_written() -> None:
    scene = Scene()
    scene.line.cut = True
    with pytest.raises(LeadershipLost):
        scene.lease.fence()
    ended = scene.lease.start()
    with pytest.raises(LeadershipLost):
        scene.lease.fence()
    await scene.lease.aclose()
    assert ended.exception() is None
    assert not scene.lease.lost.is_set()


async def test_a_defect_in_the_thread_is_told() -> None:
    scene = Scene()
    scene.defect = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(scene.lease.start(), 10)
    await scene.lease.aclose()
