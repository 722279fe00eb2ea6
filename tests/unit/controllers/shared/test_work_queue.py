"""Requests wake a twin's loop at once, coalesce, and are never lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.work_queue import SPACING_SECONDS, Accepted, WorkQueue


class Scene:
    """A queue, and the twins a and b."""

    def __init__(self, uids: Iterable[str] = ("a", "b")) -> None:
        self.clock = FakeClock()
        self.store = TwinStore()
        self.queue = WorkQueue(self.store, self.clock)
        for uid in uids:
            self.store.put({"metadata": {"namespace": "shop", "name": uid, "uid": uid}, "spec": {}})

    def record(self, uid: str = "a") -> TwinRecord:
        """Return a twin's record."""
        record = self.store.get(uid)
        assert record is not None
        return record

    async def wait(self, seconds: float, uid: str = "a") -> str | None:
        """Wait as the twin's daemon does."""
        return await self.queue.wait(self.record(uid), seconds)


@in_fake_time
async def test_without_a_request_the_slot_ends_the_wait() -> None:
    scene = Scene()
    clock = scene.clock
    began = clock.monotonic()
    assert await scene.wait(60) is None
    assert clock.monotonic() - began == pytest.approx(60)


@in_fake_time
async def test_a_request_ends_the_wait_at_once_and_says_why() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    waiting = asyncio.create_task(scene.wait(3600))
    await asyncio.sleep(10)
    began = clock.monotonic()
    assert queue.request("a", "spec changed") is Accepted.QUEUED
    assert await waiting == "spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_request_before_the_wait_is_kept() -> None:
    scene = Scene()
    queue = scene.queue
    queue.request("a", "spec changed")
    assert await scene.wait(3600) == "spec changed"
    assert await scene.wait(5) is None


@in_fake_time
async def test_requests_coalesce_and_each_reason_is_told_once() -> None:
    scene = Scene()
    queue = scene.queue
    for why in ("spec changed", "sync requested", "spec changed"):
        queue.request("a", why)
    assert await scene.wait(3600) == "spec changed, sync requested"
    assert await scene.wait(5) is None


@in_fake_time
async def test_endless_different_reasons_do_not_pile_up() -> None:
    scene = Scene()
    queue = scene.queue
    for number in range(1000):
        queue.request("a", f"reason {number}")
    assert await scene.wait(3600) == "reason 0, reason 1, reason 2, reason 3"


@in_fake_time
async def test_requests_wake_only_the_twin_they_name() -> None:
    scene = Scene()
    queue = scene.queue
    queue.request("b", "spec changed")
    assert await scene.wait(5) is None


@in_fake_time
async def test_a_request_during_a_sync_is_told_so_and_runs_next() -> None:
    scene = Scene()
    queue = scene.queue
    with queue.running(scene.record()):
        assert queue.is_running("a")
        answer = queue.request("a", "sync requested")
    assert answer is Accepted.IN_PROGRESS
    assert answer.value == "sync already in progress"
    assert not queue.is_running("a")
    assert await scene.wait(3600) == "sync requested"


@in_fake_time
async def test_a_sync_that_begins_answers_what_was_asked_before() -> None:
    scene = Scene()
    queue = scene.queue
    queue.request("a", "source changed", delay=3)
    with queue.running(scene.record()):
        pass
    assert await scene.wait(5) is None


@in_fake_time
async def test_a_twin_never_syncs_twice_at_once() -> None:
    scene = Scene()
    queue = scene.queue
    with (
        queue.running(scene.record()),
        pytest.raises(RuntimeError, match="syncing already"),
        queue.running(scene.record()),
    ):
        pass


@in_fake_time
async def test_a_sync_that_fails_has_ended() -> None:
    scene = Scene()
    queue = scene.queue
    with pytest.raises(ValueError, match="broken"), queue.running(scene.record()):
        raise ValueError("broken")
    assert not queue.is_running("a")


