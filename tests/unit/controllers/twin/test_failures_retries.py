"""When a sync that failed is tried again: less and less often, and never from what has lost already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fakes.clock import START, in_fake_time
from support.correcting import HPA, OURS, original, status
from support.sync_scene import SyncScene, compute_inline
from twinops.controllers.shared.backoff import Failure
from twinops.controllers.shared.pacing import FirstSyncs
from twinops.controllers.shared.sync_loop import SyncLoop
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.errors import (
    ClusterError,
    Conflict,
    MetricsUnavailable,
    NotFound,
    Refused,
    SpecError,
    TargetNotFound,
    Unavailable,
)


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_inline(monkeypatch)


class Scene(SyncScene):
    """A twin that needs no correction."""

    async def retries(self, count: int, before: Callable[[], None] = lambda: None) -> list[float]:
        """Sync so often, each time after the wait that was asked for."""
        found = []
        for _ in range(count):
            before()
            retry = await self.sync()
            assert retry is not None
            found.append(retry)
            await asyncio.sleep(retry)
        return found

    async def live(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        """Let the twin's daemon run while something happens."""
        queue, watchdog = WorkQueue(self.store, self.clock), Watchdog(self.store, self.clock)
        sync_loop = SyncLoop(
            self.syncs, self.store, queue, self.clock, watchdog, first_syncs=FirstSyncs(self.clock, most=32)
        )
        living = asyncio.create_task(sync_loop.run(self.ref, asyncio.get_running_loop().create_future()))
        await asyncio.sleep(5)
        await act()
        await asyncio.sleep(seconds)
        living.cancel()


def metrics(error: Exception) -> Callable[[Scene], None]:
    def fail(scene: Scene) -> None:
        scene.gatherer.fault = error

    return fail


def target(error: Exception) -> Callable[[Scene], None]:
    def fail(scene: Scene) -> None:
        scene.workloads.fault = error

    return fail


def secret(scene: Scene) -> None:
    scene.sources.secret_missing = True


def mend(scene: Scene) -> None:
    scene.gatherer.fault = scene.workloads.fault = None
    scene.sources.secret_missing = False


SYNC, TARGET, SOURCE = (5, 10, 20, 40, 60, 60), (8, 16, 32, 60, 60), (30, 60, 120, 240, 300, 300)


@pytest.mark.parametrize(
    ("fail", "seconds", "result"),
    [
        pytest.param(secret, SYNC, "stalled", id="source cannot be used"),
        pytest.param(target(SpecError("wrong", reason="Wrong")), SYNC, "stalled", id="spec cannot be used"),
        pytest.param(target(TargetNotFound("Deployment checkout does not exist")), TARGET, "stalled", id="no target"),
        pytest.param(metrics(MetricsUnavailable("no answer")), SOURCE, "metrics_unavailable", id="metrics"),
        pytest.param(target(Unavailable("503", status=503)), SYNC, "cluster_error", id="API server unavailable"),
        pytest.param(target(Refused("403", status=403)), SYNC, "cluster_error", id="API server refuses"),
        pytest.param(target(Conflict("409", status=409)), SYNC, "cluster_error", id="conflict"),
        pytest.param(target(NotFound("404", status=404)), SYNC, "cluster_error", id="not found"),
        pytest.param(target(Unavailable("429", retry_after=30.0)), (30, 30, 30, 40, 60), "cluster_error", id="asked"),
        pytest.param(target(Unavailable("429", retry_after=200.0)), (200, 200), "cluster_error", id="asked for longer"),
    ],
)
def test_each_attempt_of_what_fails_comes_later_and_a_success_ends_it(
    fail: Callable[[Scene], None], seconds: tuple[float, ...], result: str
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        fail(scene)
        assert await scene.retries(len(seconds)) == pytest.approx(seconds, rel=0.2)
        assert scene.telemetry.syncs == {result: len(seconds)}
        mend(scene)
        assert await scene.sync() is None
        fail(scene)
        assert (await scene.retries(1))[0] == pytest.approx(seconds[0], rel=0.2)

    with capture_logs():
        check()


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        (Failure.SYNC, SYNC),
        (Failure.TARGET, TARGET),
        (Failure.SOURCE, SOURCE),
        (Failure.RESTORE, (10, 20, 40, 80, 120, 120)),
        (Failure.WRITE, (5, 10, 20, 40, 60, 60)),
        (Failure.CONFLICT, (1, 2, 4, 8, 16, 30, 30)),
        (Failure.CRASH, (30, 60, 120, 240, 480, 600, 600)),
    ],
    ids=lambda each: each.word if isinstance(each, Failure) else "",
)
@in_fake_time
async def test_every_kind_of_failure_counts_by_itself(kind: Failure, seconds: tuple[float, ...]) -> None:
    record = Scene().store.get("uid-checkout")
    assert record is not None
    pauses = []
    for _ in seconds:
        pauses.append(record.failed(kind))
        record.succeeded(*(other for other in Failure if other is not kind))
    assert pauses == pytest.approx(seconds, rel=0.2)
    assert record.failed(kind, at_least=1000.0) == 1000.0
    record.succeeded(kind)
    assert record.failed(kind) == pytest.approx(seconds[0], rel=0.2)


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
        await scene.sync()
        await asyncio.sleep(400)
        assert (await scene.retries(1, fail))[0] < 7, "a success ends it"

    scene()


