"""Which watch events wake which twins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from support.correcting import original
from twinops.api import GIVE_BACK_FINALIZER
from twinops.controllers.shared.record import TwinObject, TwinRecord
from twinops.controllers.shared.resync import Resync
from twinops.controllers.shared.store import TwinStore
from twinops.controllers.shared.work_queue import WorkQueue
from twinops.controllers.twin.watch_events import WatchEvents
from twinops.ports.kubernetes import TwinRef

Body = dict[str, Any]


class Scene:
    """A watching service whose outcomes are written down."""

    def __init__(self) -> None:
        self.store = TwinStore()
        self.queue = WorkQueue(self.store, FakeClock())
        self.restored: list[TwinRef] = []
        self.deleting: list[TwinRef] = []
        self.sources: list[str] = []
        self.busy: list[TwinObject] = []
        self.watching = WatchEvents(
            self.store,
            self.queue,
            restore=self.restored.append,
            remove_finalizer=self.deleting.append,
            source_changed=self.sources.append,
            source_gone=lambda name: self.sources.append(f"-{name}"),
            in_progress=self.busy.append,
        )
        self.watching.twin_seen(twin(), deleted=False)

    async def woken(self, uid: str = "u1") -> str | None:
        """Return why the twin was woken, None when it was not."""
        return await self.queue.wait(self.record(uid), 10)

    def record(self, uid: str = "u1") -> TwinRecord:
        """Return the twin's record."""
        record = self.store.get(uid)
        assert record is not None
        return record


def twin(*, generation: int = 1, version: str = "1", asked: str | None = None, **meta: Any) -> Body:
    annotations = {"twinops.dev/sync-requested-at": asked} if asked else {}
    return {
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "uid": "u1",
            "generation": generation,
            "resourceVersion": version,
            "annotations": annotations,
            **meta,
        },
        "spec": {"source": {"systemType": "WebService", "targetRef": {"name": "checkout"}}},
    }


def thing(kind: str = "Deployment", *, uid: str = "d1", name: str = "checkout", **more: Any) -> Body:
    versions = {"Deployment": "apps/v1", "MetricsSource": "twinops.dev/v1alpha1"}
    meta = {"name": name, "uid": uid} | ({"namespace": "shop"} if kind == "Deployment" else {})
    spec = {"replicas": 2, "paused": False}
    return {"apiVersion": versions[kind], "kind": kind, "metadata": meta, "spec": spec, **more}


def hpa(target: str = "checkout", *, name: str = "by-itself", least: int = 2, most: int = 9) -> Body:
    to = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "shop", "uid": "h1"},
        "spec": {"scaleTargetRef": to, "minReplicas": least, "maxReplicas": most},
    }


def beside(version: str, *, holds: bool = False, deleting: bool = False, **spec: Any) -> Body:
    """Build a second twin of the same target."""
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    body = twin(generation=int(version), version=version, name="other", uid="u2", **going)
    held = {"originals": [original(2).to_wire()]} if holds else {}
    return body | {"spec": body["spec"] | spec, "status": held}


PREVIEW: Body = {"autoCorrection": {"mode": "Preview"}}


@pytest.mark.parametrize(
    ("before", "after", "deleted", "expected"),
    [
        pytest.param(beside("1"), beside("2", suspend=True), False, "twin other changed", id="it was suspended"),
        pytest.param(beside("1", **PREVIEW), beside("2"), False, "twin other changed", id="it corrects from now on"),
        pytest.param(beside("1"), beside("2", deleting=True), False, "twin other changed", id="it is being deleted"),
        pytest.param(beside("1"), beside("1"), True, "twin other went", id="it is gone"),
        pytest.param(
            beside("1", holds=True, suspend=True),
            beside("2", suspend=True),
            False,
            "twin other changed",
            id="it holds nothing any more",
        ),
        pytest.param(beside("1", holds=True), beside("1", holds=True), True, "twin other went", id="gone with all"),
        pytest.param(beside("1"), beside("2", holds=True), False, None, id="it holds something now"),
        pytest.param(beside("1"), beside("2", limits={"cpuUsage": 90}), False, None, id="something else in its spec"),
        pytest.param(
            beside("1", suspend=True), beside("2", suspend=True, deleting=True), False, None, id="it did nothing"
        ),
    ],
)
def test_a_twin_is_woken_when_another_one_makes_room_or_takes_it(
    before: Body, after: Body, expected: str | None, *, deleted: bool
) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.watching.twin_seen(before, deleted=False)
        # The operator's own writes reach the store before the watch tells of them.
        scene.store.put(after)
        scene.watching.twin_seen(after, deleted=deleted)
        assert await scene.woken() == expected

    check()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(twin(generation=2, version="2"), "spec changed", id="a new generation"),
        pytest.param(twin(asked="now", version="2"), "sync requested", id="a request"),
        pytest.param(twin(version="2") | {"status": {"healthScore": 3}}, None, id="our own status write"),
    ],
)
def test_a_twin_wakes_for_its_spec_and_for_requests(body: Body, expected: str | None) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        scene.watching.twin_seen(body, deleted=False)
        assert await scene.woken() == expected

    check()


@in_fake_time
async def test_a_request_during_a_sync_is_told_and_runs_next() -> None:
    scene = Scene()
    with scene.queue.running(scene.record()):
        scene.watching.twin_seen(twin(asked="now", version="2"), deleted=False)
        assert len(scene.busy) == 1
    assert await scene.woken() == "sync requested"