@in_fake_time
async def test_a_delayed_request_waits_its_time_and_not_more() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    began = clock.monotonic()
    queue.request("a", "source changed", delay=3)
    assert await scene.wait(60) == "source changed"
    assert clock.monotonic() - began == pytest.approx(3)


@in_fake_time
async def test_an_urgent_request_overtakes_a_delayed_one() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    waiting = asyncio.create_task(scene.wait(60))
    queue.request("a", "source changed", delay=5)
    await asyncio.sleep(1)
    queue.request("a", "spec changed")
    began = clock.monotonic()
    assert await waiting == "source changed, spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_slot_that_comes_before_a_delayed_request_is_kept() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    began = clock.monotonic()
    queue.request("a", "source changed", delay=5)
    assert await scene.wait(2) is None
    assert clock.monotonic() - began == pytest.approx(2)


@in_fake_time
async def test_a_thousand_twins_woken_by_one_cause_are_spread() -> None:
    uids = [f"uid-{number}" for number in range(5000)]
    scene = Scene(uids)
    clock, queue = scene.clock, scene.queue
    began = clock.monotonic()
    woken: list[float] = []

    async def daemon(uid: str) -> None:
        assert await scene.wait(3600, uid) == "MetricsSource default changed"
        woken.append(clock.monotonic() - began)

    async with asyncio.TaskGroup() as group:
        for uid in uids:
            group.create_task(daemon(uid))
        await asyncio.sleep(0)
        queue.request_all(uids, "MetricsSource default changed")
    assert max(woken) <= 5.1
    assert max(sum(second <= moment < second + 1 for moment in woken) for second in range(5)) < 1200


@in_fake_time
async def test_a_twin_that_is_dropped_ends_its_wait() -> None:
    scene = Scene()
    waiting = asyncio.create_task(scene.wait(3600))
    await asyncio.sleep(1)
    record = scene.store.drop("a")
    assert record is not None
    began = scene.clock.monotonic()
    assert await waiting is None
    assert await scene.queue.wait(record, 3600) is None, "dropped while it was being synced"
    assert scene.clock.monotonic() == began


@in_fake_time
async def test_a_daemon_that_ends_takes_its_requests_with_it() -> None:
    scene = Scene()
    scene.queue.request("a", "spec changed")
    scene.store.forget(scene.record())
    assert await scene.wait(5) is None


@in_fake_time
async def test_requests_for_a_twin_that_nobody_knows_are_ignored() -> None:
    scene = Scene()
    assert scene.queue.request("unknown", "spec changed") is Accepted.QUEUED
    scene.queue.request_all(["unknown"], "source changed")
    assert not scene.queue.is_running("unknown")
    assert len(scene.store) == 2


@in_fake_time
async def test_requested_syncs_begin_some_seconds_apart_however_many_ask() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    begins: list[float] = []

    async def daemon() -> None:
        while True:
            with queue.running(scene.record()):
                begins.append(clock.monotonic())
                await asyncio.sleep(0.1)
            await scene.wait(3600)

    living = asyncio.create_task(daemon())
    for number in range(3000):
        queue.request("a", f"reason {number % 7}", delay=number % 2)
        await asyncio.sleep(0.02)
    living.cancel()
    gaps = [later - earlier for earlier, later in itertools.pairwise(begins)]
    assert min(gaps) >= SPACING_SECONDS - 1e-9  # as floating point has it
    assert 12 <= len(begins) <= 13


@in_fake_time
async def test_a_request_long_after_the_last_sync_is_answered_at_once() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    with queue.running(scene.record()):
        pass
    await asyncio.sleep(SPACING_SECONDS)
    queue.request("a", "spec changed")
    began = clock.monotonic()
    assert await scene.wait(3600) == "spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_twin_that_goes_is_roused_at_once() -> None:
    scene = Scene()
    clock, queue = scene.clock, scene.queue
    with queue.running(scene.record()):
        queue.request("a", "sync requested")
    began = clock.monotonic()
    queue.request("a", "being deleted", at_once=True)
    assert await scene.wait(3600) == "sync requested, being deleted"
    assert clock.monotonic() == began
