"""One sync: what is read, written and posted, in which order, and what each outcome of a status write leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fakes.clock import in_fake_time
from support.correcting import HPA
from support.sync_scene import BUSY, CALM, FORECASTS, READS, SyncScene, compute_inline
from twinops.api import SYNC_REQUESTED_ANNOTATION
from twinops.errors import Refused, Unavailable

APPLIED = ("CorrectionApplied", "HorizontalPodAutoscaler")


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    compute_inline(monkeypatch)


def posted(scene: SyncScene, reason: str = "CorrectionApplied") -> list[tuple[str, str]]:
    """Return reason and kind of each Event with this reason."""
    return [(event.reason, event.about.kind) for event in scene.events.posted if event.reason == reason]


@in_fake_time
async def test_without_a_correction_a_sync_reads_and_writes_status_once() -> None:
    scene = SyncScene()
    assert await scene.sync() is None
    assert scene.journal.sent() == [*READS, "twins.write_status"]
    assert (scene.guarded, scene.levers.written, scene.status["observedGeneration"]) == (False, [], 1)
    assert scene.telemetry.syncs == {"synced": 1}
    assert scene.telemetry.twins[scene.ref].health_score == scene.status["healthScore"]


@in_fake_time
async def test_the_intent_is_written_before_the_change_and_the_outcome_after_it() -> None:
    scene = SyncScene()
    await scene.until_due()
    before = dict(scene.status)
    assert await scene.sync() is None
    # The first write takes nothing over from another owner; the guards have allowed the second one.
    change = ["levers.write", "levers.read", "levers.write"]
    assert scene.journal.sent() == [*READS, "twins.set_finalizers", "twins.write_status", *change, "twins.write_status"]
    sent = [(name, arguments) for name, arguments, _ in scene.journal.arguments if name.endswith(("status", "write"))]
    (_, (_, intent)), _, (_, (_, _, value)), (_, (_, outcome)) = sent
    assert [(each["value"], each.get("ours")) for each in intent["originals"]] == [(2, None)]
    [record] = intent["corrections"]
    assert (record["outcome"], record["from"], record["to"], record["field"]) == ("Pending", 2, 5, "spec.minReplicas")
    assert intent["lastSyncTime"] == before["lastSyncTime"], "the sync is not over"
    assert value == 5
    assert [(each["value"], each["ours"]) for each in outcome["originals"]] == [(2, 5)]
    assert [each["outcome"] for each in outcome["corrections"]] == ["Applied"]
    assert outcome["lastSyncTime"] > before["lastSyncTime"]
    assert scene.status == outcome
    assert (scene.guarded, scene.floor, scene.levers.written) == (True, 5, [5])
    assert scene.telemetry.corrections == {"Applied": 1}
    assert posted(scene).count(APPLIED) == 1


@in_fake_time
async def test_who_asked_for_a_sync_with_a_correction_is_answered_by_its_outcome() -> None:
    scene = SyncScene()
    await scene.until_due()
    scene.body["metadata"]["annotations"] = {SYNC_REQUESTED_ANNOTATION: "now"}
    scene.twins.edit(scene.ref)
    scene.see()
    await scene.sync()
    statuses = [arguments[1] for name, arguments, _ in scene.journal.arguments if name == "twins.write_status"]
    assert [each.get("lastHandledSyncRequest") for each in statuses] == [None, "now"]


@in_fake_time
async def test_a_need_that_passes_restores_the_value_and_takes_the_finalizer_off() -> None:
    scene = SyncScene()
    await scene.until_due()
    await scene.run(1)
    scene.gatherer.values["cpuUsage"] = 10.0
    await scene.run(60)
    assert (scene.floor, scene.levers.written, scene.guarded) == (2, [5, 2], False)
    assert "originals" not in scene.status
    assert scene.outcomes == ["Applied", "Applied"]


@in_fake_time
async def test_a_suspended_twin_asks_for_nothing_and_restores_what_it_holds() -> None:
    scene = SyncScene()
    await scene.until_due()
    await scene.run(1)
    scene.body["spec"]["suspend"] = True
    scene.twins.edit(scene.ref, spec=True)
    scene.see()
    scene.journal.clear()
    assert await scene.sync() is None
    assert set(scene.journal.sent()).isdisjoint(READS)
    assert (scene.floor, scene.guarded, scene.telemetry.syncs["suspended"]) == (2, False, 1)
    assert "originals" not in scene.status


@in_fake_time
async def test_a_twin_that_is_being_deleted_is_not_synced() -> None:
    scene = SyncScene()
    await scene.until_due()
    await scene.run(1)
    scene.begin_deletion()
    scene.journal.clear()
    assert await scene.sync() is None
    assert scene.journal.sent() == []


def unavailable(scene: SyncScene) -> None:
    scene.twins.faults = [Unavailable("503", status=503), Unavailable("503", status=503)]


def refused(scene: SyncScene) -> None:
    scene.twins.faults = [Refused("422", status=422)]


def conflict(scene: SyncScene) -> None:
    """Somebody else writes the status; no watch tells of it."""
    scene.twins.edit(scene.ref, status={"healthScore": 1})


def fenced(scene: SyncScene) -> None:
    scene.leads = False


# What happens to the write; the seconds until the next sync, None where nothing failed that a retry mends.
FAULTS: list[Any] = [
    pytest.param(unavailable, "unavailable", 5.0, id="unavailable"),
    pytest.param(refused, "refused", 5.0, id="refused"),
    pytest.param(conflict, "conflict", 1.0, id="conflict"),
    pytest.param(SyncScene.vanish, "gone", None, id="gone"),
    pytest.param(fenced, "fenced", None, id="fenced"),
]
Fault = Callable[[SyncScene], None]


def expect(retry: float | None, seconds: float | None) -> None:
    assert retry is None if seconds is None else retry == pytest.approx(seconds, rel=0.2)


@pytest.mark.parametrize(("fault", "outcome", "seconds"), FAULTS)
def test_an_observation_that_is_not_written(fault: Fault, outcome: str, seconds: float | None) -> None:
    @in_fake_time
    async def check() -> None:
        scene = SyncScene()
        scene.journal.hooks[f"{FORECASTS} done"] = lambda: fault(scene)
        expect(await scene.sync(), seconds)
        assert scene.telemetry.writes == {outcome: 1}
        assert scene.telemetry.syncs == {"synced": 1}
        assert scene.events.reasons == (["StatusRefused"] if outcome == "refused" else [])
        assert scene.telemetry.twins[scene.ref].health_score is not None, "metrics show what is known"
        if seconds is None:
            return
        scene.journal.hooks.clear()
        await scene.run(2)
        assert scene.status["observedGeneration"] == 1
        assert scene.events.reasons.count("MetricsAvailable") == 1, "told once, with the status"

    check()


@pytest.mark.parametrize("room", [True, False], ids=["written", "skipped"])
def test_an_observation_that_says_nothing_new_waits_for_the_budget(*, room: bool) -> None:
    @in_fake_time
    async def check() -> None:
        scene = SyncScene()
        await scene.run(1)
        known = dict(scene.status)
        if not room:
            for _ in range(1000):
                scene.throttle.spend()
        assert await scene.sync() is None
        assert (scene.status != known) is room
        assert scene.telemetry.writes["heartbeat" if room else "skipped"] == 1
        computed = scene.telemetry.twins[scene.ref].last_sync_time
        assert computed is not None
        assert computed.timestamp() == scene.clock.now(), "known, whether written or not"

    check()


@in_fake_time
async def test_a_sync_goes_on_from_what_was_computed_though_it_was_not_written() -> None:
    """Drift counts after three syncs outside: those whose status was skipped or not taken count, too."""
    scene = SyncScene()
    scene.gatherer.values["cpuUsage"] = BUSY
    for _ in range(2):
        refused(scene)
        await scene.run(1)
    assert (scene.levers.written, scene.status) == ([], {})
    await scene.run(1)
    assert scene.levers.written == [5]


@pytest.mark.parametrize(("fault", "outcome", "seconds"), FAULTS)
def test_an_intent_that_is_not_written(fault: Fault, outcome: str, seconds: float | None) -> None:
    @in_fake_time
    async def check() -> None:
        scene = SyncScene()
        await scene.until_due()
        scene.journal.hooks["twins.set_finalizers done"] = lambda: fault(scene)
        expect(await scene.sync(), seconds)
        assert scene.telemetry.writes[outcome] == 1
        assert (scene.journal.sent("levers.write"), scene.floor, posted(scene)) == ([], 2, [])
        if seconds is None:
            return
        scene.journal.hooks.clear()
        await scene.run(4)
        assert (scene.levers.written, scene.outcomes, scene.guarded) == ([5], ["Applied"], True)
        assert posted(scene).count(APPLIED) == 1

    check()


@pytest.mark.parametrize(("fault", "outcome", "seconds"), FAULTS)
def test_an_outcome_that_is_not_written(fault: Fault, outcome: str, seconds: float | None) -> None:
    @in_fake_time
    async def check() -> None:
        scene = SyncScene()
        await scene.until_due()
        scene.journal.hooks["levers.write done"] = lambda: fault(scene)
        expect(await scene.sync(), seconds)
        assert scene.telemetry.writes[outcome] == 1
        assert (scene.floor, scene.levers.written, posted(scene)) == (5, [5], []), "Events wait for the status"
        assert scene.levers.levers[HPA].original_annotation, "what it was stands beside the value"
        if outcome == "gone":
            return
        if outcome == "fenced":
            # The next leader finds the intent, and what came of it on the object.
            assert scene.outcomes == ["Pending"]
            scene.leads = True
            scene.start()
        scene.journal.hooks.clear()
        await scene.run(4)
        assert scene.levers.written == [5]
        assert [(each["value"], each["ours"]) for each in scene.status["originals"]] == [(2, 5)]
        assert scene.outcomes == ([] if outcome == "conflict" else ["Applied"]), "another writer's status counts"
        assert posted(scene).count(APPLIED) == (0 if outcome == "fenced" else 1)

    check()


@in_fake_time
async def test_a_conflict_lets_the_next_sync_start_from_what_stands_there() -> None:
    scene = SyncScene()
    scene.gatherer.values["cpuUsage"] = BUSY
    await scene.run(2)
    scene.journal.hooks[f"{FORECASTS} done"] = lambda: conflict(scene)
    scene.gatherer.values["cpuUsage"] = CALM
    await scene.sync()
    scene.journal.hooks.clear()
    scene.gatherer.values["cpuUsage"] = BUSY
    await scene.sync()
    assert scene.levers.written == [], "the syncs outside that were counted are not known any more"