@in_fake_time
async def test_many_requests_during_a_sync_are_told_once() -> None:
    scene = Scene()
    for sync in range(1, 3):
        await asyncio.sleep(60)
        with scene.queue.running(scene.record()):
            for number in range(100):
                version = str(1000 * sync + number)
                scene.watching.twin_seen(twin(asked=version, version=version), deleted=False)
            assert len(scene.busy) == sync


@in_fake_time
async def test_a_new_spec_during_a_sync_is_no_request() -> None:
    scene = Scene()
    with scene.queue.running(scene.record()):
        scene.watching.twin_seen(twin(generation=2, version="2"), deleted=False)
    assert scene.busy == []
    assert await scene.woken() == "spec changed"


@in_fake_time
async def test_a_deleted_twin_that_holds_something_is_restored() -> None:
    scene = Scene()
    going = twin(version="2", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=[GIVE_BACK_FINALIZER])
    scene.watching.twin_seen(going, deleted=False)
    assert scene.restored == [TwinRef("shop", "checkout", "u1")]


@in_fake_time
async def test_a_deleted_twin_that_holds_nothing_is_not() -> None:
    scene = Scene()
    going = twin(version="2", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["twinops.dev/daemon"])
    scene.watching.twin_seen(going, deleted=False)
    scene.watching.twin_seen(going, deleted=True)
    assert scene.restored == []
    assert len(scene.store) == 0


Step = tuple[Body, bool, bool]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([(thing(), True, False)], None, id="listed at the start"),
        pytest.param([(thing(), False, False)], "Deployment checkout changed", id="came"),
        pytest.param(
            [(thing(), True, False), (thing(status={"readyReplicas": 1}), False, False)], None, id="only its status"
        ),
        pytest.param(
            [(thing(), True, False), (thing(spec={"replicas": 2, "paused": True}), False, False)],
            "Deployment checkout changed",
            id="its spec",
        ),
        pytest.param(
            [(thing(), True, False), (thing(spec={"replicas": 7, "paused": False}), False, False)],
            None,
            id="scaled, by its HPA or by us",
        ),
        pytest.param([(hpa(), False, False)], "HorizontalPodAutoscaler by-itself changed", id="an HPA for its target"),
        pytest.param([(hpa("other"), False, False)], None, id="an HPA for another one"),
        pytest.param([(hpa(), True, False)], None, id="its HPA is listed at the start"),
        pytest.param(
            [(hpa(), True, False), (hpa(most=20), False, False)],
            "HorizontalPodAutoscaler by-itself changed",
            id="the maximum of its HPA",
        ),
        pytest.param([(hpa(), True, False), (hpa(least=4), False, False)], None, id="the minimum that we set"),
        pytest.param(
            [(hpa(), True, False), (hpa(), False, True)], "HorizontalPodAutoscaler by-itself went", id="its HPA went"
        ),
        pytest.param(
            [(thing(), True, False), (thing(uid="d2"), True, False)], "Deployment checkout changed", id="made anew"
        ),
        pytest.param([(thing(), True, False), (thing(), False, True)], "Deployment checkout went", id="went"),
        pytest.param([(thing(name="other"), False, False)], None, id="nobody names it"),
        pytest.param(
            [(thing("MetricsSource", name="default"), False, False)], "MetricsSource default changed", id="source came"
        ),
    ],
)
def test_what_a_twin_depends_on_wakes_it(seen: list[Step], expected: str | None) -> None:
    @in_fake_time
    async def check() -> None:
        scene = Scene()
        for body, listed, deleted in seen:
            scene.watching.dependency_seen(body, listed=listed, deleted=deleted)
        assert await scene.woken() == expected

    check()


@in_fake_time
async def test_sources_are_told_of_only_when_their_spec_is_new() -> None:
    scene = Scene()
    source = thing("MetricsSource", name="thanos")
    for body, listed in ((source, True), (source | {"status": {"conditions": []}}, False)):
        scene.watching.dependency_seen(body, listed=listed, deleted=False)
    assert scene.sources == ["thanos"]
    scene.watching.dependency_seen(
        thing("MetricsSource", name="thanos", spec={"url": "x"}), listed=False, deleted=False
    )
    scene.watching.dependency_seen(source, listed=False, deleted=True)
    assert scene.sources == ["thanos", "thanos", "-thanos"]


@in_fake_time
async def test_a_twin_that_is_being_deleted_is_seen_off_and_its_daemon_is_told() -> None:
    scene = Scene()
    waiting = asyncio.ensure_future(scene.woken())
    await asyncio.sleep(0)
    scene.watching.twin_seen(twin(version="2", deletionTimestamp="2026-01-01T00:00:00Z"), deleted=False)
    assert await waiting == "being deleted"
    assert ([ref.uid for ref in scene.deleting], scene.restored) == (["u1"], [])


@in_fake_time
async def test_a_twin_that_went_is_not_brought_back_by_what_was_on_its_way() -> None:
    scene = Scene()
    scene.watching.twin_seen(twin(version="2"), deleted=True)
    scene.watching.twin_seen(twin(version="1"), deleted=False)
    assert len(scene.store) == 0


@in_fake_time
async def test_a_list_that_misses_a_twin_before_its_deletion_is_seen_makes_room_all_the_same() -> None:
    scene = Scene()
    scene.watching.twin_seen(beside("1", holds=True), deleted=False)

    class Lister:
        async def list(self, _: Any = ()) -> list[Any]:
            return [twin()]

    watching = scene.watching
    resync = Resync(Lister(), scene.store, FakeClock(), gone=watching.twin_gone, deleting=watching.twin_deleting)
    # The list was answered after the deletion, and is taken in before the event.
    await resync.call()
    watching.twin_seen(beside("1", holds=True), deleted=True)
    assert await scene.woken() == "twin other went"
