"""The leader: everything is composed, runs, reaches what it must reach, and ends."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import create_autospec

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from fakes.clock import FakeClock, in_fake_time
from fakes.sources import FakeSources
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.sync_scene import SPEC
from twinops.adapters.clock import SystemClock
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.sources import ClusterSources
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api import SYNC_REQUESTED_ANNOTATION
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.lease_thread import LeaseThread
from twinops.controllers.shared.status_kind import Purpose, ReadObject
from twinops.controllers.shared.status_writer import WriteOutcome
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.watchdog import Watchdog
from twinops.controllers.source.checks import SourceChecks
from twinops.controllers.source.circuit_breaker import CircuitBreakers
from twinops.errors import Unavailable
from twinops.settings import Settings
from twinops.wiring import Leader, ProcessContext

JOBS = {"events", "resync", "pacing", "sources", "targets", "pods", "hpas", "scaled objects"}


class ApiServer:
    """An API server without any objects; keeps the Events that are posted to it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST" and request.path.endswith("/events"):
            self.events.append(await request.json())
            return web.json_response({})
        if request.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(3600)
            return response
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})


class Leads:
    """A lease whose process leads."""

    def fence(self) -> None:
        """Let every write pass."""


class Scene:
    """A leader, and the API server that it talks to."""

    def __init__(self, server: ApiServer, client: KubeClient) -> None:
        self.server, self.telemetry, self.store, clock = server, FakeTelemetry(), TwinStore(), SystemClock()
        context = ProcessContext(Settings(), clock, self.telemetry, self.store, Watchdog(self.store, clock))
        self.leader = Leader(context, client, cast("LeaseThread", Leads()))

    def see_twin(self, version: int = 1, *, request: str = "") -> None:
        """Deliver the watch event of a twin."""
        meta = {"namespace": "shop", "name": "checkout", "uid": "uid", "resourceVersion": str(version), "generation": 1}
        annotations = {SYNC_REQUESTED_ANNOTATION: request} if request else {}
        body = {"metadata": meta | {"annotations": annotations}, "spec": copy.deepcopy(dict(SPEC)), "status": {}}
        self.leader.watching.twin_seen(body, deleted=False)

    def see_source(self, *, listed: bool = False, deleted: bool = False, version: int = 1) -> None:
        """Deliver the watch event of the MetricsSource ``default``."""
        meta = {"name": "default", "uid": "uid-source", "resourceVersion": str(version), "generation": version}
        body = {
            "apiVersion": "twinops.dev/v1alpha1",
            "kind": "MetricsSource",
            "metadata": meta,
            "spec": {"url": f"http://prometheus-{version}"},
        }
        self.leader.watching.dependency_seen(body, listed=listed, deleted=deleted)


