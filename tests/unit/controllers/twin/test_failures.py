"""What a twin's status, Events and metrics say while the API server, or the operator itself, lets it see nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fakes.clock import in_fake_time
from support.correcting import HPA, original, workload
from support.operator import condition
from support.sync_scene import SyncScene, compute_inline
from twinops.api.twin.status import DigitalTwinStatus
from twinops.errors import ClusterError, MetricsUnavailable, Refused, Unavailable

FORBIDDEN = Refused("GET /apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout: 403 forbidden", status=403)
DOWN = Unavailable("GET /apis/apps/v1/namespaces/shop/deployments/checkout: 503", status=503)
GRACE = 120.0


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_inline(monkeypatch)


class Scene(SyncScene):
    """One twin, its syncs, and what became of them."""

    def __init__(self, lever_fault: ClusterError | None = None) -> None:
        super().__init__(grace_seconds=GRACE)
        self.gatherer.values = {"cpuUsage": 53.0, "latencyMs": 100.0}
        if lever_fault is not None:
            self.journal.hooks = dict.fromkeys(("levers.find", "levers.read"), raising(lever_fault))

    async def pass_by(self, seconds: float, *, fault: Exception | None = None) -> None:
        """Sync as the daemon does, for so long, while reading the target raises this."""
        self.workloads.fault = fault if isinstance(fault, ClusterError) else None
        self.gatherer.fault = None if isinstance(fault, ClusterError) else fault
        end = self.clock.monotonic() + seconds
        while True:
            await self.run(1)
            if self.clock.monotonic() >= end:
                return

    def told(self, kind: str) -> tuple[str, str]:
        found = condition(self.body, kind)
        return found.get("status", "absent"), found.get("reason", "")

    def published(self) -> DigitalTwinStatus:
        return self.telemetry.twins[self.ref]


def raising(error: Exception) -> Any:
    def act() -> None:
        raise error

    return act


@in_fake_time
async def test_a_target_that_may_not_be_read_stalls_a_new_twin_at_once() -> None:
    scene = Scene()
    await scene.pass_by(1, fault=FORBIDDEN)
    assert (scene.told("Ready"), scene.told("Stalled")) == (("False", "Forbidden"), ("True", "Forbidden"))
    message = condition(scene.body, "Stalled")["message"]
    assert message.startswith("the operator may not get rollouts.argoproj.io in namespace shop: add {apiGroups")
    assert message.endswith("to rbac.extraObserveRules of the chart")
    assert scene.body["status"]["observedGeneration"] == 1
    await scene.pass_by(3600, fault=FORBIDDEN)
    assert scene.events.types_and_reasons == ["Warning Forbidden"]
    assert scene.telemetry.writes["material"] <= 3
    await scene.pass_by(1)
    assert (scene.told("Ready"), scene.told("Stalled")) == (("True", "Synced"), ("absent", ""))
    assert "Normal Recovered" in scene.events.types_and_reasons


@in_fake_time
async def test_a_right_that_is_taken_away_stalls_the_twin_and_later_nothing_stands() -> None:
    scene = Scene()
    await scene.pass_by(1)
    assert scene.published().health_score == 93
    assert scene.told("Drifted") == ("False", "WithinThreshold")
    await scene.pass_by(1, fault=FORBIDDEN)
    assert scene.told("Ready") == ("True", "Synced"), "an API server that starts refuses, too"
    await scene.pass_by(1, fault=FORBIDDEN)
    assert scene.told("Stalled") == ("True", "Forbidden")
    assert scene.body["status"]["healthScore"] == 93, "within the grace period"
    await scene.pass_by(2 * GRACE, fault=FORBIDDEN)
    assert "healthScore" not in scene.body["status"]
    assert (scene.told("Healthy"), scene.told("Drifted")) == (("Unknown", "Forbidden"), ("Unknown", "Forbidden"))
    assert (scene.published().health_score, scene.published().recommended_replicas) == (None, None)
    assert scene.published().health_score == scene.body["status"].get("healthScore")


@in_fake_time
async def test_an_api_server_that_is_away_for_long_is_told_and_for_a_moment_is_not() -> None:
    scene = Scene()
    await scene.pass_by(1)
    writes = scene.twins.attempts
    await scene.pass_by(60, fault=DOWN)
    assert scene.twins.attempts == writes, "an API server in trouble gets no write from every twin for it"
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.published().health_score == 93
    await scene.pass_by(GRACE, fault=DOWN)
    assert scene.told("Ready") == ("False", "ClusterUnavailable")
    assert scene.told("Stalled") == ("absent", "")
    assert scene.told("Healthy") == ("Unknown", "ClusterUnavailable")
    assert scene.published().health_score is None
    await scene.pass_by(1)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.body["status"]["failedSyncs"] == 0


@in_fake_time
async def test_credentials_that_are_not_accepted_are_named() -> None:
    scene = Scene()
    await scene.pass_by(1)
    await scene.pass_by(3 * GRACE, fault=Unavailable("GET /apis/apps/v1: 401", status=401))
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
        await scene.pass_by(1)
        await scene.pass_by(1, fault=fault)
        assert scene.published().health_score == scene.body["status"]["healthScore"] == 93
        await scene.pass_by(3 * GRACE, fault=fault)
        assert scene.told("Healthy") == ("Unknown", reason)
        assert scene.published().health_score is None
        assert "healthScore" not in scene.body["status"]
        assert scene.events.types_and_reasons.count("Normal Healthy") == 1

    run()


@in_fake_time
async def test_a_status_of_long_ago_is_not_published_after_a_restart() -> None:
    scene = Scene()
    await scene.pass_by(1)
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
    await scene.pass_by(30)
    assert scene.events.types_and_reasons == ["Warning StatusRefused"]
    await scene.pass_by(120)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.events.types_and_reasons.count("Warning StatusRefused") == 1


@in_fake_time
async def test_a_target_is_seen_without_any_metrics() -> None:
    scene = Scene()
    await scene.pass_by(1)
    scene.workloads.found = workload(2, 4)
    await scene.pass_by(3 * GRACE, fault=MetricsUnavailable("no answer"))
    status = scene.body["status"]
    assert (status["replicas"], status["summary"]["replicas"]) == (2, "2/4")
    assert (status["summary"]["drift"], status["summary"]["predicted"]) == ("unknown", "unknown")


LISTING = "GET /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"


@in_fake_time
async def test_a_lever_that_may_not_be_read_never_stops_observing() -> None:
    held = {"originals": [original(2, ours=6).to_wire()], "observedGeneration": 1}
    scene = Scene(Refused(f"{LISTING}: 403", status=403))
    scene.twins.edit(scene.ref, status=held)
    scene.see()
    await scene.pass_by(1)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.told("CorrectionBlocked") == ("True", "Forbidden")
    assert "may not list horizontalpodautoscalers.autoscaling" in condition(scene.body, "CorrectionBlocked")["message"]
    assert scene.body["status"]["healthScore"] == 93
    assert scene.body["status"]["originals"] == held["originals"], "what is held stays recorded"
    assert scene.body["status"]["originals"][0]["object"]["name"] == HPA.name


@in_fake_time
async def test_a_lever_that_does_not_answer_for_long_stops_no_observing_either() -> None:
    scene = Scene(Unavailable(f"{LISTING}: 500", status=500))
    await scene.pass_by(1)
    assert scene.told("Ready") == ("absent", ""), "a moment is no news"
    await scene.pass_by(120)
    assert scene.told("Ready") == ("True", "Synced")
    assert scene.told("CorrectionBlocked") == ("True", "LeverUnavailable")
    writes = scene.telemetry.writes["material"]
    await scene.pass_by(600)
    assert scene.told("CorrectionBlocked") == ("True", "LeverUnavailable")
    assert scene.telemetry.writes["material"] == writes


@pytest.mark.parametrize("other", ["switched off", "an older twin corrects", "another twin holds"])
def test_a_lever_that_is_of_no_use_now_never_stops_observing(other: str) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene(Unavailable(f"{LISTING}: 500", status=500))
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
        scene.see()
        for _ in range(10):
            await scene.pass_by(1)
            assert scene.told("Ready") == ("True", "Synced")
            assert scene.body["status"].get("failedSyncs", 0) == 0

    check()
