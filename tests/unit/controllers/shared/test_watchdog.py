"""The liveness probe fails when many twins, or all there are, have stopped ticking."""

from __future__ import annotations

import asyncio

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.record import TwinRecord
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import LONGEST_SYNC_SECONDS, LONGEST_WAIT_SECONDS, Watchdog


class Scene:
    """A watchdog and the twins that it watches over."""

    def __init__(self) -> None:
        self.store = TwinStore()
        self.watchdog = Watchdog(self.store, FakeClock())

    def twin(self, number: int, interval: int = 60) -> TwinRecord:
        """Return a twin's record, made when it is asked for first."""
        uid = f"uid-{number}"
        if self.store.get(uid) is None:
            spec = {"source": {"systemType": "Custom"}, "syncFrequencySeconds": interval}
            self.store.put({"metadata": {"namespace": "shop", "name": f"twin-{number}", "uid": uid}, "spec": spec})
        record = self.store.get(uid)
        assert record is not None
        return record


@pytest.mark.parametrize(
    ("twins", "silent", "interval", "after", "healthy"),
    [
        pytest.param(0, 0, 60, 1e6, True, id="no twins, as on a standby"),
        pytest.param(1, 1, 60, 179, True, id="within three intervals"),
        pytest.param(1, 1, 60, 181, False, id="the only twin is overdue"),
        pytest.param(1, 1, 5, 119, True, id="a short interval has two minutes"),
        pytest.param(1, 1, 5, 121, False, id="a short interval, overdue"),
        pytest.param(1, 1, 3600, 10_000, True, id="a long interval has three of them"),
        pytest.param(100, 9, 60, 181, True, id="a few of many"),
        pytest.param(100, 10, 60, 181, False, id="a tenth of many"),
        pytest.param(5, 1, 60, 181, False, id="one of a few"),
    ],
)
def test_verdict(twins: int, silent: int, interval: int, after: float, healthy: bool) -> None:  # noqa: FBT001 - a table case
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        for number in range(twins):
            scene.watchdog.ended(scene.twin(number, interval))
        await asyncio.sleep(after)
        for number in range(silent, twins):
            scene.watchdog.ended(scene.twin(number))
        verdict = scene.watchdog.verdict()
        assert verdict.healthy is healthy
        assert f"of {twins} twins" in verdict.message

    check()


@in_fake_time
async def test_the_message_names_some_of_the_overdue() -> None:
    scene = Scene()
    for number in range(20):
        scene.watchdog.ended(scene.twin(number))
    await asyncio.sleep(1000)
    message = "20 of 20 twins are overdue: shop/twin-0, shop/twin-1, shop/twin-2"
    assert scene.watchdog.verdict().message == message


@in_fake_time
async def test_a_twin_without_a_daemon_or_that_is_gone_is_not_missed() -> None:
    scene = Scene()
    for number in (1, 2):
        scene.watchdog.ended(scene.twin(number))
    scene.twin(3)
    scene.store.forget(scene.twin(1))
    scene.store.drop("uid-2")
    await asyncio.sleep(1000)
    verdict = scene.watchdog.verdict()
    assert (verdict.healthy, verdict.message) == (True, "0 of 0 twins are overdue")


@in_fake_time
async def test_a_sync_that_waits_for_others_is_alive_and_one_that_never_ends_is_not() -> None:
    scene = Scene()
    scene.watchdog.ended(scene.twin(1, 5))
    scene.watchdog.began(scene.twin(1))
    await asyncio.sleep(LONGEST_SYNC_SECONDS - 1)
    assert scene.watchdog.verdict().healthy
    await asyncio.sleep(2)
    assert not scene.watchdog.verdict().healthy


@in_fake_time
async def test_a_sync_that_waits_for_a_permit_is_alive_while_others_go_on() -> None:
    scene = Scene()
    scene.watchdog.ended(scene.twin(1, 5))
    scene.watchdog.waits(scene.twin(1))
    for _ in range(int(LONGEST_WAIT_SECONDS / 60) - 1):
        await asyncio.sleep(60)
        scene.watchdog.began(scene.twin(2))
        scene.watchdog.ended(scene.twin(2))
        assert scene.watchdog.verdict().healthy
    await asyncio.sleep(130)
    scene.watchdog.ended(scene.twin(2))
    assert scene.watchdog.verdict().message == "1 of 2 twins are overdue: shop/twin-1"


@in_fake_time
async def test_syncs_that_all_wait_for_permits_that_nobody_gives_back_are_noticed() -> None:
    scene = Scene()
    for number in range(3):
        scene.watchdog.ended(scene.twin(number))
        scene.watchdog.waits(scene.twin(number))
    await asyncio.sleep(LONGEST_SYNC_SECONDS - 1)
    assert scene.watchdog.verdict().healthy
    await asyncio.sleep(2)
    assert not scene.watchdog.verdict().healthy