@in_fake_time
async def test_after_a_conflict_a_sync_starts_from_what_stands_there() -> None:
    """The watch is silent: nobody else tells that the spec has changed."""
    scene = Scene()

    async def edit() -> None:
        scene.twins.edit(scene.ref, spec=True)

    await scene.live(300, edit)
    assert scene.telemetry.writes["conflict"] == 1
    assert len(scene.journal.sent("metrics.gather")) <= 8
    status = scene.body["status"]
    assert status["observedGeneration"] == 2


@in_fake_time
async def test_conflicts_that_do_not_end_are_no_hammering() -> None:
    scene = Scene()

    def meddle() -> None:
        scene.twins.edit(scene.ref, status={"healthScore": len(scene.journal.sent("metrics.gather"))})

    waits = await scene.retries(8, meddle)
    assert scene.telemetry.writes["conflict"] == 8
    assert waits == sorted(waits)
    assert waits[-1] > 20


@pytest.mark.parametrize("correction", [{"mode": "Preview"}, {"enabled": False}], ids=["preview", "disabled"])
def test_what_may_not_be_given_back_is_tried_less_and_less_often(correction: dict[str, Any]) -> None:
    @in_fake_time
    async def scene() -> None:
        scene = Scene()
        scene.levers.edit(HPA, value=6, owners=(OURS,))
        scene.body["spec"]["autoCorrection"] = correction
        scene.twins.edit(scene.ref, status=status(observed_generation=1, originals=[original()]).to_wire())
        scene.see()
        tried: list[float] = []

        def refuse() -> None:
            tried.append(scene.clock.now() - START)
            raise Refused("PATCH /apis/autoscaling: 403 forbidden", status=403)

        scene.levers.meddle = refuse
        for _ in range(60):
            await scene.sync()
            await asyncio.sleep(60)
        assert tried == [0, 300, 1200]
        assert scene.telemetry.writes["outcome"] == len(tried), "waiting is no outcome"
        told = scene.body["status"]["corrections"]
        assert [(entry["outcome"], entry["attempts"]) for entry in told] == [("Failed", 3)]

        scene.twins.edit(scene.ref, spec=True)
        scene.see()
        await scene.sync()
        assert set(tried[3:]) == {3600}, "a new spec is a reason to try again"

    scene()


@in_fake_time
async def test_a_suspended_twin_that_cannot_restore_tries_again_ever_later() -> None:
    scene = Scene()
    scene.levers.edit(HPA, value=6, owners=(OURS,))
    scene.body["spec"]["suspend"] = True
    scene.twins.edit(scene.ref, status=status(observed_generation=1, originals=[original()]).to_wire())
    scene.see()

    def silent() -> None:
        raise Unavailable("GET /apis/autoscaling: 503", status=503)

    scene.journal.hooks["levers.read"] = silent
    with capture_logs():
        waits = await scene.retries(6)
    assert waits == pytest.approx((10, 20, 40, 80, 120, 120), rel=0.2)
    assert scene.status["originals"], "what is held stays recorded"
    scene.journal.hooks.clear()
    assert await scene.sync() is None
    assert (scene.floor, scene.status.get("originals")) == (2, None)
