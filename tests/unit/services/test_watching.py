"""Which watch events wake which twins."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.clock import FakeClock, in_fake_time
from twinops.api import GIVE_BACK_FINALIZER
from twinops.services.ports import TwinRef
from twinops.services.twin_index import TwinIndex
from twinops.services.wakeups import Wakeups
from twinops.services.watching import Watching

Body = dict[str, Any]


class Scene:
    """A watching service whose outcomes are written down."""

    def __init__(self) -> None:
        self.index = TwinIndex()
        self.wakeups = Wakeups(FakeClock())
        self.released: list[TwinRef] = []
        self.sources: list[str] = []
        self.busy: list[Body] = []
        self.watching = Watching(
            self.index,
            self.wakeups,
            release=self.released.append,
            source_changed=self.sources.append,
            source_gone=lambda name: self.sources.append(f"-{name}"),
            busy=lambda body: self.busy.append(dict(body)),
        )
        self.watching.twin_seen(twin(), deleted=False)

    async def woken(self) -> str | None:
        """Return why the twin was woken, None when it was not."""
        return await self.wakeups.wait("u1", 10)


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


def thing(kind: str = "Deployment", *, uid: str = "d1", replicas: int = 2, name: str = "checkout", **more: Any) -> Body:
    versions = {"Deployment": "apps/v1", "MetricsSource": "twinops.dev/v1alpha1"}
    meta = {"name": name, "uid": uid} | ({"namespace": "shop"} if kind == "Deployment" else {})
    return {"apiVersion": versions[kind], "kind": kind, "metadata": meta, "spec": {"replicas": replicas}, **more}


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
    with scene.wakeups.running("u1"):
        scene.watching.twin_seen(twin(asked="now", version="2"), deleted=False)
        assert len(scene.busy) == 1
    assert await scene.woken() == "sync requested"


@in_fake_time
async def test_a_new_spec_during_a_sync_is_no_request() -> None:
    scene = Scene()
    with scene.wakeups.running("u1"):
        scene.watching.twin_seen(twin(generation=2, version="2"), deleted=False)
    assert scene.busy == []
    assert await scene.woken() == "spec changed"


@in_fake_time
async def test_a_deleted_twin_that_holds_something_is_released() -> None:
    scene = Scene()
    going = twin(version="2", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=[GIVE_BACK_FINALIZER])
    scene.watching.twin_seen(going, deleted=False)
    assert scene.released == [TwinRef("shop", "checkout", "u1")]


@in_fake_time
async def test_a_deleted_twin_that_holds_nothing_is_not() -> None:
    scene = Scene()
    going = twin(version="2", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["twinops.dev/daemon"])
    scene.watching.twin_seen(going, deleted=False)
    scene.watching.twin_seen(going, deleted=True)
    assert scene.released == []
    assert len(scene.index) == 0


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
            [(thing(), True, False), (thing(replicas=3), False, False)], "Deployment checkout changed", id="its spec"
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
    scene.watching.dependency_seen(thing("MetricsSource", name="thanos", replicas=9), listed=False, deleted=False)
    scene.watching.dependency_seen(source, listed=False, deleted=True)
    assert scene.sources == ["thanos", "thanos", "-thanos"]