@asynccontextmanager
async def leading(directory: Path) -> AsyncIterator[Scene]:
    """Run a leader's API server for the time of a test."""
    server, app = ApiServer(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        path = directory / "kubeconfig"
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        cluster = {"name": "test", "cluster": {"server": str(running.make_url("")).rstrip("/")}}
        users = [{"name": "test", "user": {"token": "any"}}]
        config = {"current-context": "test", "contexts": [context], "clusters": [cluster], "users": users}
        path.write_text(json.dumps(config))
        client = await KubeClient.connect(str(path), timeout_seconds=5)
        try:
            yield Scene(server, client)
        finally:
            await client.aclose()


async def test_every_job_runs_until_the_end_and_nothing_goes_on_after_it(tmp_path: Path) -> None:
    async with leading(tmp_path) as scene:
        before = asyncio.all_tasks()
        jobs = {name: asyncio.create_task(job) for name, job in scene.leader.jobs().items()}
        await asyncio.wait_for(scene.leader.first(), 10)
        assert set(jobs) == JOBS
        assert [name for name, job in jobs.items() if job.done()] == []
        await scene.leader.aclose()
        for job in jobs.values():
            job.cancel()
        await asyncio.gather(*jobs.values(), return_exceptions=True)
        # Tasks of connections, and of the server, are not the leader's.
        left = {task for task in asyncio.all_tasks() - before if "twinops" in repr(task.get_coro())}
        assert left == set()


async def test_metrics_forget_a_twin_that_has_gone(tmp_path: Path) -> None:
    async with leading(tmp_path) as scene:
        scene.see_twin()
        record = scene.store.get("uid")
        assert record is not None
        scene.telemetry.assessed(record.ref, DigitalTwinStatus())
        scene.store.drop("uid")
        assert scene.telemetry.twins == {}
        await scene.leader.aclose()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is called about a source."""
    called: list[str] = []
    for kind, names in (
        (ClusterSources, ["forget"]),
        (CircuitBreakers, ["forget", "probe_answered", "probe_failed"]),
        (PrometheusBackend, ["forget"]),
        (SourceChecks, ["check_now", "forget"]),
    ):
        for name in names:
            told = f"{kind.__name__}.{name}"
            monkeypatch.setattr(kind, name, lambda *_, told=told: called.append(told))
    return called


async def test_a_source_that_changes_or_goes_reaches_all_that_know_it(tmp_path: Path, calls: list[str]) -> None:
    async with leading(tmp_path) as scene:
        scene.see_source()
        calls.clear()
        scene.see_source(version=2)
        assert calls == ["ClusterSources.forget", "CircuitBreakers.forget", "SourceChecks.check_now"]
        calls.clear()
        scene.see_source(version=3, deleted=True)
        assert set(calls) == {
            "ClusterSources.forget",
            "CircuitBreakers.forget",
            "PrometheusBackend.forget",
            "SourceChecks.forget",
        }
        await scene.leader.aclose()


async def test_a_probe_reaches_the_circuits_and_a_source_that_answers_again_its_twins(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    compose = SourceChecks.__init__

    def spy(checks: Any, *args: Any, **kwargs: Any) -> None:
        given.update(kwargs)
        compose(checks, *args, **kwargs)

    monkeypatch.setattr(SourceChecks, "__init__", spy)
    async with leading(tmp_path) as scene:
        scene.see_twin()
        given["answered"]("default")
        given["failed"]("default", "no answer")
        assert calls == ["CircuitBreakers.probe_answered", "CircuitBreakers.probe_failed"]
        given["recovered"]("default")
        record, queue = scene.store.get("uid"), scene.leader._queue
        assert record is not None
        assert await queue.wait(record, 10) == "MetricsSource default answers again"
        await scene.leader.aclose()


async def test_a_request_during_a_sync_is_answered_by_an_event(tmp_path: Path) -> None:
    async with leading(tmp_path) as scene:
        jobs = [asyncio.create_task(job) for job in scene.leader.jobs().values()]
        scene.see_twin()
        record = scene.store.get("uid")
        assert record is not None
        with scene.leader._queue.running(record):
            scene.see_twin(2, request="now")
        await scene.leader.aclose()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        [event] = scene.server.events
        assert (event["reason"], event["involvedObject"]["name"]) == ("SyncInProgress", "checkout")


@in_fake_time
async def test_metrics_sources_that_cannot_be_written_delay_no_intent_of_a_twin() -> None:
    clock, store, sources, twins = FakeClock(), TwinStore(), FakeSources(), FakeTwins()
    context = ProcessContext(Settings(), clock, FakeTelemetry(), store, Watchdog(store, clock))
    client = KubeClient(ApiClient(Configuration()), timeout_seconds=1)
    leader = Leader(context, client, create_autospec(LeaseThread, instance=True))
    try:
        of_sources = leader._metrics.checks._writer
        of_twins = leader.sync_loop._syncs._publisher._writer  # type: ignore[attr-defined]
        of_sources._client, of_twins._client = sources, twins
        source, twin = sources.add("default"), twins.add("checkout")
        sources.faults = [Unavailable("no answer")] * 6
        for _ in range(3):
            failed = await of_sources.write(
                source, ReadObject.of(await sources.get(source)), dict, material=True, interval=30
            )
            assert failed.outcome is WriteOutcome.UNAVAILABLE
            await clock.sleep(4)
        began = clock.monotonic()
        done = await of_twins.write(
            twin, ReadObject.of(await twins.get(twin)), dict, material=True, interval=60, purpose=Purpose.INTENT
        )
        assert (done.outcome, clock.monotonic() - began) == (WriteOutcome.WRITTEN, 0)
    finally:
        await leader.aclose()
        await client.aclose()
