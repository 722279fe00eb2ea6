"""Never two leaders, whatever the clocks, the network or the API server do; and soon a new one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from fakes.leases import LeaseLine, LeaseStore
from fakes.telemetry import FakeTelemetry
from twinops.controllers.shared.lease import ElectionTimes, Elector
from twinops.errors import LeadershipLost
from twinops.ports.kubernetes import LeaseRecord

TIMES = ElectionTimes()


class Candidate:
    """A process that stands for election."""

    def __init__(
        self,
        name: str,
        store: LeaseStore,
        *,
        wall_shift: float = 0.0,
        seed: int = 1,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.clock.jump(wall_shift)
        self.line = LeaseLine(store)
        self.telemetry = FakeTelemetry()
        chance = chance or random.Random(seed).random  # noqa: S311 - a seeded draw, no secret
        self.elector = Elector(self.line, self.clock, self.telemetry, TIMES, identity=name, chance=chance)
        self.task = asyncio.create_task(self.elector.run())

    @property
    def may_write(self) -> bool:
        try:
            self.elector.fence()
        except LeadershipLost:
            return False
        return True

    async def crash(self) -> None:
        """End as by SIGKILL: nothing is given back."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Watch:
    """Looks every 50 ms whether two processes may write at the same time."""

    def __init__(self, *candidates: Candidate) -> None:
        self._candidates = candidates
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            assert sum(c.may_write for c in self._candidates) <= 1, "two leaders"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._task.cancel()
        outcome = (await asyncio.gather(self._task, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome
        for candidate in self._candidates:
            await candidate.crash()


async def seconds_until(condition: Callable[[], bool], within: float = 60.0) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(condition, within)
    return loop.time() - began


@in_fake_time
async def test_a_single_process_leads_at_once_and_keeps_leading() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    watch = Watch(a)
    assert await seconds_until(lambda: a.may_write) < 1
    assert a.elector.leading.is_set()
    assert a.telemetry.leading is True
    await asyncio.sleep(600)
    assert a.may_write
    assert not a.elector.lost.is_set()
    assert store.record is not None
    assert (store.record.holder, store.record.transitions, store.record.duration_seconds) == ("a", 0, 15)
    assert store.record.renew_time == pytest.approx(a.clock.now(), abs=3)
    await watch.close()


@in_fake_time
async def test_a_standby_waits_and_takes_over_after_a_crash_within_twenty_seconds() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    b = Candidate("b", store)
    watch = Watch(a, b)
    await asyncio.sleep(120)
    assert a.may_write
    assert not b.elector.leading.is_set()
    await a.crash()
    assert await seconds_until(lambda: b.may_write) <= 20
    assert store.record is not None
    assert (store.record.holder, store.record.transitions) == ("b", 1)
    await watch.close()


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("killed_after", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_the_latest_takeover_is_two_seconds_before_the_limit(chance: float, killed_after: float) -> None:
    """Whatever is drawn, and wherever between two renewals and two looks the leader is killed."""

    @in_fake_time
    async def scene() -> None:
        store = LeaseStore()
        a = Candidate("a", store)
        await until(lambda: a.may_write)
        b = Candidate("b", store, chance=lambda: chance)
        watch = Watch(a, b)
        for _ in range(4):
            await asyncio.sleep(20)
            renewed = store.record
            await until(lambda: store.record is not renewed)  # noqa: B023 - awaited within the round
            await asyncio.sleep(killed_after)
            assert a.may_write
            assert not b.elector.leading.is_set()
        await a.crash()
        # 1.25 of 2 s until the standby has seen the last renewal, 15 s, a quarter of 2 s, and two requests.
        assert await seconds_until(lambda: b.may_write) <= 18.1
        await watch.close()

    scene()


@in_fake_time
async def test_many_standbys_do_not_ask_all_at_once_when_the_lease_runs_out() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    standbys = [Candidate(f"standby_{n}", store, seed=n) for n in range(40)]
    watch = Watch(a, *standbys)
    await asyncio.sleep(60)
    await a.crash()
    store.asked.clear()
    took = await seconds_until(lambda: any(each.may_write for each in standbys))
    assert took <= 18.1
    await asyncio.sleep(5)
    busiest = max(sum(first <= other < first + 0.1 for other in store.asked) for first in store.asked)
    assert busiest <= len(standbys) / 4
    # Each looks every two seconds, and once more when the lease runs out.
    assert len(store.asked) <= len(standbys) * ((took + 5) / 1.5 + 2)
    assert sum(each.may_write for each in standbys) == 1
    await watch.close()


@in_fake_time
async def test_a_released_lease_is_taken_within_one_wait() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    b = Candidate("b", store)
    watch = Watch(a, b)
    await asyncio.sleep(30)
    await a.crash()
    await a.elector.release()
    assert store.record is not None
    assert store.record.holder == ""
    assert not a.may_write
    assert a.telemetry.leading is False
    assert not a.elector.lost.is_set(), "giving up is not losing"
    assert await seconds_until(lambda: b.may_write) <= 2.6
    await watch.close()


@in_fake_time
async def test_release_ends_a_run_that_goes_on() -> None:
    a = Candidate("a", LeaseStore())
    await until(lambda: a.may_write)
    await a.elector.release()
    await asyncio.wait_for(a.task, 10)
    assert not a.elector.lost.is_set()


@in_fake_time
async def test_a_standby_that_releases_touches_nothing() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    b = Candidate("b", store)
    await asyncio.sleep(5)
    await b.elector.release()
    await asyncio.wait_for(b.task, 10)
    assert store.record is not None
    assert store.record.holder == "a"
    await a.crash()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("cut", id="connections are refused"),
        pytest.param("hanging", id="requests hang"),
        pytest.param("deaf", id="writes arrive, answers do not"),
    ],
)
def test_a_leader_without_the_api_server_stops_before_another_starts(fault: str) -> None:
    @in_fake_time
    async def scene() -> None:
        store = LeaseStore()
        a = Candidate("a", store)
        await until(lambda: a.may_write)
        b = Candidate("b", store)
        watch = Watch(a, b)
        await asyncio.sleep(30)
        setattr(a.line, fault, True)
        assert await seconds_until(lambda: not a.may_write) <= TIMES.renew_deadline
        await until(a.elector.lost.is_set, within=5)
        assert a.telemetry.leading is False
        await asyncio.wait_for(a.task, 5)
        assert await seconds_until(lambda: b.may_write) <= 20
        await watch.close()

    scene()


@in_fake_time
async def test_a_short_outage_costs_nothing() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    b = Candidate("b", store)
    watch = Watch(a, b)
    await asyncio.sleep(30)
    a.line.cut = b.line.cut = True
    await asyncio.sleep(6)
    a.line.cut = b.line.cut = False
    await asyncio.sleep(60)
    assert a.may_write
    assert not a.elector.lost.is_set()
    await watch.close()


@in_fake_time
async def test_a_leader_that_slept_may_not_write_when_it_wakes() -> None:
    """A process that was stopped (SIGSTOP, a suspended machine) finds its deadline passed."""
    a = Candidate("a", LeaseStore())
    await until(lambda: a.may_write)
    asyncio.get_running_loop()._warp.now += 60  # type: ignore[attr-defined]  # of FakeTimeLoop
    assert not a.may_write
    await until(a.elector.lost.is_set, within=5)
    assert not a.may_write


@pytest.mark.parametrize(
    "shift",
    [
        pytest.param(-3600.0, id="the standby's clock is an hour behind"),
        pytest.param(+3600.0, id="the standby's clock is an hour ahead"),
    ],
)
def test_wall_clocks_that_disagree_do_no_harm(shift: float) -> None:
    @in_fake_time
    async def scene() -> None:
        store = LeaseStore()
        a = Candidate("a", store)
        await until(lambda: a.may_write)
        b = Candidate("b", store, wall_shift=shift)
        watch = Watch(a, b)
        await asyncio.sleep(120)
        assert a.may_write
        a.clock.jump(-7200)
        await asyncio.sleep(60)
        assert a.may_write
        await a.crash()
        assert await seconds_until(lambda: b.may_write) <= 20
        await watch.close()

    scene()


@in_fake_time
async def test_a_deleted_lease_is_made_again_by_its_holder() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    b = Candidate("b", store)
    watch = Watch(a, b)
    await asyncio.sleep(30)
    store.record = None
    await asyncio.sleep(60)
    assert a.may_write
    assert store.record is not None
    assert store.record.holder == "a"
    await watch.close()


@in_fake_time
async def test_a_leader_whose_lease_was_taken_stops() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    await asyncio.sleep(10)
    assert store.record is not None
    store.put(LeaseRecord("somebody", 15, 0.0, 0.0, 5))
    await until(a.elector.lost.is_set, within=5)
    assert not a.may_write
    assert store.record is not None
    assert store.record.holder == "somebody"


@in_fake_time
async def test_a_restarted_process_waits_like_any_other_and_does_not_hurry() -> None:
    store = LeaseStore()
    a = Candidate("pod_1", store)
    await until(lambda: a.may_write)
    await asyncio.sleep(30)
    await a.crash()
    again = Candidate("pod_2", store)
    seconds = await seconds_until(lambda: again.may_write)
    assert TIMES.lease_duration <= seconds <= 20
    await again.crash()


@pytest.mark.parametrize("seed", range(5))
def test_many_processes_with_faults_at_random_have_at_most_one_leader_and_always_a_next(seed: int) -> None:
    @in_fake_time
    async def scene() -> None:
        rng = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        store = LeaseStore()
        candidates = [Candidate(f"p{n}", store, seed=seed * 10 + n) for n in range(4)]
        watch = Watch(*candidates)
        for _ in range(40):
            await asyncio.sleep(rng.uniform(1, 20))
            victim = rng.choice(candidates)
            if victim.elector.lost.is_set():
                continue
            fault = rng.choice(["cut", "hanging", "deaf"])
            setattr(victim.line, fault, not getattr(victim.line, fault))
        healthy = [c for c in candidates if not c.elector.lost.is_set()]
        for candidate in healthy:
            candidate.line.cut = candidate.line.hanging = candidate.line.deaf = False
        if healthy:
            await until(lambda: any(c.may_write for c in healthy), within=30)
        await watch.close()

    scene()


@in_fake_time
async def test_before_leading_nothing_may_be_written() -> None:
    line = LeaseLine(LeaseStore())
    elector = Elector(line, FakeClock(), FakeTelemetry(), TIMES, identity="a")
    with pytest.raises(LeadershipLost, match="does not hold"):
        elector.fence()


@in_fake_time
async def test_a_defect_in_renewing_counts_as_a_loss() -> None:
    a = Candidate("a", LeaseStore())
    await until(lambda: a.may_write)

    async def broken(record: LeaseRecord) -> LeaseRecord:
        raise ValueError(record.holder)

    a.line.replace = broken  # type: ignore[method-assign]  # what no API server does
    with pytest.raises(ValueError, match="a"):
        await a.task
    assert a.elector.lost.is_set()
    assert not a.may_write


@in_fake_time
async def test_a_leader_that_has_read_another_holder_writes_nothing_from_then_on() -> None:
    """The lease was deleted, and somebody who never saw it took it at once."""
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    await asyncio.sleep(5.1)
    store.record = None
    b = Candidate("b", store)
    await until(lambda: b.may_write)
    read_at = seen_at = None
    loop = asyncio.get_running_loop()
    while not a.elector.lost.is_set():
        if read_at is None and a.elector._seen is not None and a.elector._seen.holder == "b":
            read_at = loop.time()
        if a.may_write:
            seen_at = loop.time()
        await asyncio.sleep(0.005)
    assert read_at is not None
    assert seen_at is None or seen_at <= read_at
    await a.crash()
    await b.crash()


@in_fake_time
async def test_a_leader_whose_renewal_conflicts_writes_nothing_until_it_knows_with_whom() -> None:
    store = LeaseStore()
    a = Candidate("a", store)
    await until(lambda: a.may_write)
    await asyncio.sleep(5)
    assert store.record is not None
    # Somebody has touched the lease, its holder is the same; and the connection hangs right after the conflict.
    store.put(store.record)
    baseline = a.line.get

    async def hang() -> LeaseRecord:
        await asyncio.sleep(1)
        return await baseline()

    a.line.get = hang  # type: ignore[method-assign]  # slow, just then
    await until(lambda: not a.may_write, within=3)
    await until(lambda: a.may_write, within=5)
    assert not a.elector.lost.is_set()
    await a.crash()
