"""What a twin's status, Events and metrics say while the API server, or the operator itself, lets it see nothing."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time
from fakes.events import FakeEvents
from fakes.levers import FakeLevers
from fakes.telemetry import FakeTelemetry
from fakes.twins import FakeTwins
from support.correcting import HPA, hpa, observation, original, workload
from support.operator import condition
from support.writers import twin_writer
from twinops.api.references import ObjectRef, TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.twin.corrections import CorrectionService
from twinops.controllers.twin.gather import Gatherer
from twinops.controllers.twin.observe import Observed, Observer, Unmeasured
from twinops.controllers.twin.publish import Publisher
from twinops.controllers.twin.sync import SyncService
from twinops.core.forecast.result import ForecastResult
from twinops.core.lever import Lever
from twinops.core.metrics.batches import Gathered
from twinops.core.observation import Sample, Workload
from twinops.engine.forecaster_cache import ForecasterCache
from twinops.errors import ClusterError, MetricsUnavailable, Refused, Unavailable
from twinops.ports.metrics import SourceAccess

FORBIDDEN = Refused("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout: 403 forbidden", status=403)
DOWN = Unavailable("GET /apis/apps/v1/namespaces/shop/deployments/checkout: 503", status=503)
GRACE = 120.0


class Seen:
    """Stands in for the observer: good values, or whatever ``fault`` raises."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.fault: Exception | None = None

    async def observe(self, *_: object, **__: object) -> Observed:
        if self.fault is not None:
            raise self.fault
        seen = observation(hpa(2), cpuUsage=53.0, latencyMs=100.0)
        return Observed(dataclasses.replace(seen, now=self._clock.now()), {})

    def unavailable(self, *_: object) -> Mapping[str, Sample]:
        return {"cpuUsage": Sample("cpuUsage", Quality.ERROR, reason="MetricsUnavailable")}


class Scene:
    """One twin, its syncs, and what became of them."""

    def __init__(self, levers: FakeLevers | None = None, observer: Callable[[Scene], Observer] | None = None) -> None:
        self.clock = FakeClock()
        self.twins, self.telemetry, self.events = FakeTwins(), FakeTelemetry(), FakeEvents()
        self.levers = levers or FakeLevers(hpa(2))
        self.store = TwinStore()
        self.seen = Seen(self.clock)
        writer = twin_writer(self.twins, self.clock, self.telemetry)
        self.syncs = SyncService(
            store=self.store,
            observer=observer(self) if observer else cast("Observer", self.seen),
            corrections=CorrectionService(self.levers, self.clock),
            publisher=Publisher(self.store, self.twins, writer, self.events),
            telemetry=self.telemetry,
            clock=self.clock,
            grace_seconds=GRACE,
        )
        self.ref = self.twins.add("checkout")
        self.twins.bodies[self.ref.uid]["spec"] = {
            "source": {"systemType": "WebService", "targetRef": {"name": "checkout"}},
            "expectedState": {"metrics": {"cpuUsage": 50}},
        }
        self.store.put(copy.deepcopy(self.twins.bodies[self.ref.uid]))

    async def run(self, seconds: float, *, fault: Exception | None = None) -> None:
        """Sync as the daemon does, for so long."""
        self.seen.fault = fault
        end = self.clock.monotonic() + seconds
        while True:
            try:
                retry = await self.syncs.sync(self.ref, 0)
            except RuntimeError:
                await self.syncs.crashed(self.ref)
                retry = 30.0
            await asyncio.sleep(min(retry or 60.0, 60.0))
            if self.clock.monotonic() >= end:
                return

    @property
    def body(self) -> dict[str, Any]:
        return self.twins.bodies[self.ref.uid]

    def told(self, kind: str) -> tuple[str, str]:
        found = condition(self.body, kind)
        return found.get("status", "absent"), found.get("reason", "")

    def published(self) -> DigitalTwinStatus:
        return self.telemetry.twins[self.ref]


@in_fake_time
async def test_a_target_that_may_not_be_read_stalls_a_new_twin_at_once() -> None:
    scene = Scene()
    await scene.run(1, fault=FORBIDDEN)
    assert (scene.told("Ready"), scene.told("Stalled")) == (("False", "Forbidden"), ("True", "Forbidden"))
    message = condition(scene.body, "Stalled")["message"]
    assert message.startswith("the operator may not get rollouts.argoproj.io in namespace shop: add {apiGroups")
    assert message.endswith("to rbac.extraObserveRules of the chart")
    assert scene.body["status"]["observedGeneration"] == 1
    await scene.run(3600, fault=FORBIDDEN)
    assert scene.events.types_and_reasons == ["Warning Forbidden"]
    assert scene.telemetry.writes["material"] <= 3
    await scene.run(1)
    assert (scene.told("Ready"), scene.told("Stalled")) == (("True", "Synced"), ("absent", ""))
    assert "Normal Recovered" in scene.events.types_and_reasons


