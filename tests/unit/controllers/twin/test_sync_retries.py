"""When a sync that failed is tried again: less and less often, and never from what has lost already."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from fakes.clock import START, FakeClock, in_fake_time
from fakes.events import FakeEvents
from fakes.levers import FakeLevers
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, KUBECTL, OURS, hpa, observation, original, status
from support.writers import twin_writer
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.observe import Observed, Observer
from twinops.controllers.twin.publish import Publisher
from twinops.controllers.twin.sync import SyncService
from twinops.errors import ClusterError, MetricsUnavailable, Refused, TargetNotFound, Unavailable


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in the loop: fake time would not wait for a thread."""

    async def inline(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", inline)


class Observations:
    """What each sync is given to see."""

    def __init__(self, clock: FakeClock, levers: FakeLevers) -> None:
        self.failure: Exception | None = None
        self.calls = 0
        self._clock = clock
        self._levers = levers

    async def observe(self, *_: Any, **__: Any) -> Observed:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        seen = observation(self._levers.levers[HPA], cpuUsage=50.0)
        return Observed(observation=dataclasses.replace(seen, now=self._clock.now()), refused={})

    def unavailable(self, *_: Any) -> dict[str, Any]:
        return {}


class Scene:
    """One twin, and everything that syncs it."""

    def __init__(self, levers: FakeLevers | None = None) -> None:
        self.clock = FakeClock(START)
        self.twins, self.telemetry, self.store = FakeTwins(), FakeTelemetry(), TwinStore()
        levers = levers or FakeLevers(hpa(2, KUBECTL))
        self.observer = Observations(self.clock, levers)
        writer = twin_writer(self.twins, self.clock, self.telemetry)
        self.syncs = SyncService(
            store=self.store,
            observer=cast("Observer", self.observer),
            corrections=CorrectionService(levers, self.clock),
            publisher=Publisher(self.store, self.twins, writer, FakeEvents(), self.telemetry),
            telemetry=self.telemetry,
            clock=self.clock,
        )
        self.ref = self.twins.add("checkout")
        self.twins.bodies[self.ref.uid]["spec"] = {
            "source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}
        }
        self.store.put(copy.deepcopy(self.twins.bodies[self.ref.uid]))

    async def retries(self, count: int, before: Callable[[], None] = lambda: None) -> list[float]:
        """Sync so often, each time after the wait that was asked for."""
        found = []
        for _ in range(count):
            before()
            retry = await self.syncs.sync(self.ref, 0.0)
            assert retry is not None
            found.append(retry)
            await asyncio.sleep(retry)
        return found

    async def live(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Let the twin's daemon run while something happens."""
        queue, watchdog = WorkQueue(self.store, self.clock), Watchdog(self.store, self.clock)
        ticker = SyncLoop(self.syncs, self.store, queue, self.clock, watchdog)
        living = asyncio.create_task(ticker.run(self.ref, asyncio.get_running_loop().create_future()))
        await asyncio.sleep(5)
        await act()
        await asyncio.sleep(seconds)
        living.cancel()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unavailable("overloaded", status=503), id="unavailable"),
        pytest.param(Refused("no right to write digitaltwins/status", status=403), id="refused"),
    ],
)
def test_statuses_that_cannot_be_written_are_tried_less_and_less_often(error: ClusterError) -> None:
    @in_fake_time
    async def scene() -> None:
        scene = Scene()

        def fail() -> None:
            scene.twins.faults = [error, error]

        waits = await scene.retries(8, fail)
        assert waits == sorted(waits)
        assert waits[0] < 7
        assert waits[-1] > 45
        scene.twins.faults = []
        await scene.syncs.sync(scene.ref, 0.0)
        await asyncio.sleep(400)
        assert (await scene.retries(1, fail))[0] < 7, "a success ends it"

    scene()


@pytest.mark.parametrize(
    ("failure", "first", "last"),
    [
        pytest.param(MetricsUnavailable("no answer"), 30, 300, id="source"),
        pytest.param(TargetNotFound("Deployment checkout does not exist"), 8, 60, id="target"),
        pytest.param(Unavailable("no answer"), 5, 60, id="API server"),
    ],
)
def test_what_fails_is_tried_less_and_less_often(failure: Exception, first: float, last: float) -> None:
    @in_fake_time
    async def scene() -> None:
        scene = Scene()
        scene.observer.failure = failure
        waits = await scene.retries(8)
        assert waits == sorted(waits)
        assert waits[0] == pytest.approx(first, rel=0.2)
        assert waits[-1] == pytest.approx(last, rel=0.2)
        scene.observer.failure = None
        await scene.syncs.sync(scene.ref, 0.0)
        scene.observer.failure = failure
        assert (await scene.retries(1))[0] == pytest.approx(first, rel=0.2), "a success ends it"

    scene()


@in_fake_time
async def test_after_a_conflict_a_sync_starts_from_what_stands_there() -> None:
    """The watch is silent: nobody else tells that the spec has changed."""
    scene = Scene()

    async def edit() -> None:
        scene.twins.edit(scene.ref, spec=True)

    await scene.live(300, edit)
    assert scene.telemetry.writes["conflict"] == 1
    assert scene.observer.calls <= 8
    status = scene.twins.bodies[scene.ref.uid]["status"]
    assert status["observedGeneration"] == 2


@in_fake_time
async def test_conflicts_that_do_not_end_are_no_hammering() -> None:
    scene = Scene()

    def meddle() -> None:
        scene.twins.edit(scene.ref, status={"healthScore": scene.observer.calls})

    waits = await scene.retries(8, meddle)
    assert scene.telemetry.writes["conflict"] == 8
    assert waits == sorted(waits)
    assert waits[-1] > 20


@pytest.mark.parametrize("correction", [{"mode": "Preview"}, {"enabled": False}], ids=["preview", "disabled"])
def test_what_may_not_be_given_back_is_tried_less_and_less_often(correction: dict[str, Any]) -> None:
    @in_fake_time
    async def scene() -> None:
        levers = FakeLevers(hpa(6, OURS))
        scene = Scene(levers)
        body = scene.twins.bodies[scene.ref.uid]
        body["spec"]["autoCorrection"] = correction
        scene.twins.edit(scene.ref, status=status(observed_generation=1, originals=[original()]).to_wire())
        scene.store.put(copy.deepcopy(body))
        tried: list[float] = []

        def refuse() -> None:
            tried.append(scene.clock.now() - START)
            raise Refused("PATCH /apis/autoscaling: 403 forbidden", status=403)

        levers.meddle = refuse
        for _ in range(60):
            await scene.syncs.sync(scene.ref, 0.0)
            await asyncio.sleep(60)
        assert tried == [0, 300, 1200]
        assert scene.telemetry.writes["outcome"] == len(tried), "waiting is no outcome"
        told = scene.twins.bodies[scene.ref.uid]["status"]["corrections"]
        assert [(entry["outcome"], entry["attempts"]) for entry in told] == [("Failed", 3)]

        scene.twins.edit(scene.ref, spec=True)
        scene.store.put(copy.deepcopy(scene.twins.bodies[scene.ref.uid]))
        await scene.syncs.sync(scene.ref, 0.0)
        assert set(tried[3:]) == {3600}, "a new spec is a reason to try again"

    scene()
