"""The liveness probe fails when many twins, or all there are, have stopped ticking."""

from __future__ import annotations

import asyncio

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.watchdog import LONGEST_SYNC_SECONDS, Watchdog
from twinops.ports.kubernetes import TwinRef


def twin(number: int) -> TwinRef:
    return TwinRef("shop", f"twin-{number}", f"uid-{number}")


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
def test_verdict(twins: int, silent: int, interval: float, after: float, healthy: bool) -> None:  # noqa: FBT001 - a table case
    @in_fake_time
    async def scene() -> None:
        watchdog = Watchdog(FakeClock())
        for number in range(twins):
            watchdog.ticked(twin(number), interval)
        await asyncio.sleep(after)
        for number in range(silent, twins):
            watchdog.ticked(twin(number), interval)
        verdict = watchdog.verdict()
        assert verdict.healthy is healthy
        assert f"of {twins} twins" in verdict.message

    scene()


@in_fake_time
async def test_the_message_names_some_of_the_overdue() -> None:
    watchdog = Watchdog(FakeClock())
    for number in range(20):
        watchdog.ticked(twin(number), 60)
    await asyncio.sleep(1000)
    assert watchdog.verdict().message == "20 of 20 twins are overdue: shop/twin-0, shop/twin-1, shop/twin-2"


@in_fake_time
async def test_a_twin_that_is_gone_is_not_missed() -> None:
    watchdog = Watchdog(FakeClock())
    watchdog.ticked(twin(1), 60)
    watchdog.forget(twin(1))
    watchdog.forget(twin(2))
    await asyncio.sleep(1000)
    assert watchdog.verdict().healthy
    assert watchdog.overdue() == ()


@in_fake_time
async def test_a_sync_that_waits_for_others_is_alive_and_one_that_never_ends_is_not() -> None:
    watchdog = Watchdog(FakeClock())
    watchdog.ticked(twin(1), 5)
    watchdog.began(twin(1))
    await asyncio.sleep(LONGEST_SYNC_SECONDS - 1)
    assert watchdog.verdict().healthy
    await asyncio.sleep(2)
    assert not watchdog.verdict().healthy