@in_fake_time
async def test_a_right_that_is_taken_away_stalls_the_twin_and_later_nothing_stands() -> None:
    scene = Scene()
    await scene.run(1)
    assert scene.published().health_score == 93
    assert scene.told("Drifted") == ("False", "WithinThreshold")
    await scene.run(1, fault=FORBIDDEN)
    assert scene.told("Ready") == ("True", "Synced"), "an API server that starts refuses, too"
    await scene.run(1, fault=FORBIDDEN)
    assert scene.told("Stalled") == ("True", "Forbidden")
    assert scene.body["status"]["healthScore"] == 93, "within the grace period"
    await scene.run(2 * GRACE, fault=FORBIDDEN)
    assert "healthScore" not in scene.body["status"]
    assert (scene.told("Healthy"), scene.told("Drifted")) == (("Unknown", "Forbidden"), ("Unknown", "Forbidden"))
    assert (scene.published().health_score, scene.published().recommended_replicas) == (None, None)
    assert scene.published().health_score == scene.body["status"].get("healthScore")


@in_fake_time
async def test_an_api_server_that_is_away_for_long_is_told_and_for_a_moment_is_not() -> None:
    scene = Scene()
    await scene.run(1)
    writes = scene.twins.attempts
    await scene.run(60, fault=DOWN)
    assert scene.twins.attempts == writes, "an API server in trouble gets no write from every twin for it"
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.published().health_score == 93
    await scene.run(GRACE, fault=DOWN)
    assert scene.told("Ready") == ("False", "ClusterUnavailable")
    assert scene.told("Stalled") == ("absent", "")
    assert scene.told("Healthy") == ("Unknown", "ClusterUnavailable")
    assert scene.published().health_score is None
    await scene.run(1)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.body["status"]["failedSyncs"] == 0


@in_fake_time
async def test_credentials_that_are_not_accepted_are_named() -> None:
    scene = Scene()
    await scene.run(1)
    await scene.run(3 * GRACE, fault=Unavailable("GET /apis/apps/v1: 401", status=401))
    assert scene.told("Ready") == ("False", "Unauthorized")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(RuntimeError("a defect"), "InternalError", id="crash"),
        pytest.param(MetricsUnavailable("no answer"), "MetricsBackendUnavailable", id="backend"),
    ],
)
def test_metrics_say_what_status_says_whatever_went_wrong(fault: Exception, reason: str) -> None:
    @in_fake_time
    async def run() -> None:
        scene = Scene()
        await scene.run(1)
        await scene.run(1, fault=fault)
        assert scene.published().health_score == scene.body["status"]["healthScore"] == 93
        await scene.run(3 * GRACE, fault=fault)
        assert scene.told("Healthy") == ("Unknown", reason)
        assert scene.published().health_score is None
        assert "healthScore" not in scene.body["status"]
        assert scene.events.types_and_reasons.count("Normal Healthy") == 1

    run()


@in_fake_time
async def test_a_status_of_long_ago_is_not_published_after_a_restart() -> None:
    scene = Scene()
    await scene.run(1)
    scene.telemetry.twins.clear()
    scene.clock.jump(60)
    scene.syncs.resume(scene.ref)
    assert scene.published().health_score == 93
    scene.telemetry.twins.clear()
    scene.clock.jump(7200)
    scene.syncs.resume(scene.ref)
    assert scene.ref not in scene.telemetry.twins


@in_fake_time
async def test_a_status_that_is_refused_is_told_by_one_event() -> None:
    scene = Scene()
    scene.twins.faults = [Refused("PUT digitaltwins/checkout/status: 403", status=403) for _ in range(4)]
    await scene.run(30)
    assert scene.events.types_and_reasons == ["Warning StatusRefused"]
    await scene.run(120)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.events.types_and_reasons.count("Warning StatusRefused") == 1


@in_fake_time
async def test_a_target_is_seen_without_any_metrics() -> None:
    scene = Scene()
    await scene.run(1)
    await scene.run(3 * GRACE, fault=Unmeasured("no answer", workload(2, 4)))
    status = scene.body["status"]
    assert (status["replicas"], status["summary"]["replicas"]) == (2, "2/4")
    assert (status["summary"]["drift"], status["summary"]["predicted"]) == ("unknown", "unknown")


