"""What a pod may use, and how much of it pods use: beside what the real HPA says of the same pods."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from devcluster.cluster import DevCluster
from support import pod_shapes as shapes
from support.pod_shapes import Place, container, selecting, template
from twinops.adapters.clock import SystemClock
from twinops.adapters.kubernetes import reflector
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.pod_cache import PodIndex, kept_pod
from twinops.adapters.kubernetes.pods import PodFinder
from twinops.adapters.kubernetes.watched import Watched
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.observation import Sample, Workload
from twinops.ports.metrics import SourceAccess

SECONDS = 60.0


def ref(name: str, kind: str = "Deployment", api_version: str = "apps/v1") -> TargetRef:
    return TargetRef(api_version=api_version, kind=kind, name=name)


SHAPES: tuple[tuple[TargetRef, str, int], ...] = (
    (ref("plain"), "plain", 50),
    (ref("two-containers"), "plain", 25),
    (ref("native-sidecar"), "plain", 25),
    (ref("pod-level"), "plain", 20),
    (ref("db", "StatefulSet"), "plain", 40),
    (ref("resized"), "plain", 25),
    (ref("rc", "ReplicationController", "v1"), "plain", 30),
    (ref("canary", "Rollout", "argoproj.io/v1"), "plain", 40),
    (ref("herd", "Herd", "odd.dev/v1"), "plain", 60),
    (ref("injected"), "meshed", 60),
    (ref("defaulted"), "limited", 45),
)
"""Each with the place it is in and the percentage of its requests that its pods use."""


def make_plain(place: Place) -> None:
    """Make the shapes that need nothing of their namespace."""
    place.make("Deployment", "plain", selecting("plain", template("plain", container("app", "100m"), usage="50m")))
    # Its name begins like another's, and it is far busier.
    busy = template("plain-worker", container("app", "100m"), usage="900m")
    place.make("Deployment", "plain-worker", selecting("plain-worker", busy))
    two = template("two-containers", container("app", "300m"), container("log", "100m"), usage="50m")
    place.make("Deployment", "two-containers", selecting("two-containers", two))
    sidecar = container("mesh", "100m", restartPolicy="Always")
    native = template("native-sidecar", container("app", "100m"), usage="50m", initContainers=[sidecar])
    place.make("Deployment", "native-sidecar", selecting("native-sidecar", native))
    whole = template(
        "pod-level",
        container("app"),
        container("log"),
        usage="40m",
        resources={"requests": {"cpu": "400m"}},
    )
    place.make("Deployment", "pod-level", selecting("pod-level", whole))
    place.make(
        "StatefulSet", "db", selecting("db", template("db", container("db", "100m"), usage="40m"), serviceName="none")
    )
    place.make(
        "Deployment", "resized", selecting("resized", template("resized", container("app", "100m"), usage="50m"))
    )
    rc = {"replicas": 2, "selector": {"app": "rc"}, "template": template("rc", container("app", "100m"), usage="30m")}
    place.make("ReplicationController", "rc", rc, api_version="v1")


def make_custom(place: Place) -> None:
    """Make those of kinds that the cluster knows nothing of."""
    old = template("canary", container("app", "100m"), usage="60m")
    new = template("canary", container("app", "200m"), container("proxy", "100m"), usage="50m")
    place.make("Deployment", "canary", selecting("canary", new, replicas=0))
    named = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "canary"}
    rollout = place.make("Rollout", "canary", {"replicas": 2, "workloadRef": named}, api_version="argoproj.io/v1")
    for revision, pods in (("7d9f8c6b5d", old), ("5b6c7d8f9b", new)):
        place.replica_set(rollout, revision, pods, label="rollouts-pod-template-hash")
    place.tell_scale("rollouts", "argoproj.io/v1", "canary", "canary")
    place.make("Herd", "herd", {"replicas": 2}, api_version="odd.dev/v1")
    pod = template("herd", container("app", "100m"), usage="60m")
    for name in ("herd-alpha", "the.omega"):
        place.make("Pod", name, pod["spec"], api_version="v1", **pod["metadata"])
    place.tell_scale("herds", "odd.dev/v1", "herd", "herd")


@pytest.fixture(scope="module")
def places(cluster: DevCluster) -> Iterator[dict[str, Place]]:
    """All shapes, running, each with an HPA."""
    shapes.define(cluster, "argoproj.io", "Rollout")
    shapes.define(cluster, "odd.dev", "Herd")
    shapes.inject_sidecars(cluster, "requesting", requests={"cpu": "100m"})
    stamp = f"{time.time_ns() % 10**6}"
    made = {
        "plain": Place.new(cluster, f"shapes-{stamp}"),
        "meshed": Place.new(cluster, f"meshed-{stamp}", {"mesh": "requesting"}),
        "limited": Place.new(cluster, f"limited-{stamp}"),
    }
    make_plain(made["plain"])
    make_custom(made["plain"])
    injected = template("injected", container("app", "100m"), usage="60m")
    limits = {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m"}}]}
    made["limited"].make("LimitRange", "defaults", limits, api_version="v1")
    bare = template("defaulted", container("app"), usage="45m")
    made["limited"].make("Deployment", "defaulted", selecting("defaulted", bare))
    shapes.until_injecting(made["meshed"], injected)
    made["meshed"].make("Deployment", "injected", selecting("injected", injected))
    for target, where, _ in SHAPES:
        place = made[where]
        place.until_running(target.name)
        place.hpa(target.kind, target.name, target.api_version)
    made["plain"].resize(made["plain"].pods("resized")[0], "300m")
    yield made
    for place in made.values():
        cluster.api.delete(f"/api/v1/namespaces/{place.namespace}")


@asynccontextmanager
async def reading(kubeconfig: Path, namespace: str) -> AsyncIterator[ClusterWorkloads]:
    """Read workloads as the operator does: pods come from a watch."""
    client = await KubeClient.connect(str(kubeconfig))
    apart, index, discovery = client.for_watches(), PodIndex(), Discovery(client)
    watched = Watched(apart, SystemClock(), "v1", "pods", [namespace], keep=kept_pod, changed=index.changed)
    running = asyncio.create_task(watched.run())
    try:
        await watched.first()
        yield ClusterWorkloads(client, discovery, PodFinder(client, discovery, watched, index))
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.aclose()


class Reader:
    """Asks a real Prometheus for a twin's CPU, as a sync does."""

    def __init__(self, cluster: DevCluster, namespace: str) -> None:
        self._source = SourceAccess("kubelet", MetricsSourceSpec(url=cluster.prometheus_url, scrape_interval_seconds=2))
        self._backend = PrometheusBackend()
        self._gatherer = Gatherer(self._backend, PrometheusTexts())
        self._namespace = namespace

    async def cpu(self, workload: Workload) -> tuple[Sample, int | None]:
        """Return the value, and how many pods it is a mean over."""
        target = workload.ref.model_dump(by_alias=True)
        spec = {"source": {"systemType": "Worker", "targetRef": target}, "syncFrequencySeconds": 5}
        gathered = await self._gatherer.gather(
            DigitalTwinSpec.from_wire(spec),
            self._source,
            namespace=self._namespace,
            workload=workload,
            previous=[],
            now=time.time(),
        )
        return gathered.samples["cpuUsage"], gathered.replicas

    async def aclose(self) -> None:
        """Close the connections."""
        await self._backend.aclose()


