"""An API server that is slow, overloaded or gone never holds up who posts an Event."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.event_queue import BURST, LENGTH, REFILL_SECONDS, REMEMBERED, Allowances
from twinops.adapters.kubernetes.events import REPEAT_SECONDS, ClusterEvents, event_name, shorten
from twinops.core.events import NORMAL, WARNING, Event, InvolvedObject
from twinops.errors import ClusterError, LeadershipLost, Refused, TwinOpsError, Unavailable

SHOP = InvolvedObject("apps/v1", "Deployment", "shop", "shop", "u")


class Server:
    """Takes Events; ``faults`` are raised by the next requests, one each."""

    def __init__(self, *faults: TwinOpsError) -> None:
        self.faults = list(faults)
        self.slow = False
        self.created: list[dict[str, Any]] = []
        self.patched: list[dict[str, Any]] = []

    async def create(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._take()
        self.created.append(body)
        return body

    async def patch(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._take()
        self.patched.append(body)
        return body

    async def _take(self) -> None:
        if self.slow:
            await asyncio.sleep(1e6)
        if self.faults:
            raise self.faults.pop(0)

    def recorder(self) -> tuple[ClusterEvents, asyncio.Task[None]]:
        events = ClusterEvents(cast("KubeClient", self), FakeClock(), instance="operator-1")
        return events, asyncio.create_task(events.run())


@in_fake_time
async def test_a_server_that_hangs_holds_nobody_up_and_the_newest_events_are_kept() -> None:
    server = Server()
    server.slow = True
    events, _ = server.recorder()
    began = asyncio.get_running_loop().time()
    for number in range(3 * LENGTH):
        events.post(Event(replace(SHOP, uid=f"u{number}"), NORMAL, "Synced", str(number)))
    assert asyncio.get_running_loop().time() == began
    assert len(events._queue) == LENGTH
    queued = [queued.event for line in events._queue._lines.values() for queued in line.values()]
    assert max(int(event.message) for event in queued) == 3 * LENGTH - 1
    await events.drain(5)
    assert asyncio.get_running_loop().time() == pytest.approx(began + 5)


@pytest.mark.parametrize(
    ("faults", "posted", "seconds"),
    [
        pytest.param([Unavailable("429", retry_after=3.0)], 2, 3.0, id="asked to wait"),
        pytest.param([Unavailable("429", retry_after=600.0)], 2, 5.0, id="asked to wait for long"),
        pytest.param([Unavailable("500")] * 3, 1, 2.0, id="failed three times"),
        pytest.param([Refused("403")], 1, 0.0, id="refused"),
        pytest.param([LeadershipLost("not leading")], 1, 0.0, id="not leading"),
        pytest.param([ClusterError("?")], 1, 0.0, id="something else"),
    ],
)
def test_faults_cost_at_most_the_event_itself(faults: list[TwinOpsError], posted: int, seconds: float) -> None:
    @in_fake_time
    async def scene() -> None:
        server = Server(*faults)
        events, _ = server.recorder()
        began = asyncio.get_running_loop().time()
        events.post(Event(SHOP, NORMAL, "Synced", "first"))
        events.post(Event(SHOP, NORMAL, "Synced", "second"))
        await events.drain(60)
        assert len(server.created) == posted
        assert server.created[-1]["message"] == "second"
        assert asyncio.get_running_loop().time() - began == pytest.approx(seconds)

    scene()


@in_fake_time
async def test_a_repeat_counts_up_within_ten_minutes_and_is_a_new_event_after() -> None:
    server = Server()
    events, _ = server.recorder()
    for pause in (0, REPEAT_SECONDS - 1, REPEAT_SECONDS + 1):
        await asyncio.sleep(pause)
        events.post(Event(SHOP, NORMAL, "Synced", "again"))
        await events.drain(5)
    assert [body["count"] for body in server.patched] == [2]
    assert len(server.created) == 2
    assert len({body["metadata"]["name"] for body in server.created}) == 2


@pytest.mark.parametrize(
    ("length", "kept"),
    [
        pytest.param(0, 0, id="empty"),
        pytest.param(1024, 1024, id="just fits"),
        pytest.param(1025, 1024, id="one too long"),
        pytest.param(100_000, 1024, id="far too long"),
    ],
)
def test_messages_fit(length: int, kept: int) -> None:
    assert len(shorten("x" * length)) == kept


def test_names_of_long_objects_are_names() -> None:
    name = event_name(replace(SHOP, name="a" * 199 + "." + "b" * 53), ("u", NORMAL, "Synced", "m"), 1.0)
    assert len(name) <= 253
    assert ".." not in name


def about(namespace: str, number: int) -> InvolvedObject:
    return replace(SHOP, namespace=namespace, uid=f"{namespace}-{number}")


@in_fake_time
async def test_a_storm_about_one_object_is_held_back_and_others_are_told() -> None:
    server = Server()
    events, _ = server.recorder()
    for second in range(600):
        events.post(Event(about("hostile", 1), NORMAL, "Storm", f"different {second}"))
        await asyncio.sleep(1)
    events.post(Event(about("shop", 1), WARNING, "CorrectionReverted", "told"))
    await events.drain(5)
    stormed = [body for body in server.created if body["reason"] == "Storm"]
    assert len(stormed) == BURST + 600 // REFILL_SECONDS - 1
    assert server.created[-1]["reason"] == "CorrectionReverted"


@in_fake_time
async def test_one_namespace_cannot_displace_the_events_of_another() -> None:
    server = Server()
    server.slow = True
    events, _ = server.recorder()
    await asyncio.sleep(1)
    for number in range(10):
        events.post(Event(about("shop", number), NORMAL, "Mine", "kept"))
    for number in range(5 * LENGTH):
        events.post(Event(about("hostile", number), NORMAL, "Storm", "many"))
    assert len(events._queue) == LENGTH
    queued = [queued.event.reason for line in events._queue._lines.values() for queued in line.values()]
    assert queued.count("Mine") >= 9


@in_fake_time
async def test_namespaces_take_turns() -> None:
    server = Server()
    events, running = server.recorder()
    running.cancel()
    for number in range(50):
        events.post(Event(about("hostile", number), NORMAL, "Storm", "many"))
    events.post(Event(about("shop", 1), NORMAL, "Mine", "soon"))
    posting = asyncio.create_task(events.run())
    await events.drain(5)
    posting.cancel()
    assert [body["reason"] for body in server.created].index("Mine") <= 1
    assert len(server.created) == 51


@in_fake_time
async def test_the_same_event_waits_once_and_is_counted() -> None:
    server = Server()
    events, _ = server.recorder()
    for _ in range(5):
        events.post(Event(SHOP, NORMAL, "SyncInProgress", "same"))
    await events.drain(5)
    events.post(Event(SHOP, NORMAL, "SyncInProgress", "same"))
    await events.drain(5)
    assert [body["count"] for body in server.created] == [5]
    assert [body["count"] for body in server.patched] == [6]


def test_allowances_of_many_objects_are_bounded() -> None:
    allowances = Allowances()
    for number in range(2 * REMEMBERED):
        assert allowances.spend(str(number), 0.0)
    assert len(allowances._objects) == REMEMBERED
