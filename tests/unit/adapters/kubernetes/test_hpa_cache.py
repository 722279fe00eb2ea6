"""HPAs and ScaledObjects from the watch: who is found, who is told, and what happens while it is not current."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from fakes.kube_collection import FakeCollection, FakeDiscovery, Json, unreachable
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.hpa_cache import HpaCache, ScaledObjectCache
from twinops.adapters.kubernetes.hpas import FIELD
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.api.references import TargetRef
from twinops.errors import NotFound, Refused, SpecError

HPAS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/checkout"
TARGET = TargetRef(name="checkout")
FORBIDDEN = Refused(f"GET {HPAS}: 403 forbidden", status=403)


def hpa(version: int, minimum: int = 2, *, name: str = "checkout", target: str = "checkout", **spec: Any) -> Json:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    meta = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "shop"},
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}],
    }
    return {"metadata": meta, "spec": {"scaleTargetRef": reference, "minReplicas": minimum, "maxReplicas": 10, **spec}}


def scaled_object(version: int, target: Json) -> Json:
    meta = {"namespace": "shop", "name": "so", "uid": "uid-so", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"scaleTargetRef": target}}


class Live:
    """Stands in for the client of single requests."""

    def __init__(self, collections: Mapping[str, FakeCollection]) -> None:
        self.collections = collections
        self.asked: list[str] = []
        self.patched: list[str] = []

    async def list(self, path: str, **_: Any) -> Json:
        self.asked.append(f"list {path}")
        return await self.collections[path].get(path)

    async def get(self, path: str, **_: Any) -> Json:
        self.asked.append(f"get {path}")
        place, name = path.rsplit("/", 1)
        if place in self.collections:
            if name not in self.collections[place].objects:
                raise NotFound("404", status=404)
            return self.collections[place].objects[name]
        return {"metadata": {"name": "checkout", "uid": "u", "resourceVersion": "1"}, "spec": {"replicas": 2}}

    async def patch(self, path: str, *_: Any, **__: Any) -> Json:
        self.patched.append(path)
        return {}


class Scene:
    """Levers over caches that run."""

    def __init__(self, hpas: FakeCollection, scaled: FakeCollection) -> None:
        self.hpas, self.scaled = hpas, scaled
        self.told: list[tuple[str, bool, bool]] = []
        clock = FakeClock()
        self.known = HpaCache(
            cast("KubeClient", hpas),
            clock,
            [],
            lambda body, listed, deleted: self.told.append((body["metadata"]["name"], listed, deleted)),
        )
        self.objects = ScaledObjectCache(cast("KubeClient", scaled), clock, [])
        self.live = Live({HPAS: hpas, SCALED: scaled})
        client = cast("KubeClient", self.live)
        discovery = cast("Discovery", FakeDiscovery())
        self.levers = ClusterLevers(client, discovery, self.known, self.objects)


@asynccontextmanager
async def scene(hpas: FakeCollection, scaled: FakeCollection | None = None) -> AsyncIterator[Scene]:
    if scaled is None:
        scaled = FakeCollection()
        scaled.failing = NotFound("404", status=404)
    it = Scene(hpas, scaled)
    tasks = [asyncio.create_task(it.known.watched.run()), asyncio.create_task(it.objects.watched.run())]
    try:
        await it.known.watched.first()
        await it.objects.watched.first()
        await asyncio.sleep(0.1)
        yield it
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@in_fake_time
async def test_finding_asks_for_nothing_and_knows_what_a_list_would_say() -> None:
    async with scene(FakeCollection(hpa(3), hpa(4, name="other", target="other"))) as it:
        lever = await it.levers.find("shop", TARGET, None)
        named = await it.levers.find("shop", TARGET, "checkout")
        assert it.live.asked == []
        live = await it.levers.read("shop", lever.object, FIELD)
        assert lever == named == live
        assert lever.raw == {
            "metadata": {
                "namespace": "shop",
                "name": "checkout",
                "uid": "uid-checkout",
                "resourceVersion": "3",
            }
        }


@in_fake_time
async def test_a_change_of_status_or_of_minreplicas_wakes_nobody_and_is_known() -> None:
    async with scene(FakeCollection(hpa(3))) as it:
        assert it.told == [("checkout", True, False)]
        it.told.clear()
        it.hpas.put({**hpa(4), "status": {"currentReplicas": 3}})
        it.hpas.put(hpa(5, minimum=6))
        await asyncio.sleep(0.1)
        assert it.told == []
        lever = await it.levers.find("shop", TARGET, None)
        assert (lever.value, lever.resource_version) == (6, "5")


@in_fake_time
async def test_other_changes_are_told() -> None:
    async with scene(FakeCollection(hpa(3))) as it:
        it.told.clear()
        it.hpas.put(hpa(4, maxReplicas=30))
        it.hpas.put(hpa(5, name="second"))
        it.hpas.remove("checkout", 6)
        await asyncio.sleep(0.1)
        assert it.told == [("checkout", False, False), ("second", False, False), ("checkout", False, True)]


@in_fake_time
async def test_two_on_one_target_and_one_of_another_are_told_apart() -> None:
    async with scene(FakeCollection(hpa(3), hpa(4, name="b"), hpa(5, name="c", target="other"))) as it:
        for name, reason in ((None, "AmbiguousHPA"), ("c", "HPATargetsAnother"), ("none", "HPANotFound")):
            with pytest.raises(SpecError) as refused:
                await it.levers.find("shop", TARGET, name)
            assert refused.value.reason == reason


@in_fake_time
async def test_while_it_is_not_current_it_is_asked_live() -> None:
    async with scene(FakeCollection(hpa(3))) as it:
        it.hpas.watch_failing = unreachable()
        it.hpas.cut(unreachable())
        await asyncio.sleep(30)
        it.hpas.put(hpa(9, minimum=7))
        lever = await it.levers.find("shop", TARGET, None)
        assert lever.value == 7
        assert it.live.asked == [f"list {HPAS}"]


@in_fake_time
async def test_a_missing_right_is_named_without_asking_each_time() -> None:
    hpas = FakeCollection()
    hpas.failing = FORBIDDEN
    async with scene(hpas) as it:
        for _ in range(3):
            with pytest.raises(Refused, match=f"GET {HPAS}: 403"):
                await it.levers.find("shop", TARGET, None)
        assert it.live.asked == []


@in_fake_time
async def test_our_own_write_is_seen_by_the_next_sync_however_late_the_watch() -> None:
    async with scene(FakeCollection(hpa(3))) as it:
        lever = await it.levers.find("shop", TARGET, None)
        it.hpas.objects["checkout"] = hpa(8, minimum=5)
        await it.levers.write("shop", lever, 5, force=False)
        assert (await it.levers.find("shop", TARGET, None)).value == 5


@in_fake_time
async def test_without_keda_the_scale_is_the_lever_and_keda_is_looked_for_before_a_write() -> None:
    async with scene(FakeCollection()) as it:
        lever = await it.levers.find("shop", TARGET, None)
        assert lever.field == "spec.replicas"
        assert f"list {SCALED}" not in it.live.asked
        it.scaled.failing = None
        it.scaled.put(scaled_object(2, {"name": "checkout"}))
        with pytest.raises(SpecError) as refused:
            await it.levers.write("shop", lever, 5, force=False)
        assert refused.value.reason == "ManagedByKEDA"
        assert it.live.patched == []


@pytest.mark.parametrize(
    ("target", "managed"),
    [
        ({"name": "checkout"}, True),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}, True),
        ({"kind": "StatefulSet", "name": "checkout"}, False),
        ({"name": "other"}, False),
    ],
)
@in_fake_time
async def test_what_keda_scales_is_known_from_the_watch(target: Json, *, managed: bool) -> None:
    async with scene(FakeCollection(), FakeCollection(scaled_object(2, target))) as it:
        try:
            await it.levers.find("shop", TARGET, None)
            reason = ""
        except SpecError as refused:
            reason = refused.reason
        assert reason == ("ManagedByKEDA" if managed else "")
        assert not [asked for asked in it.live.asked if asked.startswith("list")]


@in_fake_time
async def test_keda_that_is_installed_later_is_found() -> None:
    async with scene(FakeCollection()) as it:
        it.scaled.failing = None
        it.scaled.put(scaled_object(2, {"name": "checkout"}))
        await until(lambda: it.objects.scaling("shop", TARGET) == "so", within=61)
