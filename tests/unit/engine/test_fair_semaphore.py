"""Who gets a permit, and who waits."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from fakes.clock import in_fake_time, until
from twinops.engine.fair_semaphore import FairSemaphore, Key, Permit


class Crowd:
    """Askers that hold what they get until told otherwise."""

    def __init__(self, semaphore: FairSemaphore) -> None:
        self.semaphore = semaphore
        self.got: list[tuple[Key, Permit]] = []

    def ask(self, *key: str, times: int = 1, background: bool = False) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._ask(key, background=background)) for _ in range(times)]

    async def _ask(self, key: Key, *, background: bool) -> None:
        self.got.append((key, await self.semaphore.acquire(key, background=background)))

    @property
    def order(self) -> list[str]:
        return ["/".join(key) for key, _ in self.got]

    def release(self, index: int = 0) -> None:
        self.got.pop(index)[1].release()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_fake_time
async def test_a_single_asker_gets_all_permits_and_no_more() -> None:
    crowd = Crowd(FairSemaphore(3))
    crowd.ask("a", times=5)
    await settle()
    assert len(crowd.got) == 3
    crowd.release()
    await settle()
    assert len(crowd.got) == 3
    assert crowd.semaphore.free == 0


@in_fake_time
async def test_turns_go_round_however_many_requests_one_has() -> None:
    crowd = Crowd(FairSemaphore(1))
    crowd.ask("greedy", times=50)
    await settle()
    crowd.ask("b", times=2)
    crowd.ask("c", times=2)
    await settle()
    order = []
    for _ in range(6):
        order += crowd.order
        crowd.release()
        await settle()
    assert order == ["greedy", "greedy", "b", "c", "greedy", "b"]


@in_fake_time
async def test_many_twins_of_one_namespace_count_as_one() -> None:
    crowd = Crowd(FairSemaphore(1))
    for number in range(30):
        crowd.ask("crowded", f"twin-{number}")
    await settle()
    crowd.ask("lonely", "twin")
    await settle()
    served = Counter[str]()
    for _ in range(3):
        served[crowd.got[0][0][0]] += 1
        crowd.release()
        await settle()
    assert served["lonely"] == 1


@pytest.mark.parametrize(
    ("size", "spare", "most", "held"),
    [
        pytest.param(8, (1, 2), (), 6, id="leaves some free"),
        pytest.param(8, (1, 2), (8, 4), 4, id="holds half at most"),
        pytest.param(1, (0, 0), (1, 1), 1, id="the only permit"),
        pytest.param(2, (0, 1), (), 1, id="two permits"),
    ],
)
def test_whoever_holds_permits_leaves_some_to_those_who_hold_none(
    size: int, spare: tuple[int, int], most: tuple[int, ...], held: int
) -> None:
    @in_fake_time
    async def scene() -> None:
        crowd = Crowd(FairSemaphore(size, spare=spare, most=most))
        crowd.ask("shop", "slow", times=20)
        await settle()
        assert len(crowd.got) == held

    scene()


@in_fake_time
async def test_the_last_permit_goes_to_a_namespace_that_holds_none() -> None:
    crowd = Crowd(FairSemaphore(8, spare=(1, 2)))
    for number in range(20):
        crowd.ask("hostile", f"twin-{number}", times=10)
    await settle()
    assert len(crowd.got) == 7
    crowd.ask("shop", "checkout")
    await settle()
    assert crowd.order[-1] == "shop/checkout"


@in_fake_time
async def test_background_waits_for_all_others_and_leaves_half() -> None:
    crowd = Crowd(FairSemaphore(8))
    crowd.ask("shop", "history", times=20, background=True)
    await settle()
    assert len(crowd.got) == 4
    crowd.ask("shop", "live", times=6)
    await settle()
    assert crowd.order.count("shop/live") == 4
    crowd.release()
    crowd.release()
    await settle()
    assert crowd.order.count("shop/live") == 6
    assert crowd.order.count("shop/history") == 2


@in_fake_time
async def test_a_single_permit_is_lent_to_the_background_too() -> None:
    crowd = Crowd(FairSemaphore(1))
    crowd.ask("shop", "history", background=True)
    await settle()
    assert crowd.order == ["shop/history"]


@in_fake_time
async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    semaphore = FairSemaphore(1)
    crowd = Crowd(semaphore)
    crowd.ask("a")
    waiting = crowd.ask("b", times=1000)
    await settle()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not semaphore._queues[0].parts
    crowd.release()
    assert semaphore.free == 1
    assert not semaphore._held


@in_fake_time
async def test_who_is_cancelled_at_the_moment_of_its_turn_gives_the_permit_on() -> None:
    crowd = Crowd(FairSemaphore(1))
    crowd.ask("a")
    await settle()
    [task] = crowd.ask("b")
    crowd.ask("c")
    await settle()
    crowd.release()
    task.cancel()
    await settle()
    assert crowd.order == ["c"]


@in_fake_time
async def test_who_is_cancelled_just_before_its_turn_is_passed_over() -> None:
    crowd = Crowd(FairSemaphore(1))
    crowd.ask("a")
    await settle()
    [task] = crowd.ask("b")
    crowd.ask("c")
    await settle()
    task.cancel()
    crowd.release()
    await settle()
    assert crowd.order == ["c"]
    assert not crowd.semaphore._queues[0].parts


@in_fake_time
async def test_a_permit_is_released_once() -> None:
    semaphore = FairSemaphore(2)
    permit = await semaphore.acquire(("a",))
    permit.release()
    permit.release()
    assert semaphore.free == 2


@in_fake_time
async def test_a_long_line_costs_little() -> None:
    """Ten thousand twins that wait are served one after the other, none is looked at again and again."""
    semaphore = FairSemaphore(8, spare=(1, 2), most=(8, 4))
    done = 0

    async def ask(number: int) -> None:
        nonlocal done
        permit = await semaphore.acquire((f"ns-{number % 100}", str(number)))
        await asyncio.sleep(0.001)
        permit.release()
        done += 1

    tasks = [asyncio.create_task(ask(number)) for number in range(10_000)]
    await until(lambda: done == 10_000, within=60)
    await asyncio.gather(*tasks)
    assert semaphore.free == 8


async def test_permits_can_become_fewer_and_more() -> None:
    semaphore = FairSemaphore(3)
    held = [await semaphore.acquire(("a",)) for _ in range(3)]
    semaphore.resize(1, spare=())
    waiting = asyncio.ensure_future(semaphore.acquire(("b",)))
    for permit in held[:2]:
        assert permit.release()
        await asyncio.sleep(0)
        assert not waiting.done()
    semaphore.resize(2, spare=())
    await asyncio.wait_for(waiting, 1)
    assert not held[0].release()
    assert semaphore.free == 0
