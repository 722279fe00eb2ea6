from __future__ import annotations

import asyncio

import pytest

from demo.scenario import PodShape
from demo.shop.capacity import Overloaded, Pod, Pool

SHAPE = PodShape(slots=2, mean_seconds=0.02, spread=0.0, max_waiting=2, cpu_millicores=200)


async def test_a_pod_refuses_what_neither_fits_its_slots_nor_its_queue() -> None:
    pod = Pod("a", SHAPE)
    outcomes = await asyncio.gather(*(pod.work(0.01) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(Overloaded) == 1
    assert isinstance(outcomes[-1], Overloaded)
    assert outcomes[-1].pod == "a"


async def test_waiting_takes_as_long_as_those_before_need() -> None:
    pod = Pod("a", SHAPE)
    start = asyncio.get_running_loop().time()
    await asyncio.gather(*(pod.work(0.03) for _ in range(4)))
    assert asyncio.get_running_loop().time() - start >= 0.06


async def test_cpu_is_the_share_of_busy_slots() -> None:
    pod = Pod("a", SHAPE)
    start = asyncio.get_running_loop().time()
    await asyncio.gather(pod.work(0.05), pod.work(0.05))
    elapsed = asyncio.get_running_loop().time() - start
    assert pod.cpu_seconds == pytest.approx(0.2 * elapsed, rel=0.2)
    used = pod.cpu_seconds
    await asyncio.sleep(0.02)
    assert pod.cpu_seconds == used


async def test_work_that_is_given_up_frees_its_slot() -> None:
    pod = Pod("a", PodShape(slots=1, max_waiting=0))
    given_up = asyncio.create_task(pod.work(60))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await pod.work(0)


async def test_requests_are_spread_evenly_over_ready_pods() -> None:
    pool = Pool(SHAPE, seed=1)
    pool.set_ready(["a", "b", "c"])
    served = [(await pool.serve()).name for _ in range(6)]
    assert sorted(served) == ["a", "a", "b", "b", "c", "c"]


async def test_without_a_ready_pod_nothing_is_served() -> None:
    pool = Pool(SHAPE, seed=1)
    with pytest.raises(Overloaded, match="no pod is ready"):
        await pool.serve()


async def test_a_pod_that_is_ready_no_more_ends_what_it_has_and_gets_nothing_new() -> None:
    pool = Pool(SHAPE, seed=1)
    pool.set_ready(["a"])
    under_way = asyncio.create_task(pool.serve())
    await asyncio.sleep(0)
    pool.set_ready(["b"])
    assert (await pool.serve()).name == "b"
    assert (await under_way).name == "a"


async def test_more_pods_serve_more() -> None:
    async def refused(pods: list[str]) -> int:
        pool = Pool(SHAPE, seed=1)
        pool.set_ready(pods)
        outcomes = await asyncio.gather(*(pool.serve() for _ in range(12)), return_exceptions=True)
        return sum(isinstance(outcome, Overloaded) for outcome in outcomes)

    assert await refused(["a"]) == 8
    assert await refused(["a", "b"]) == 4
    assert await refused(["a", "b", "c"]) == 0
