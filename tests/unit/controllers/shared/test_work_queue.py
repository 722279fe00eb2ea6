"""Requests wake a twin's loop at once, coalesce, and are never lost."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.work_queue import SPACING_SECONDS, Accepted, WorkQueue


@in_fake_time
async def test_without_a_request_the_slot_ends_the_wait() -> None:
    clock = FakeClock()
    began = clock.monotonic()
    assert await WorkQueue(clock).wait("a", 60) is None
    assert clock.monotonic() - began == pytest.approx(60)


@in_fake_time
async def test_a_request_ends_the_wait_at_once_and_says_why() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    waiting = asyncio.create_task(wakeups.wait("a", 3600))
    await asyncio.sleep(10)
    began = clock.monotonic()
    assert wakeups.request("a", "spec changed") is Accepted.QUEUED
    assert await waiting == "spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_request_before_the_wait_is_kept() -> None:
    wakeups = WorkQueue(FakeClock())
    wakeups.request("a", "spec changed")
    assert await wakeups.wait("a", 3600) == "spec changed"
    assert await wakeups.wait("a", 5) is None


@in_fake_time
async def test_requests_coalesce_and_each_reason_is_told_once() -> None:
    wakeups = WorkQueue(FakeClock())
    for why in ("spec changed", "sync requested", "spec changed"):
        wakeups.request("a", why)
    assert await wakeups.wait("a", 3600) == "spec changed, sync requested"
    assert await wakeups.wait("a", 5) is None


@in_fake_time
async def test_endless_different_reasons_do_not_pile_up() -> None:
    wakeups = WorkQueue(FakeClock())
    for number in range(1000):
        wakeups.request("a", f"reason {number}")
    assert await wakeups.wait("a", 3600) == "reason 0, reason 1, reason 2, reason 3"


@in_fake_time
async def test_requests_wake_only_the_twin_they_name() -> None:
    wakeups = WorkQueue(FakeClock())
    wakeups.request("b", "spec changed")
    assert await wakeups.wait("a", 5) is None


@in_fake_time
async def test_a_request_during_a_sync_is_told_so_and_runs_next() -> None:
    wakeups = WorkQueue(FakeClock())
    with wakeups.running("a"):
        assert wakeups.is_running("a")
        answer = wakeups.request("a", "sync requested")
    assert answer is Accepted.IN_PROGRESS
    assert answer.value == "sync already in progress"
    assert not wakeups.is_running("a")
    assert await wakeups.wait("a", 3600) == "sync requested"


@in_fake_time
async def test_a_sync_that_begins_answers_what_was_asked_before() -> None:
    wakeups = WorkQueue(FakeClock())
    wakeups.request("a", "source changed", delay=3)
    with wakeups.running("a"):
        pass
    assert await wakeups.wait("a", 5) is None


@in_fake_time
async def test_a_twin_never_syncs_twice_at_once() -> None:
    wakeups = WorkQueue(FakeClock())
    with wakeups.running("a"), pytest.raises(RuntimeError, match="syncing already"), wakeups.running("a"):
        pass


@in_fake_time
async def test_a_sync_that_fails_has_ended() -> None:
    wakeups = WorkQueue(FakeClock())
    with pytest.raises(ValueError, match="broken"), wakeups.running("a"):
        raise ValueError("broken")
    assert not wakeups.is_running("a")


@in_fake_time
async def test_a_delayed_request_waits_its_time_and_not_more() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    began = clock.monotonic()
    wakeups.request("a", "source changed", delay=3)
    assert await wakeups.wait("a", 60) == "source changed"
    assert clock.monotonic() - began == pytest.approx(3)


@in_fake_time
async def test_an_urgent_request_overtakes_a_delayed_one() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    waiting = asyncio.create_task(wakeups.wait("a", 60))
    wakeups.request("a", "source changed", delay=5)
    await asyncio.sleep(1)
    wakeups.request("a", "spec changed")
    began = clock.monotonic()
    assert await waiting == "source changed, spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_slot_that_comes_before_a_delayed_request_is_kept() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    began = clock.monotonic()
    wakeups.request("a", "source changed", delay=5)
    assert await wakeups.wait("a", 2) is None
    assert clock.monotonic() - began == pytest.approx(2)


@in_fake_time
async def test_a_thousand_twins_woken_by_one_cause_are_spread() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    uids = [f"uid-{number}" for number in range(5000)]
    began = clock.monotonic()
    woken: list[float] = []

    async def daemon(uid: str) -> None:
        assert await wakeups.wait(uid, 3600) == "MetricsSource default changed"
        woken.append(clock.monotonic() - began)

    async with asyncio.TaskGroup() as group:
        for uid in uids:
            group.create_task(daemon(uid))
        await asyncio.sleep(0)
        wakeups.request_all(uids, "MetricsSource default changed")
    assert max(woken) <= 5.1
    assert max(sum(second <= moment < second + 1 for moment in woken) for second in range(5)) < 1200


@in_fake_time
async def test_forgetting_a_twin_ends_its_wait_and_drops_its_requests() -> None:
    wakeups = WorkQueue(FakeClock())
    waiting = asyncio.create_task(wakeups.wait("a", 3600))
    await asyncio.sleep(1)
    wakeups.forget("a")
    assert await waiting is None
    assert len(wakeups) == 0
    wakeups.forget("a")


@in_fake_time
async def test_a_twin_made_anew_starts_without_old_requests() -> None:
    wakeups = WorkQueue(FakeClock())
    wakeups.request("a", "spec changed")
    wakeups.forget("a")
    assert await wakeups.wait("a", 5) is None


@in_fake_time
async def test_requested_syncs_begin_some_seconds_apart_however_many_ask() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    begins: list[float] = []

    async def daemon() -> None:
        while True:
            with wakeups.running("a"):
                begins.append(clock.monotonic())
                await asyncio.sleep(0.1)
            await wakeups.wait("a", 3600)

    living = asyncio.create_task(daemon())
    for number in range(3000):
        wakeups.request("a", f"reason {number % 7}", delay=number % 2)
        await asyncio.sleep(0.02)
    living.cancel()
    gaps = [later - earlier for earlier, later in itertools.pairwise(begins)]
    assert min(gaps) >= SPACING_SECONDS
    assert 12 <= len(begins) <= 13


@in_fake_time
async def test_a_request_long_after_the_last_sync_is_answered_at_once() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    with wakeups.running("a"):
        pass
    await asyncio.sleep(SPACING_SECONDS)
    wakeups.request("a", "spec changed")
    began = clock.monotonic()
    assert await wakeups.wait("a", 3600) == "spec changed"
    assert clock.monotonic() == began


@in_fake_time
async def test_a_twin_that_goes_is_roused_at_once() -> None:
    clock = FakeClock()
    wakeups = WorkQueue(clock)
    with wakeups.running("a"):
        wakeups.request("a", "sync requested")
    began = clock.monotonic()
    wakeups.rouse("a", "being deleted")
    assert await wakeups.wait("a", 3600) == "sync requested, being deleted"
    assert clock.monotonic() == began
