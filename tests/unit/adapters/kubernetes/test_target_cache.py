"""Targets from the watch: what is asked of the API server, who is told, and what happens while it is not current."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from fakes.clock import FakeClock, in_fake_time, until
from fakes.kube_collection import FakeCollection, FakeDiscovery, Json, unreachable
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.hpa_cache import HpaCache, ScaledObjectCache
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.adapters.kubernetes.target_cache import FIRST_LIST_SECONDS, UNUSED_SECONDS, TargetCache, kept_target
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.api.references import TargetRef
from twinops.errors import ClusterError, NotFound, Refused, TargetNotFound

DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
TARGET = TargetRef(name="checkout")
FORBIDDEN = Refused("GET /apis/apps/v1/deployments: 403 forbidden", status=403)


def deployment(version: int, replicas: int = 2, *, name: str = "checkout", image: str = "a:1", **status: Any) -> Json:
    meta = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {"app": name},
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
    }
    labels = {"app": name}
    pod = {"containers": [{"name": "app", "image": image, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"metadata": meta, "spec": spec, "status": status}


class Live:
    """Stands in for the client of single requests; there are no pods."""

    def __init__(self, deployments: FakeCollection) -> None:
        self.deployments = deployments
        self.asked: list[str] = []
        self.failing: ClusterError | None = None

    async def list(self, path: str, **_: Any) -> Json:
        assert path.endswith("/pods"), path
        return {"items": []}

    async def get(self, path: str, **_: Any) -> Json:
        self.asked.append(path)
        if self.failing is not None:
            raise self.failing
        found = self.deployments.objects.get(path.rsplit("/", 1)[-1])
        if found is None:
            raise NotFound(f"GET {path}: 404", status=404)
        return found


class Scene:
    """Workloads and levers over a cache that runs."""

    def __init__(self, deployments: FakeCollection) -> None:
        self.deployments = deployments
        self.told: list[tuple[str, bool, bool]] = []
        self.in_use = True
        clock, nothing = FakeClock(), FakeCollection()
        self.cache = TargetCache(
            cast("KubeClient", deployments),
            clock,
            [],
            seen=lambda body, listed, deleted: self.told.append((body["metadata"]["name"], listed, deleted)),
            in_use=lambda group, kind: self.in_use and (group, kind) == ("apps", "Deployment"),
        )
        self.hpas = HpaCache(cast("KubeClient", nothing), clock, [], lambda *_: None)
        self.scaled = ScaledObjectCache(cast("KubeClient", FakeCollection()), clock, [])
        self.live = Live(deployments)
        client, discovery = cast("KubeClient", self.live), cast("Discovery", FakeDiscovery())
        self.workloads = ClusterWorkloads(client, discovery, known=self.cache)
        self.levers = ClusterLevers(client, discovery, self.hpas, self.scaled, self.cache)


@asynccontextmanager
async def scene(deployments: FakeCollection) -> AsyncIterator[Scene]:
    it = Scene(deployments)
    running = (it.cache.run(), it.hpas.watched.run(), it.scaled.watched.run())
    tasks = [asyncio.create_task(each) for each in running]
    try:
        await it.hpas.watched.first()
        await it.scaled.watched.first()
        yield it
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@in_fake_time
async def test_nothing_is_watched_before_a_target_is_asked_for_and_nothing_is_asked_live_then() -> None:
    async with scene(FakeCollection(deployment(3, readyReplicas=1))) as it:
        assert it.deployments.lists == []
        seen = await it.workloads.get("shop", TARGET)
        lever = await it.levers.find("shop", TARGET, None)
        assert it.live.asked == []
        assert (seen.ready, seen.desired, seen.pod_cpu_cores, seen.version) == (1, 2, 1.0, "1")
        live = await it.levers.read("shop", lever.object, lever.field)
        assert lever == live
        assert it.live.asked == [f"{DEPLOYMENTS}/checkout"]
        assert seen == await ClusterWorkloads(cast("KubeClient", it.live), cast("Discovery", FakeDiscovery())).get(
            "shop", TARGET
        )


@in_fake_time
async def test_a_change_of_status_or_replicas_is_known_and_wakes_nobody() -> None:
    async with scene(FakeCollection(deployment(3))) as it:
        await it.workloads.get("shop", TARGET)
        assert it.told == [("checkout", True, False)]
        it.told.clear()
        it.deployments.put(deployment(4, replicas=5))
        it.deployments.put(deployment(5, replicas=5, readyReplicas=4))
        await asyncio.sleep(0.1)
        assert it.told == []
        seen = await it.workloads.get("shop", TARGET)
        assert (seen.ready, seen.desired) == (4, 5)
        it.deployments.put(deployment(6, replicas=5, image="a:2"))
        await asyncio.sleep(0.1)
        assert it.told == [("checkout", False, False)]


@in_fake_time
async def test_a_target_that_the_copy_does_not_have_is_asked_live_and_told_when_it_comes_or_goes() -> None:
    async with scene(FakeCollection()) as it:
        for _ in range(2):
            with pytest.raises(TargetNotFound):
                await it.workloads.get("shop", TARGET)
        assert it.live.asked == [f"{DEPLOYMENTS}/checkout"] * 2
        it.deployments.objects["checkout"] = deployment(7)
        assert (await it.workloads.get("shop", TARGET)).desired == 2, "younger than what the watch has sent"
        it.deployments.put(deployment(7))
        it.deployments.remove("checkout", 8)
        await asyncio.sleep(0.1)
        assert it.told == [("checkout", False, False), ("checkout", False, True)]
        with pytest.raises(TargetNotFound):
            await it.workloads.get("shop", TARGET)


@in_fake_time
async def test_while_the_watch_is_cut_for_long_targets_are_asked_live() -> None:
    async with scene(FakeCollection(deployment(3))) as it:
        await it.workloads.get("shop", TARGET)
        it.deployments.watch_failing = unreachable()
        it.deployments.cut(unreachable())
        await asyncio.sleep(1)
        assert (await it.workloads.get("shop", TARGET)).desired == 2
        assert it.live.asked == []
        await asyncio.sleep(30)
        it.deployments.objects["checkout"] = deployment(9, replicas=7)
        assert (await it.workloads.get("shop", TARGET)).desired == 7
        assert (await it.levers.find("shop", TARGET, None)).value == 7
        assert it.live.asked == [f"{DEPLOYMENTS}/checkout"] * 2


@pytest.mark.parametrize("lists", [True, False])
@in_fake_time
async def test_without_the_right_to_watch_targets_are_asked_live(*, lists: bool) -> None:
    deployments = FakeCollection(deployment(3))
    deployments.watch_failing = FORBIDDEN
    deployments.failing = None if lists else FORBIDDEN
    async with scene(deployments) as it:
        await it.workloads.get("shop", TARGET)
        await asyncio.sleep(60)
        before = len(it.live.asked)
        deployments.objects["checkout"] = deployment(9, replicas=7)
        assert (await it.workloads.get("shop", TARGET)).desired == 7
        assert len(it.live.asked) == before + 1
        it.live.failing = FORBIDDEN
        with pytest.raises(Refused, match="403"):
            await it.workloads.get("shop", TARGET)


@in_fake_time
async def test_a_list_that_hangs_holds_up_no_sync_for_long() -> None:
    async with scene(FakeCollection(deployment(3))) as it:

        async def hang(*_: Any, **__: Any) -> Json:
            await asyncio.sleep(60)
            raise unreachable()

        it.deployments.get = hang  # type: ignore[method-assign]  # this one list alone hangs
        begun = asyncio.get_running_loop().time()
        assert (await it.workloads.get("shop", TARGET)).desired == 2
        assert (await it.workloads.get("shop", TARGET)).desired == 2
        assert asyncio.get_running_loop().time() - begun <= FIRST_LIST_SECONDS + 0.1, "only the first ones wait"
        assert it.live.asked == [f"{DEPLOYMENTS}/checkout"] * 2


@in_fake_time
async def test_our_own_write_is_seen_by_the_next_sync_however_late_the_watch() -> None:
    async with scene(FakeCollection(deployment(3))) as it:
        lever = await it.levers.find("shop", TARGET, None)
        it.deployments.objects["checkout"] = deployment(8, replicas=5)
        await it.levers.read("shop", lever.object, lever.field)
        it.live.asked.clear()
        assert (await it.levers.find("shop", TARGET, None)).value == 5
        assert (await it.workloads.get("shop", TARGET)).desired == 5
        assert it.live.asked == []


@in_fake_time
async def test_a_kind_that_no_twin_depends_on_any_more_is_not_watched_until_it_is_asked_for_again() -> None:
    async with scene(FakeCollection(deployment(3))) as it:
        await it.workloads.get("shop", TARGET)
        await asyncio.sleep(3 * UNUSED_SECONDS)
        assert it.cache.kinds == {"Deployment"}
        it.in_use = False
        await until(lambda: not it.cache.kinds, within=UNUSED_SECONDS + 1)
        it.told.clear()
        it.in_use = True
        await it.workloads.get("shop", TARGET)
        assert (len(it.deployments.lists), it.told, it.live.asked) == (2, [("checkout", True, False)], [])


@in_fake_time
async def test_other_kinds_are_read_live_with_their_scale() -> None:
    async with scene(FakeCollection(deployment(3))) as it:
        ref = TargetRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="checkout")
        with pytest.raises(TargetNotFound):
            await it.workloads.get("shop", ref)
        path = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout"
        assert it.live.asked == [path, f"{path}/scale"]
        assert it.cache.kinds == set()


def test_what_is_known_of_an_unchanged_spec_is_kept_and_the_rest_is_read() -> None:
    first = kept_target("apps/v1", "Deployment", generated(deployment(3), 1), None)
    assert first.lever.raw == {}
    after = generated(deployment(4, readyReplicas=2), 1)
    second = kept_target("apps/v1", "Deployment", after, first)
    assert second == kept_target("apps/v1", "Deployment", after, None)
    assert second.target.selector is first.target.selector
    scaled = generated(deployment(5, replicas=3), 2)
    assert kept_target("apps/v1", "Deployment", scaled, second).target.desired == 3
    changed = generated(deployment(6, image="a:2"), 3)
    assert kept_target("apps/v1", "Deployment", changed, second).digest != first.digest
    again = generated(deployment(7, image="a:2"), 1)
    again["metadata"]["uid"] = "created again"
    assert kept_target("apps/v1", "Deployment", again, first).digest != first.digest


def generated(body: Json, generation: int) -> Json:
    body["metadata"]["generation"] = generation
    return body