@pytest.mark.parametrize(
    ("target", "where", "percent"), [pytest.param(*shape, id=f"{shape[0].kind} {shape[0].name}") for shape in SHAPES]
)
async def test_usage_is_what_the_hpa_says(
    cluster: DevCluster, places: dict[str, Place], target: TargetRef, where: str, percent: int
) -> None:
    place = places[where]
    reader = Reader(cluster, place.namespace)
    end = time.monotonic() + SECONDS
    async with reading(cluster.kubeconfig, place.namespace) as workloads:
        while True:
            workload = await workloads.get(place.namespace, target)
            sample, counted = await reader.cpu(workload)
            theirs = place.utilization(target.name)
            if theirs == percent and sample.value == pytest.approx(theirs, abs=1):
                break
            assert time.monotonic() < end, (theirs, sample, workload)
            await asyncio.sleep(0.5)
    await reader.aclose()

    names = {pod["metadata"]["name"] for pod in place.pods(target.name)}
    assert sample.unit == "% of requests"
    assert sample.basis.startswith("requests of its pods (containers ")
    assert counted == len(names) == 2
    assert workload.pods is not None
    assert {pod.name for pod in workload.pods} == names
    assert all(pod.started and pod.ready_since for pod in workload.pods)
    assert bool(workload.rollout) == (target.kind == "Rollout")
    everybody = {pod["metadata"]["name"] for pod in cluster.api.get(place.path("v1", "pods"))["items"]}
    assert {name for name in everybody if re.fullmatch(workload.pod_regex or "", name)} == names


async def test_a_right_to_read_pods_is_missed_and_used_as_soon_as_it_is_there(
    cluster: DevCluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "REFUSED_SECONDS", 1.0)
    place = Place(cluster, namespace)
    place.make("Deployment", "plain", selecting("plain", template("plain", container("app", "100m"), usage="50m")))
    place.until_running("plain")
    for name, verbs, resource in (("target", "get", "deployments.apps"), ("pods", "list,watch", "pods")):
        cluster.kubectl("-n", namespace, "create", "role", name, f"--verb={verbs}", f"--resource={resource}")
    bind = ("-n", namespace, "create", "rolebinding", f"--serviceaccount={namespace}:default")
    cluster.kubectl(*bind, "target", "--role=target")

    async with reading(cluster.service_account_kubeconfig(namespace, "default"), namespace) as workloads:
        without = await workloads.get(namespace, ref("plain"))
        cluster.kubectl(*bind, "pods", "--role=pods")
        end = time.monotonic() + SECONDS
        while not (found := await workloads.get(namespace, ref("plain"))).pods:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.2)

    assert (without.pods, without.cpu_basis, without.read_from) == (
        None,
        "requests",
        "the pod template: its pods are not known",
    )
    assert f"may not list pods in namespace {namespace}: set rbac.readPods of the chart to true" in without.notes[0]
    assert (found.read_from, found.notes) == ("its pods", ())
