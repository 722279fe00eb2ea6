"""The life of a daemon, in fake time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import FINISH_SECONDS, SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.ports.kubernetes import TwinRef

RETRY_AFTER_CRASH = Failure.CRASH.first
REF = TwinRef("shop", "checkout", "u1")


class Syncs:
    """Writes down when it was asked to sync."""

    def __init__(self, clock: FakeClock, *, settled: bool = False) -> None:
        self.times: list[float] = []
        self.lags: list[float] = []
        self.told: list[TwinRef] = []
        self.retry: float | None = None
        self.crash = False
        self.cancelled = False
        self.takes = 0.0
        self._clock = clock
        self._settled = settled

    async def sync(self, _: TwinRef, due: float) -> float | None:
        self.times.append(self._clock.monotonic())
        await asyncio.sleep(self.takes)
        self.lags.append(self._clock.monotonic() - due)
        if self.cancelled:
            raise asyncio.CancelledError
        if self.crash:
            raise RuntimeError("a defect")
        return self.retry

    async def crashed(self, ref: TwinRef) -> None:
        self.told.append(ref)

    def resume(self, _: TwinRef) -> bool:
        return self._settled

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


class Scene:
    """One daemon."""

    def __init__(self, *, interval: int = 60, settled: bool = False) -> None:
        self.clock = FakeClock()
        self.syncs = Syncs(self.clock, settled=settled)
        self.store = TwinStore()
        self.forgotten: list[TwinRef] = []
        self.store.on_forget(self.forgotten.append)
        self.queue = WorkQueue(self.store, self.clock)
        self.watchdog = Watchdog(self.store, self.clock)
        self.first_syncs = FirstSyncs(self.clock, most=32)
        self.sync_loop = SyncLoop(
            self.syncs, self.store, self.queue, self.clock, self.watchdog, first_syncs=self.first_syncs
        )
        self._version = 0
        self.interval(interval)

    def interval(self, seconds: int, **meta: Any) -> None:
        self._version += 1
        meta |= {"namespace": "shop", "name": "checkout", "uid": "u1", "resourceVersion": str(self._version)}
        spec = {"source": {"systemType": "Custom"}, "syncFrequencySeconds": seconds}
        self.store.put({"metadata": meta, "spec": spec})

    async def run(self, seconds: float, **then: Any) -> None:
        """Let the daemon live so long, doing things at times: ``at_30=callable``."""
        stop = asyncio.get_running_loop().create_future()
        living = asyncio.create_task(self.sync_loop.run(REF, stop))
        begin = self.clock.monotonic()
        for name, act in sorted(then.items(), key=lambda item: float(item[0][3:])):
            await asyncio.sleep(begin + float(name[3:]) - self.clock.monotonic())
            act()
        await asyncio.sleep(begin + seconds - self.clock.monotonic())
        stop.set_result(None)
        await living


@in_fake_time
async def test_a_new_twin_syncs_at_once_and_then_on_its_grid() -> None:
    scene = Scene()
    await scene.run(600)
    assert scene.syncs.times[0] == 1000
    assert all(abs(gap - 60) < 2 for gap in scene.syncs.gaps[2:])
    assert all(30 <= gap <= 62 for gap in scene.syncs.gaps)


@in_fake_time
async def test_a_restart_does_not_sync_everything_at_once() -> None:
    scene = Scene(interval=3600, settled=True)
    await scene.run(3600)
    assert len(scene.syncs.times) == 1
    assert scene.syncs.times[0] > 1000


@in_fake_time
async def test_a_request_is_answered_at_once() -> None:
    scene = Scene(interval=3600)
    await scene.run(100, at_50=lambda: scene.queue.request("u1", "asked"))
    assert scene.syncs.times == [1000, 1050]


@in_fake_time
async def test_requests_during_a_sync_run_once_after_it() -> None:
    scene = Scene(interval=3600)
    scene.syncs.takes = 10
    await scene.run(
        100,
        at_3=lambda: scene.queue.request("u1", "asked"),
        at_5=lambda: scene.queue.request("u1", "asked again"),
    )
    assert scene.syncs.times == [1000, 1010]


@in_fake_time
async def test_a_retry_comes_before_the_slot() -> None:
    scene = Scene(interval=3600)
    scene.syncs.retry = 6.0
    await scene.run(20)
    assert scene.syncs.times == [1000, 1006, 1012, 1018]


@in_fake_time
async def test_a_crash_does_not_end_the_daemon() -> None:
    scene = Scene(interval=3600)
    scene.syncs.crash = True
    await scene.run(RETRY_AFTER_CRASH * 8)
    assert scene.syncs.gaps == pytest.approx([RETRY_AFTER_CRASH, 2 * RETRY_AFTER_CRASH, 4 * RETRY_AFTER_CRASH], rel=0.2)
    assert scene.syncs.told == [REF] * 4


@in_fake_time
async def test_a_cancellation_inside_a_sync_does_not_end_the_daemon() -> None:
    scene = Scene(interval=3600)
    scene.syncs.cancelled = True
    await scene.run(RETRY_AFTER_CRASH * 4)
    assert scene.syncs.gaps == pytest.approx([RETRY_AFTER_CRASH, 2 * RETRY_AFTER_CRASH], rel=0.2)


@in_fake_time
async def test_the_lag_counts_from_the_slot_to_the_end_of_the_sync() -> None:
    scene = Scene(interval=60, settled=True)
    scene.syncs.takes = 2.0
    await scene.run(300)
    assert len(scene.syncs.lags) >= 4
    assert scene.syncs.lags == pytest.approx([2.0] * len(scene.syncs.lags), abs=0.01)


@in_fake_time
async def test_a_slot_that_was_skipped_counts_until_the_sync_that_answers_it() -> None:
    scene = Scene(interval=60, settled=True)
    scene.syncs.takes = 61.0
    await scene.run(400)
    first, *later = scene.syncs.lags
    assert first == pytest.approx(61, abs=0.01)
    # Each of these answers the slot that came during the one before, a whole interval before its own.
    assert later == pytest.approx([61 + 60] * len(later), abs=0.01)
    assert len(later) >= 2


@in_fake_time
async def test_the_lag_of_a_requested_sync_counts_from_its_request() -> None:
    scene = Scene(interval=3600)
    scene.syncs.takes = 1.0

    def ask_while_busy() -> None:
        # The loop gets to it three seconds later, as in a stall.
        scene.queue.request("u1", "asked", delay=-3.0, at_once=True)

    await scene.run(100, at_50=ask_while_busy)
    assert scene.syncs.lags == pytest.approx([1.0, 4.0], abs=0.01)


@in_fake_time
async def test_a_daemon_that_sleeps_has_no_task_but_its_own() -> None:
    scene = Scene(interval=3600)
    before = len(asyncio.all_tasks())
    stop = asyncio.get_running_loop().create_future()
    living = asyncio.create_task(scene.sync_loop.run(REF, stop))
    await asyncio.sleep(10)
    assert scene.syncs.times == [1000]
    assert len(asyncio.all_tasks()) == before + 1
    stop.set_result(None)
    await living


@in_fake_time
async def test_an_interval_changes_live() -> None:
    scene = Scene(interval=3600)

    def edit() -> None:
        scene.interval(5)
        scene.queue.request("u1", "spec changed")

    await scene.run(100, at_40=edit)
    assert len(scene.syncs.times) > 10
    assert max(scene.syncs.gaps[1:]) <= 5.2


@in_fake_time
async def test_a_wall_clock_that_jumps_makes_neither_a_burst_nor_a_gap() -> None:
    scene = Scene(interval=60)
    await scene.run(1200, at_200=lambda: scene.clock.jump(-86_400), at_700=lambda: scene.clock.jump(7200.5))
    assert all(29 <= gap <= 62 for gap in scene.syncs.gaps)


@in_fake_time
async def test_a_daemon_that_ends_leaves_nothing_behind() -> None:
    scene = Scene()
    await scene.run(10)
    assert scene.forgotten == [REF]
    record = scene.store.get(REF.uid)
    assert record is not None
    assert record.daemon.due is None


async def ended(scene: Scene, *, stop_after: float | None = None, delete: Callable[[], None] | None = None) -> float:
    """Let a daemon begin a sync, then stop it or delete its twin; return the seconds that it took to end."""
    stop = asyncio.get_running_loop().create_future()
    living = asyncio.create_task(scene.sync_loop.run(REF, stop))
    await asyncio.sleep(stop_after or 1)
    assert scene.sync_loop.has_daemon(REF.uid)
    begin = scene.clock.monotonic()
    if delete is None:
        stop.set_result(None)
    else:
        delete()
    await living
    assert not scene.sync_loop.has_daemon(REF.uid)
    assert set(scene.forgotten) == {REF}
    assert not scene.queue.is_running(REF.uid)
    return scene.clock.monotonic() - begin


@in_fake_time
@pytest.mark.parametrize(
    ("takes", "seconds"),
    [
        pytest.param(0.0, 0.0, id="between-syncs"),
        pytest.param(3.0, 2.0, id="in-a-sync-that-ends"),
        pytest.param(600.0, FINISH_SECONDS, id="in-a-sync-that-hangs"),
    ],
)
async def test_a_daemon_that_is_told_to_stop_ends_in_seconds(takes: float, seconds: float) -> None:
    scene = Scene()
    scene.syncs.takes = takes
    assert await ended(scene) == pytest.approx(seconds, abs=0.01)


@in_fake_time
async def test_a_daemon_that_waits_for_a_place_ends_in_seconds() -> None:
    scene = Scene()
    first_syncs = FirstSyncs(scene.clock, most=32)
    full = SyncLoop(
        scene.syncs, scene.store, scene.queue, scene.clock, scene.watchdog, first_syncs=first_syncs, concurrency=1
    )
    scene.syncs.takes = 600.0
    stop = asyncio.get_running_loop().create_future()
    daemons = [asyncio.create_task(full.run(TwinRef("shop", uid, uid), stop)) for uid in ("u1", "u2")]
    scene.store.put({"metadata": {"namespace": "shop", "name": "u2", "uid": "u2"}, "spec": {}})
    await asyncio.sleep(1)
    stop.set_result(None)
    await asyncio.wait_for(asyncio.gather(*daemons), FINISH_SECONDS + 1)


@in_fake_time
async def test_a_daemon_ends_by_itself_when_its_twin_is_being_deleted_or_gone() -> None:
    def being_deleted(scene: Scene) -> None:
        scene.interval(3600, deletionTimestamp="2026-01-01T00:00:00Z")
        scene.queue.request("u1", "being deleted", at_once=True)

    def gone(scene: Scene) -> None:
        scene.store.drop("u1")

    for delete in (being_deleted, gone):
        scene = Scene(interval=3600)
        assert await ended(scene, delete=partial(delete, scene)) < 0.1


@in_fake_time
async def test_a_daemon_made_for_a_twin_that_has_gone_ends_at_once() -> None:
    scene = Scene()
    scene.store.drop("u1")
    await scene.sync_loop.run(REF, asyncio.get_running_loop().create_future())
    assert scene.syncs.times == []


class Crowd:
    """Twins of a source that never answers within its time-out, and twins of one that does."""

    def __init__(self, hung: int, well: int, *, timeout: float, one_source: bool, concurrency: int = 64) -> None:
        self.clock = FakeClock()
        self.timeout = timeout
        self.synced: dict[str, list[float]] = {}
        self.latest = 0.0
        store = TwinStore()
        self.watchdog = Watchdog(store, self.clock)
        queue = WorkQueue(store, self.clock)
        self.first_syncs = FirstSyncs(self.clock, most=concurrency // 2)
        self.sync_loop = SyncLoop(
            self, store, queue, self.clock, self.watchdog, first_syncs=self.first_syncs, concurrency=concurrency
        )
        self.refs = []
        for number in range(hung + well):
            kind = "hung" if number < hung else "well"
            source = {"systemType": "Custom", "metricsSourceRef": {"name": "shared" if one_source else kind}}
            meta = {"namespace": "shop", "name": f"{kind}-{number}", "uid": f"u{number}", "resourceVersion": "1"}
            self.refs.append(store.put({"metadata": meta, "spec": {"source": source}}).ref)

    async def sync(self, ref: TwinRef, due: float) -> float | None:
        if ref.name.startswith("hung"):
            await asyncio.sleep(self.timeout)
            return 30.0
        self.latest = max(self.latest, self.clock.monotonic() - due)
        self.synced.setdefault(ref.name, []).append(self.clock.monotonic())
        await asyncio.sleep(0.02)
        return None

    async def crashed(self, ref: TwinRef) -> None:
        raise AssertionError(ref)

    def resume(self, _: TwinRef) -> bool:
        return True

    async def live(self, seconds: float) -> None:
        stop = asyncio.get_running_loop().create_future()
        daemons = [asyncio.create_task(self.sync_loop.run(ref, stop)) for ref in self.refs]
        for _ in range(int(seconds / 10)):
            await asyncio.sleep(10)
            assert self.watchdog.verdict().healthy, self.watchdog.verdict().message
        for daemon in daemons:
            daemon.cancel()
        await asyncio.gather(*daemons, return_exceptions=True)


@pytest.mark.parametrize(
    ("hung", "timeout", "one_source", "late"),
    [
        pytest.param(300, 10.0, False, 3.0, id="another source hangs"),
        pytest.param(300, 121.0, False, 3.0, id="another source hangs, with the longest time-outs"),
        pytest.param(300, 10.0, True, 10.0, id="queries of others hang in the same source"),
    ],
)
def test_twins_that_wait_for_a_source_neither_delay_others_nor_end_the_process(
    hung: int,
    timeout: float,
    one_source: bool,  # noqa: FBT001 - a table case
    late: float,
) -> None:
    @in_fake_time
    async def scene() -> None:
        crowd = Crowd(hung, 20, timeout=timeout, one_source=one_source)
        await crowd.live(300)
        assert min(len(times) for times in crowd.synced.values()) >= 4
        assert crowd.latest < late

    scene()


@in_fake_time
async def test_the_wait_for_a_place_counts_as_lag() -> None:
    crowd = Crowd(0, 3, timeout=1, one_source=True, concurrency=1)
    permit = await crowd.sync_loop._permits.acquire(("elsewhere", "quick"))
    living = asyncio.create_task(crowd.live(120))
    await asyncio.sleep(70)
    permit.release()
    await living
    assert crowd.latest > 5


@in_fake_time
async def test_a_sync_that_never_ends_for_a_reason_of_our_own_is_noticed() -> None:
    crowd = Crowd(3, 0, timeout=1e9, one_source=True)
    with pytest.raises(AssertionError, match="of 3 twins are overdue"):
        await crowd.live(600)


class Storm:
    """Twins that are synced already, and new ones that come all at once. Every sync takes CPU time of the loop."""

    def __init__(self, old: int, new: int) -> None:
        self.clock = FakeClock()
        self.lags: dict[str, list[float]] = {"old": [], "new": []}
        self.store = TwinStore()
        self.watchdog = Watchdog(self.store, self.clock)
        self.loop_lags: list[float] = []
        self.first_syncs = FirstSyncs(self.clock, most=32, lagged=self.loop_lags.append)
        queue = WorkQueue(self.store, self.clock)
        self.sync_loop = SyncLoop(
            self, self.store, queue, self.clock, self.watchdog, first_syncs=self.first_syncs, concurrency=64
        )
        self.old = [self._twin("old", number) for number in range(old)]
        self.new = [self._twin("new", number) for number in range(new)]

    def _twin(self, kind: str, number: int) -> TwinRef:
        meta = {"namespace": "shop", "name": f"{kind}-{number}", "uid": f"{kind}-{number}", "resourceVersion": "1"}
        return self.store.put({"metadata": meta, "spec": {"source": {"systemType": "Custom"}}}).ref

    async def sync(self, ref: TwinRef, due: float) -> float | None:
        kind = ref.name[:3]
        for _ in range(20 if kind == "new" else 1):
            # Others of the same round of the loop come after this piece of work.
            asyncio.get_running_loop()._warp.now += 0.005  # type: ignore[attr-defined]
            await asyncio.sleep(0.02)
        self.lags[kind].append(self.clock.monotonic() - due)
        return None

    async def crashed(self, ref: TwinRef) -> None:
        raise AssertionError(ref)

    def resume(self, ref: TwinRef) -> bool:
        return ref.name.startswith("old")


@in_fake_time
async def test_new_twins_by_the_hundred_do_not_hold_up_those_that_are_due() -> None:
    storm = Storm(old=100, new=500)
    stop = asyncio.get_running_loop().create_future()
    measuring = asyncio.create_task(storm.first_syncs.run())
    daemons = [asyncio.create_task(storm.sync_loop.run(ref, stop)) for ref in storm.old]
    await asyncio.sleep(130)
    storm.lags["old"].clear()
    daemons += [asyncio.create_task(storm.sync_loop.run(ref, stop)) for ref in storm.new]
    await until(lambda: len(storm.lags["new"]) >= len(storm.new), within=300)
    assert storm.watchdog.verdict().healthy, storm.watchdog.verdict().message
    assert storm.lags["old"], "twins are due during the storm"
    assert max(storm.lags["old"]) < 2.0
    assert max(storm.loop_lags) < 1.0
    stop.set_result(None)
    measuring.cancel()
    await asyncio.gather(*daemons)


async def hold(first_syncs: FirstSyncs, source: str) -> None:
    async with first_syncs.place(source):
        await asyncio.sleep(3600)


@in_fake_time
async def test_a_new_spec_is_admitted_as_a_first_sync_and_the_next_slot_is_not() -> None:
    scene = Scene(interval=60)
    full = [asyncio.create_task(hold(scene.first_syncs, f"source-{number}")) for number in range(10)]
    stop = asyncio.get_running_loop().create_future()
    # A loop that lags has no places to lend.
    scene.first_syncs.measured(1.0)
    living = asyncio.create_task(scene.sync_loop.run(REF, stop))
    await asyncio.sleep(10)
    assert scene.syncs.times == []
    for one in full:
        one.cancel()
    await until(lambda: len(scene.syncs.times) == 1, within=1)
    full = [asyncio.create_task(hold(scene.first_syncs, f"source-{number}")) for number in range(10)]
    await until(lambda: len(scene.syncs.times) == 3, within=120)
    stop.set_result(None)
    await living
    for one in full:
        one.cancel()