class Unreadable(FakeLevers):
    """Levers that may not be looked for."""

    def __init__(self, fault: ClusterError) -> None:
        super().__init__()
        self._fault = fault

    async def find(self, namespace: str, target: TargetRef, hpa_name: str | None) -> Lever:
        del namespace, target, hpa_name
        raise self._fault

    async def read(self, namespace: str, reference: ObjectRef, field: str) -> Lever:
        del namespace, reference, field
        raise self._fault


def real_observer(scene: Scene) -> Observer:
    """Return an observer that has values, and asks the scene's levers."""

    class Stub:
        async def access(self, name: str) -> SourceAccess:
            return SourceAccess(name, MetricsSourceSpec(url="http://prometheus:9090"))

        async def get(self, namespace: str, ref: TargetRef) -> Workload:
            del namespace, ref
            return workload(3)

        async def gather(self, *_: object, **__: object) -> Gathered:
            return Gathered({"cpuUsage": Sample("cpuUsage", Quality.GOOD, 53.0)})

        async def update(self, *_: object) -> ForecastResult:
            return (await scene.seen.observe()).observation.forecast_result

        def unavailable(self, spec: DigitalTwinSpec, error: object, previous: object, now: float) -> Gathered:
            del spec, error, previous, now
            return Gathered({"cpuUsage": Sample("cpuUsage", Quality.ERROR)})

    stub = Stub()
    return Observer(
        sources=stub,
        workloads=stub,
        levers=scene.levers,
        gatherer=cast("Gatherer", stub),
        memories=cast("ForecasterCache", stub),
        index=scene.store,
    )


LISTING = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"


@in_fake_time
async def test_a_lever_that_may_not_be_read_never_stops_observing() -> None:
    held = {"originals": [original(2, ours=6).to_wire()], "observedGeneration": 1}
    scene = Scene(Unreadable(Refused(f"{LISTING}: 403", status=403)), real_observer)
    scene.twins.edit(scene.ref, status=held)
    scene.store.put(copy.deepcopy(scene.body))
    await scene.run(1)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.told("CorrectionBlocked") == ("True", "Forbidden")
    assert "may not list horizontalpodautoscalers.autoscaling" in condition(scene.body, "CorrectionBlocked")["message"]
    assert scene.body["status"]["healthScore"] == 93
    assert scene.body["status"]["originals"] == held["originals"], "what is held stays recorded"
    assert scene.body["status"]["originals"][0]["object"]["name"] == HPA.name


@in_fake_time
async def test_a_lever_that_does_not_answer_for_long_stops_no_observing_either() -> None:
    scene = Scene(Unreadable(Unavailable(f"{LISTING}: 500", status=500)), real_observer)
    await scene.run(1)
    assert scene.told("Ready") == ("absent", ""), "a moment is no news"
    await scene.run(120)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.told("CorrectionBlocked") == ("True", "LeverUnavailable")
    writes = scene.telemetry.writes["material"]
    await scene.run(600)
    assert scene.told("CorrectionBlocked") == ("True", "LeverUnavailable")
    assert scene.telemetry.writes["material"] == writes


@pytest.mark.parametrize("other", ["switched off", "an older twin corrects", "another twin holds"])
def test_a_lever_that_is_of_no_use_now_never_stops_observing(other: str) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene(Unreadable(Unavailable(f"{LISTING}: 500", status=500)), real_observer)
        spec, meta = scene.body["spec"], scene.body["metadata"]
        meta["creationTimestamp"] = "2026-01-02T00:00:00Z"
        if other == "switched off":
            spec["autoCorrection"] = {"enabled": False}
        else:
            held = {"originals": [original(2, ours=6).to_wire()]}
            holds = other == "another twin holds"
            born = f"2026-01-0{3 if holds else 1}T00:00:00Z"
            rival = {**meta, "name": "rival", "uid": "uid-rival", "creationTimestamp": born}
            scene.store.put({"metadata": rival, "spec": copy.deepcopy(spec), "status": held if holds else {}})
        scene.twins.edit(scene.ref)
        scene.store.put(copy.deepcopy(scene.body))
        for _ in range(10):
            await scene.run(1)
            assert scene.told("Ready") == ("True", "Synced")
            assert scene.body["status"].get("failedSyncs", 0) == 0

    check()
