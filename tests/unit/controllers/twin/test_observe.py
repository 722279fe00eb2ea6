"""What one sync reads: in which order, what ends it, and what does not."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from fakes.clock import in_fake_time
from support.correcting import HPA, OURS, hpa, original, spec, status, workload
from support.sync_scene import FORECASTS, READS, SyncScene
from twinops.api.twin.status import DigitalTwinStatus
from twinops.controllers.twin.observe import Observed, Unmeasured
from twinops.core.correction.saved_annotation import annotation_text
from twinops.errors import (
    ClusterError,
    MetricsUnavailable,
    NotFound,
    Refused,
    SourceInvalid,
    SpecError,
    TargetNotFound,
    Unavailable,
)

GET = "GET /apis/x/v1/namespaces/shop/y/z"


class Scene(SyncScene):
    """A twin that is observed."""

    def fail(self, request: str, error: Exception) -> None:
        """Let every request of this name fail."""

        def act() -> None:
            raise error

        self.journal.hooks[request] = act

    async def observe(
        self, previous: DigitalTwinStatus | None = None, *, annotation: str = "", **more: Any
    ) -> Observed:
        record, now = self.store.get(self.ref.uid), self.clock.now()
        assert record is not None
        return await self.observer().observe(
            record, spec(**more), previous or DigitalTwinStatus(), now, annotation=annotation
        )

    def add_twin(self, name: str, *, created: str, holds: bool = False) -> None:
        """Add another twin of the same target."""
        other = self.twins.add(name)
        self.twins.bodies[other.uid]["spec"] = copy.deepcopy(self.body["spec"])
        self.twins.bodies[other.uid]["metadata"]["creationTimestamp"] = created
        if holds:
            self.twins.bodies[other.uid]["status"] = status(originals=[original()]).to_wire()
        self.store.put(copy.deepcopy(self.twins.bodies[other.uid]))


@in_fake_time
async def test_everything_is_read_once_and_the_source_first() -> None:
    scene = Scene()
    seen = (await scene.observe()).observation
    assert scene.journal.sent() == list(READS)
    points = scene.journal.points
    assert points.index("sources.access done") < points.index("workloads.get")
    assert max(points.index("workloads.get done"), points.index("levers.find done")) < points.index("metrics.gather")
    assert points.index("metrics.gather done") < points.index(FORECASTS)
    assert (seen.now, seen.workload, seen.lever) == (scene.clock.now(), scene.workloads.found, scene.levers.levers[HPA])
    assert {name: sample.value for name, sample in seen.samples.items()} == scene.gatherer.values
    assert seen.forecast_result is scene.histories.result
    assert (seen.lever_unread, seen.rival, seen.holder, seen.one_shot_managers) == (False, "", "", ("ci-*",))


@in_fake_time
async def test_the_limits_are_reckoned_once_and_the_forecasts_get_the_same() -> None:
    scene = Scene()
    seen = (await scene.observe(limits={"cpuUsage": 80})).observation
    [(_, arguments, _)] = [each for each in scene.journal.arguments if each[0] == FORECASTS]
    assert arguments[-1].limits is seen.limits
    assert seen.limits["cpuUsage"] == 80


@pytest.mark.parametrize(
    ("request_name", "error", "raised", "sent"),
    [
        ("sources.access", SourceInvalid("Secret token is missing: create it"), SourceInvalid, READS[:1]),
        ("sources.access", Unavailable("503", status=503), Unavailable, READS[:1]),
        ("workloads.get", TargetNotFound("Deployment checkout does not exist"), TargetNotFound, READS[:3]),
        ("workloads.get", Refused("403", status=403), Refused, READS[:3]),
        ("workloads.get", Unavailable("503", status=503), Unavailable, READS[:3]),
        ("metrics.gather", MetricsUnavailable("no answer"), Unmeasured, READS[:4]),
        ("metrics.gather", SpecError("401", reason="SourceRefused"), SpecError, READS[:4]),
    ],
)
def test_what_ends_a_sync_is_followed_by_no_other_request(
    request_name: str, error: Exception, raised: type[Exception], sent: tuple[str, ...]
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.fail(request_name, error)
        with pytest.raises(raised) as caught:
            await scene.observe()
        assert scene.journal.sent() == list(sent)
        assert "Secret" not in str(caught.value), "the twin's author may not see it"
        if isinstance(caught.value, Unmeasured):
            assert caught.value.workload == scene.workloads.found

    check()


@in_fake_time
async def test_without_a_target_there_is_no_workload_and_no_lever() -> None:
    scene = Scene()
    seen = (await scene.observe(source={"systemType": "WebService"})).observation
    assert (seen.workload, seen.lever, seen.no_lever_reason) == (None, None, "NoTarget")
    assert scene.journal.sent() == ["sources.access", "metrics.gather", FORECASTS]


@pytest.mark.parametrize(
    ("error", "reason", "unread"),
    [
        (SpecError("two of them", reason="AmbiguousHPA"), "AmbiguousHPA", False),
        (Refused(f"{GET}: 403", status=403), "Forbidden", True),
        (Refused(f"{GET}: 405", status=405), "RequestRefused", True),
        (NotFound(f"{GET}: 404", status=404), "RequestRefused", True),
        (Unavailable(f"{GET}: 500", status=500), "LeverUnavailable", True),
    ],
)
def test_without_a_lever_everything_else_is_observed(
    error: ClusterError | SpecError, reason: str, *, unread: bool
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.fail("levers.find", error)
        seen = (await scene.observe(DigitalTwinStatus(failed_syncs=5))).observation
        assert (seen.samples.keys(), seen.workload) == (scene.gatherer.values.keys(), workload())
        assert (seen.lever, seen.no_lever_reason, seen.lever_unread) == (None, reason, unread)
        assert seen.no_lever_message

    check()


@in_fake_time
async def test_a_lever_that_is_needed_and_has_not_answered_for_a_moment_ends_the_sync() -> None:
    scene = Scene()
    scene.fail("levers.find", Unavailable(f"{GET}: 500", status=500))
    with pytest.raises(Unavailable):
        await scene.observe(DigitalTwinStatus(failed_syncs=2))
    seen = (await scene.observe(correction={"enabled": False})).observation
    assert seen.no_lever_reason == "LeverUnavailable", "of no use now"


@in_fake_time
async def test_an_older_twin_of_the_same_target_is_a_rival() -> None:
    scene = Scene()
    scene.body["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    scene.twins.edit(scene.ref)
    scene.see()
    scene.add_twin("younger", created="2026-01-03T00:00:00Z")
    assert (await scene.observe()).observation.rival == ""
    scene.add_twin("older", created="2026-01-01T00:00:00Z")
    seen = (await scene.observe()).observation
    assert (seen.rival, seen.holder) == ("older", "")
    assert seen.lever is not None, "it is observed all the same"


@pytest.mark.parametrize("other_holds", [False, True])
def test_a_raised_value_that_status_does_not_list_is_recovered_unless_another_twin_holds_it(
    *, other_holds: bool
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        noted = annotation_text(original(2), 6, scene.ref.name)
        scene.levers.edit(HPA, value=6, owners=(OURS,), original_annotation=noted)
        if other_holds:
            scene.add_twin("other", created="2026-01-03T00:00:00Z", holds=True)
        seen = (await scene.observe()).observation
        assert seen.holder == ("other" if other_holds else "")
        assert scene.journal.sent("levers.read") == ([] if other_holds else ["levers.read"])
        found = seen.held.recovered
        assert (None if found is None else found.value) == (None if other_holds else 2)

    check()


@in_fake_time
async def test_what_is_held_is_read_unless_it_is_the_lever() -> None:
    scene = Scene()
    elsewhere = hpa(6, OURS, object=HPA.model_copy(update={"name": "another"}))
    scene.levers.levers[elsewhere.object] = elsewhere
    held = status(originals=[original(), original(object=elsewhere.object)])
    seen = (await scene.observe(held)).observation
    assert scene.journal.sent("levers.read") == ["levers.read"]
    assert {key[0].name for key in seen.held.levers} == {"checkout", "another"}


@in_fake_time
async def test_a_refusal_of_what_is_held_leaves_it_unread() -> None:
    scene = Scene()
    held = status(originals=[original(object=HPA.model_copy(update={"name": "another"}))])
    scene.fail("levers.read", Refused(f"{GET}: 403", status=403))
    seen = (await scene.observe(held)).observation
    assert {key[0].name for key in seen.held.unread} == {"another"}
    assert seen.lever is not None


@in_fake_time
async def test_a_cancelled_sync_leaves_no_request_behind() -> None:
    scene = Scene()
    scene.journal.hooks["workloads.get"] = lambda: asyncio.sleep(3600)
    scene.journal.hooks["levers.find"] = lambda: asyncio.sleep(3600)
    observing = asyncio.create_task(scene.observe())
    await asyncio.sleep(1)
    observing.cancel()
    await asyncio.wait({observing})
    assert observing.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
