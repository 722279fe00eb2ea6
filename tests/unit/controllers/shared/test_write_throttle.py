"""When a status may be written: the pauses that all writers share."""

from __future__ import annotations

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.controllers.shared.write_throttle import PATIENCE_SECONDS, SPREAD, WriteThrottle
from twinops.errors import Unavailable


@pytest.mark.parametrize(
    ("errors", "pause"),
    [
        pytest.param([Unavailable("503", status=503)], 1.0, id="one failure"),
        pytest.param([Unavailable("503")] * 5, 1.0, id="failures at the same moment count once"),
        pytest.param([Unavailable("429", retry_after=3.0)], 3.0, id="a pause that was asked for"),
        pytest.param([Unavailable("429", retry_after=3.0), Unavailable("503")], 3.0, id="the longer one holds"),
        pytest.param([Unavailable("500", status=500)], 0.0, id="one object that cannot be written"),
    ],
)
@in_fake_time
async def test_a_failure_makes_all_writes_wait(errors: list[Unavailable], pause: float) -> None:
    clock = FakeClock()
    throttle = WriteThrottle(clock)
    for error in errors:
        throttle.failed(error)
    assert throttle.allows_heartbeat(age=1e6, interval=60) is (pause == 0)
    began = clock.monotonic()
    await throttle.wait("uid")
    assert pause <= clock.monotonic() - began <= pause * (1 + SPREAD)
    assert throttle.allows_heartbeat(age=1e6, interval=60)


@in_fake_time
async def test_a_write_does_not_wait_for_a_long_pause() -> None:
    clock = FakeClock()
    throttle = WriteThrottle(clock)
    throttle.failed(Unavailable("429", retry_after=PATIENCE_SECONDS + 1))
    with pytest.raises(Unavailable) as raised:
        await throttle.wait("uid")
    assert raised.value.retry_after == pytest.approx(PATIENCE_SECONDS + 1)
    await clock.sleep(1)
    await throttle.wait("uid")
