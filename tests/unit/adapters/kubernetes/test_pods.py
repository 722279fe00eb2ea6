"""Which pods are a target's, and what they may use: from pods as the API server sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from fakes.kube_collection import FakeDiscovery
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.pod_cache import PodIndex, kept_pod
from twinops.adapters.kubernetes.pods import PodFinder
from twinops.adapters.kubernetes.selectors import of_text
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.api.references import TargetRef
from twinops.core.observation import Workload
from twinops.errors import ClusterError, NotFound, Refused, Unavailable

Json = dict[str, Any]

PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
REPLICA_SETS = "/apis/apps/v1/namespaces/shop/replicasets"
HERDS = "/apis/odd.dev/v1/namespaces/shop/herds"
FORBIDDEN = Refused(f"GET {PODS}: 403 forbidden", status=403)


class FakeApi:
    """Objects by path, and what cannot be had of them."""

    def __init__(self, objects: Mapping[str, Json], pods: list[Json] | ClusterError) -> None:
        self.objects = dict(objects)
        self.pods = pods
        self.asked: list[str] = []

    async def get(self, path: str, **_: Any) -> Json:
        self.asked.append(path)
        found = self.objects.get(path)
        if isinstance(found, ClusterError):
            raise found
        if found is None:
            raise NotFound(f"GET {path}: 404", status=404)
        return found

    async def list(self, path: str, *, params: Mapping[str, Any]) -> Json:
        self.asked.append(f"{path}?{params['labelSelector']}")
        if isinstance(self.pods, ClusterError):
            raise self.pods
        return {"items": self.pods}


def owner(kind: str, name: str, api_version: str = "apps/v1") -> Json:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{kind}-{name}", "controller": True}


def body(kind: str, name: str, spec: Json, *, by: Json | None = None, status: Json | None = None) -> Json:
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{kind}-{name}", "ownerReferences": [by] if by else []}
    return {"metadata": meta, "spec": spec, "status": status or {}}


def container(name: str, limits: Json | None = None, requests: Json | None = None) -> Json:
    return {"name": name, "image": f"{name}:1", "resources": {"limits": limits or {}, "requests": requests or {}}}


APP = container("app", {"cpu": "200m", "memory": "256Mi"}, {"cpu": "100m", "memory": "128Mi"})
PROXY = container("proxy", {"cpu": "2", "memory": "1Gi"}, {"cpu": "100m", "memory": "128Mi"})


def pod(name: str, by: Json | None, *containers: Json, labels: Json | None = None, **status: Any) -> Json:
    meta = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "labels": {"app": "checkout", **(labels or {})},
        "ownerReferences": [by] if by else [],
    }
    return {
        "metadata": meta,
        "spec": {"containers": list(containers or (APP,))},
        "status": {"phase": "Running", **status},
    }


def deployment(*containers: Json, name: str = "checkout") -> Json:
    template = {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": list(containers or (APP,))}}
    selector = {"matchLabels": {"app": "checkout"}}
    return body("Deployment", name, {"replicas": 2, "selector": selector, "template": template})


MINE = owner("ReplicaSet", "checkout-7d9f8c6b5d")
HASH = {"pod-template-hash": "7d9f8c6b5d"}


def mine(suffix: str, *containers: Json, **status: Any) -> Json:
    return pod(f"checkout-7d9f8c6b5d-{suffix}", MINE, *containers, labels=HASH, **status)


async def read(api: FakeApi, ref: TargetRef | None = None) -> Workload:
    client, discovery = cast("KubeClient", api), cast("Discovery", FakeDiscovery())
    workloads = ClusterWorkloads(client, discovery, PodFinder(client, discovery, None, PodIndex()))
    return await workloads.get("shop", ref or TargetRef(name="checkout"))


async def of_deployment(*pods: Json, target: Json | None = None) -> Workload:
    return await read(FakeApi({f"{DEPLOYMENTS}/checkout": target or deployment()}, list(pods)))


CAPACITIES = [
    pytest.param([mine("aaaaa"), mine("bbbbb")], 0.2, "limits", ("app",), id="as the template says"),
    pytest.param([mine("aaaaa", APP, PROXY)], 2.2, "limits", ("app", "proxy"), id="an injected sidecar"),
    pytest.param(
        [mine("aaaaa", APP, PROXY), mine("bbbbb")], 1.2, "limits", ("app", "proxy"), id="injected into new pods only"
    ),
    pytest.param(
        [mine("aaaaa"), mine("bbbbb", container("app", {}, {"cpu": "300m"}))],
        0.2,
        "requests",
        ("app",),
        id="one with a limit and one without: by requests, which both have",
    ),
    pytest.param(
        [mine("aaaaa", container("app", {}, {"cpu": "500m"})), mine("bbbbb", container("app", {}, {"cpu": "100m"}))],
        0.3,
        "requests",
        ("app",),
        id="VPA has made one larger",
    ),
    pytest.param(
        [mine("aaaaa", containerStatuses=[{"name": "app", "resources": {"limits": {"cpu": "400m"}}}])],
        0.4,
        "limits",
        ("app",),
        id="resized in place: the limit that is in force",
    ),
    pytest.param(
        [mine("aaaaa", phase="Succeeded"), mine("bbbbb", PROXY), mine("ccccc", APP, PROXY, phase="Pending")],
        2.0,
        "limits",
        ("proxy",),
        id="of those that run",
    ),
    pytest.param([mine("aaaaa", APP, PROXY, phase="Pending")], 2.2, "limits", ("app", "proxy"), id="none runs yet"),
]


@pytest.mark.parametrize(("pods", "cores", "basis", "containers"), CAPACITIES)
async def test_what_a_pod_may_use(pods: list[Json], cores: float, basis: str, containers: tuple[str, ...]) -> None:
    seen = await of_deployment(*pods)
    assert seen.pod_cpu_cores == pytest.approx(cores)
    assert (seen.cpu_basis, seen.containers) == (basis, containers)
    assert (seen.pods_read, seen.read_from) == (True, "its pods")


async def test_defaults_of_a_namespace_stand_in_pods_only() -> None:
    seen = await of_deployment(mine("aaaaa"), target=deployment({"name": "app", "image": "app:1"}))
    assert (seen.pod_cpu_cores, seen.cpu_basis) == (0.2, "limits")


async def test_a_container_with_neither_is_named() -> None:
    seen = await of_deployment(mine("aaaaa"), mine("bbbbb", APP, {"name": "log"}))
    assert (seen.pod_cpu_cores, seen.cpu_basis) == (None, "")
    assert seen.cpu_problem == "container log of pod checkout-7d9f8c6b5d-bbbbb"


async def test_without_a_pod_the_template_tells_and_only_of_its_own_containers() -> None:
    seen = await of_deployment()
    assert (seen.pod_cpu_cores, seen.containers, seen.pods) == (0.2, ("app",), ())
    assert (seen.pods_read, seen.read_from) == (False, "the pod template: no pod is there")


async def test_pods_that_may_not_be_read_are_said_to_be_and_the_template_tells() -> None:
    seen = await read(FakeApi({f"{DEPLOYMENTS}/checkout": deployment()}, FORBIDDEN))
    assert (seen.pods, seen.pods_read, seen.pod_regex, seen.pod_cpu_cores) == (None, False, "", 0.2)
    [note] = seen.notes
    assert "the operator may not list pods in namespace shop: set rbac.readPods of the chart to true" in note


async def test_an_api_server_that_is_away_is_no_empty_workload() -> None:
    with pytest.raises(Unavailable):
        await read(FakeApi({f"{DEPLOYMENTS}/checkout": deployment()}, Unavailable("away")))


async def test_a_target_that_may_not_be_read_is_refused_by_its_own_path() -> None:
    forbidden = Refused(f"GET {HERDS}/herd: 403", status=403)
    with pytest.raises(Refused, match=f"GET {HERDS}/herd"):
        await read(FakeApi({f"{HERDS}/herd": cast("Json", forbidden)}, []), HERD)


async def test_pods_of_another_workload_with_the_same_labels_are_not_taken() -> None:
    strange = owner("ReplicaSet", "checkout-canary-5b6c7d8f9b")
    adopted = owner("ReplicaSet", "legacy")
    api = FakeApi(
        {
            f"{DEPLOYMENTS}/checkout": deployment(),
            f"{REPLICA_SETS}/checkout-canary-5b6c7d8f9b": body(
                "ReplicaSet", "checkout-canary-5b6c7d8f9b", {}, by=owner("Deployment", "checkout-canary")
            ),
            f"{DEPLOYMENTS}/checkout-canary": deployment(name="checkout-canary"),
            f"{REPLICA_SETS}/legacy": body("ReplicaSet", "legacy", {}, by=owner("Deployment", "checkout")),
        },
        [
            mine("aaaaa"),
            pod("checkout-canary-5b6c7d8f9b-ccccc", strange, PROXY, labels={"pod-template-hash": "5b6c7d8f9b"}),
            pod("legacy-ddddd", adopted),
            pod("debug-copy", None, PROXY),
        ],
    )
    seen = await read(api)
    assert seen.pods is not None
    assert [one.name for one in seen.pods] == ["checkout-7d9f8c6b5d-aaaaa", "legacy-ddddd"]
    assert seen.containers == ("app",)


async def test_what_a_job_with_the_same_labels_runs_costs_no_request() -> None:
    job = pod("checkout-migrate-x2k9z", owner("Job", "checkout-migrate", "batch/v1"), PROXY)
    api = FakeApi({f"{DEPLOYMENTS}/checkout": deployment()}, [mine("aaaaa"), job])
    seen = await read(api)
    assert seen.pods is not None
    assert [one.name for one in seen.pods] == ["checkout-7d9f8c6b5d-aaaaa"]
    assert api.asked == [f"{DEPLOYMENTS}/checkout", f"{PODS}?app in (checkout)"]


async def test_owners_are_asked_for_once() -> None:
    api = FakeApi(
        {
            f"{DEPLOYMENTS}/checkout": deployment(),
            f"{REPLICA_SETS}/legacy": body("ReplicaSet", "legacy", {}, by=owner("Deployment", "checkout")),
        },
        [pod(f"legacy-{n * 5}", owner("ReplicaSet", "legacy")) for n in "bcdfg"],
    )
    client, discovery = cast("KubeClient", api), cast("Discovery", FakeDiscovery())
    workloads = ClusterWorkloads(client, discovery)
    for _ in range(3):
        seen = await workloads.get("shop", TargetRef(name="checkout"))
        assert seen.pods is not None
        assert len(seen.pods) == 5
    assert api.asked.count(f"{REPLICA_SETS}/legacy") == 1


def herd(selector: str | None) -> dict[str, Json]:
    scale = {"spec": {"replicas": 2}, "status": {"replicas": 2, **({"selector": selector} if selector else {})}}
    return {f"{HERDS}/herd": body("Herd", "herd", {"replicas": 2}), f"{HERDS}/herd/scale": scale}


HERD = TargetRef(api_version="odd.dev/v1", kind="Herd", name="herd")


async def test_a_kind_of_its_own_has_the_pods_that_its_scale_selects() -> None:
    seen = await read(FakeApi(herd("app=checkout"), [pod("alpha", None), pod("the.omega", None, APP, PROXY)]), HERD)
    assert seen.pods is not None
    assert [one.name for one in seen.pods] == ["alpha", "the.omega"]
    assert seen.pod_cpu_cores == pytest.approx(1.2)
    assert seen.pod_regex == "(alpha|the[.]omega)"


async def test_a_kind_that_tells_no_selector_is_guessed_and_that_is_said() -> None:
    seen = await read(FakeApi(herd(None), []), HERD)
    assert (seen.pods, seen.pod_regex) == (None, "")
    assert "Herd tells no selector for its pods" in seen.notes[0]


async def test_a_kind_whose_scale_tells_nothing_yet_may_have_a_selector_of_its_own() -> None:
    api = FakeApi(herd(None), [pod("alpha", None)])
    api.objects[f"{HERDS}/herd"]["spec"]["selector"] = {"matchLabels": {"app": "checkout"}}
    seen = await read(api, HERD)
    assert seen.pods is not None
    assert [one.name for one in seen.pods] == ["alpha"]


async def test_a_pod_that_cannot_be_read_is_left_out() -> None:
    seen = await of_deployment(mine("aaaaa"), mine("bbbbb", startTime="yesterday"))
    assert seen.pods is not None
    assert [one.name[-1] for one in seen.pods] == ["a"]


async def test_owners_that_cannot_be_read_do_not_take_pods_away_from_a_kind_of_its_own() -> None:
    by = owner("GameServer", "game", "agones.dev/v1")
    api = FakeApi(
        herd("app=checkout") | {"/apis/agones.dev/v1/namespaces/shop/gameservers/game": cast("Json", FORBIDDEN)},
        [pod("game", by)],
    )
    seen = await read(api, HERD)
    assert seen.pods is not None
    assert [one.name for one in seen.pods] == ["game"]


async def test_a_rollout_without_pods_takes_the_template_that_it_refers_to() -> None:
    rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout"
    named = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}
    full = container("app", {"cpu": "1"}, {"cpu": "500m"})
    api = FakeApi(
        {
            rollouts: body("Rollout", "checkout", {"replicas": 2, "workloadRef": named}),
            f"{rollouts}/scale": {"spec": {"replicas": 2}, "status": {"replicas": 0, "selector": "app=checkout"}},
            f"{DEPLOYMENTS}/checkout": deployment(full),
        },
        [],
    )
    seen = await read(api, TargetRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="checkout"))
    assert (seen.pod_cpu_cores, seen.cpu_basis, seen.version) == (1.0, "limits", "1")


async def test_what_the_core_is_told_of_pods() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    young = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:02:00Z"}
    leaving = mine("ccccc")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:03:00Z"
    seen = await of_deployment(
        mine("aaaaa", startTime="2026-01-01T00:00:00Z", conditions=[ready]),
        mine("bbbbb", startTime="2026-01-01T00:00:30Z", conditions=[young]),
        leaving,
        mine("ddddd", phase="Pending"),
        mine("eeeee", phase="Failed"),
    )
    start = 1_767_225_600.0
    assert seen.pods is not None
    assert [(one.name[-1], one.started, one.ready_since, one.terminating) for one in seen.pods] == [
        ("a", start, start + 60, False),
        ("b", start + 30, None, False),
        ("c", None, None, True),
        ("d", None, None, False),
    ]


def test_an_index_finds_by_label_and_by_beginning_whatever_comes_and_goes() -> None:
    index = PodIndex()
    web = of_text("app=web")
    assert web is not None
    first = kept_pod(pod("web-1", None, labels={"app": "web"}))
    index.changed(None, first)
    assert [one.name for one in index.select("shop", web)] == ["web-1"]
    index.changed(None, kept_pod(pod("web-2", None, labels={"app": "web"})))
    index.changed(None, kept_pod(pod("db-1", None, labels={"app": "db"})))
    assert [one.name for one in index.select("shop", web)] == ["web-1", "web-2"]
    assert list(index.beginning("shop", "web-")) == ["web-1", "web-2"]
    moved = kept_pod(pod("web-1", None, labels={"app": "db"}))
    index.changed(first, moved)
    assert [one.name for one in index.select("shop", web)] == ["web-2"]
    index.changed(moved, None)
    assert list(index.beginning("shop", "")) == ["db-1", "web-2"]
    assert index.select("elsewhere", web) == []
