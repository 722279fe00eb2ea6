"""A Deployment, its HPA, the writers that own their fields, and the real levers on them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from devcluster.cluster import DevCluster
from support.planning import planned
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.api.references import TargetRef
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.corrections import CorrectionService, Done
from twinops.core.correction.plan import Plan
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.lever import FieldOwner, Lever
from twinops.core.observation import Observation, Sample
from twinops.core.state import TwinState
from twinops.errors import Unavailable
from twinops.ports.kubernetes import TwinRef

T = TypeVar("T")
TARGET = TargetRef(name="checkout")
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
JsonObject = dict[str, Any]


def deployment(replicas: int | None = 2, name: str = "checkout") -> JsonObject:
    labels = {"app": name}
    spec: JsonObject = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "shop", "image": "shop:1.8.2"}]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def hpa(minimum: int | None = 2, name: str = "checkout", *, target: str = "checkout", maximum: int = 20) -> JsonObject:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    spec: JsonObject = {"maxReplicas": maximum, "scaleTargetRef": reference}
    if minimum is not None:
        spec["minReplicas"] = minimum
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": spec,
    }


class Cluster:
    """The writers of one namespace, each under the name it really uses.

    Attributes:
        kubeconfig: whose rights the levers have.
        late: when not None, patches that take or give back a field are kept here, as if no answer had come.
        meddling: called one by one before the next patches, to change the object behind the operator's back.
    """

    def __init__(self, cluster: DevCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.kubeconfig = cluster.kubeconfig
        self.late: list[Callable[[KubeClient], Awaitable[Any]]] | None = None
        self.meddling: list[Callable[[], object]] = []

    def arrive(self) -> None:
        """Let what was kept arrive now."""
        kept, self.late = self.late or [], None
        for send in kept:
            self.use(send)

    def kubectl(self, *words: str, body: JsonObject | None = None) -> str:
        stdin = "" if body is None else json.dumps(body)
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=stdin)

    def apply(self, body: JsonObject) -> None:
        """``kubectl apply``."""
        self.kubectl("apply", "-f", "-", body=body)

    def apply_as(self, body: JsonObject, manager: str) -> None:
        """Apply client-side under another name, as Argo CD does by default."""
        self.kubectl("apply", f"--field-manager={manager}", "-f", "-", body=body)

    def apply_server_side(self, body: JsonObject, manager: str = "kubectl", *, force: bool = False) -> None:
        """``kubectl apply --server-side``, or another tool that applies under its own name."""
        forced = ["--force-conflicts"] if force else []
        self.kubectl("apply", "--server-side", f"--field-manager={manager}", *forced, "-f", "-", body=body)

    def create(self, body: JsonObject, manager: str) -> None:
        """Create as a client with this name does."""
        self.kubectl("create", f"--field-manager={manager}", "-f", "-", body=body)

    def use(self, task: Callable[[KubeClient], Awaitable[T]]) -> T:
        """Run something with a client of its own."""

        async def run() -> T:
            client = await KubeClient.connect(str(self.kubeconfig))
            if self.meddling:
                client.patch = _meddled(client.patch, self.meddling)  # type: ignore[method-assign]  # between read and write
            if self.late is not None:
                client.patch = _lost(client.patch, self.late)  # type: ignore[method-assign]  # this one client alone loses them
            try:
                return await task(client)
            finally:
                await client.aclose()

        return asyncio.run(run())

    def touch(self) -> None:
        """Change the Deployment's resourceVersion and nothing that matters, as its controller does while it scales."""
        path = f"{DEPLOYMENTS.format(self.namespace)}/checkout"
        self.cluster.api.merge(path, {"metadata": {"annotations": {"touched": str(time.monotonic_ns())}}})

    def with_levers(self, task: Callable[[ClusterLevers], Awaitable[T]]) -> T:
        return self.use(lambda client: task(ClusterLevers(client, Discovery(client))))

    def find(self, hpa_name: str | None = None) -> Lever:
        return self.with_levers(lambda levers: levers.find(self.namespace, TARGET, hpa_name))

    def write(self, lever: Lever, value: int, *, force: bool = False) -> Lever:
        return self.with_levers(lambda levers: levers.write(self.namespace, lever, value, force=force))

    def field(self) -> tuple[int | None, tuple[FieldOwner, ...]]:
        """Return the lever's value and owners as they are now."""
        lever = self.find()
        return lever.value, lever.owners

    @property
    def ref(self) -> TwinRef:
        """The twin that all of this is done for."""
        return TwinRef(self.namespace, "checkout", "twin-uid")

    def remove_stale_annotations(self, plan: Plan) -> None:
        """Do what follows a plan in any case."""
        self.with_levers(lambda levers: CorrectionService(levers, _At(0)).remove_stale_annotations(self.ref, plan))

    def plan(
        self, spec: DigitalTwinSpec, seen: dict[str, Sample], risks: list[Any], state: TwinState, now: float
    ) -> tuple[Plan, Done]:
        """Plan and carry out one sync's correction on the real objects."""

        async def run(client: KubeClient) -> tuple[Plan, Done]:
            discovery = Discovery(client)
            levers = ClusterLevers(client, discovery)
            workload = await ClusterWorkloads(client, discovery).get(self.namespace, TARGET)
            service = CorrectionService(levers, _At(now))
            found = await levers.find(self.namespace, TARGET, None)
            observation = Observation(now=now, samples=seen, workload=workload, lever=found)
            ref = self.ref
            plan, _ = await planned(levers, ref, spec, observation, state, risks, drift=state.drift)
            return plan, await service.carry_out(ref, plan, plan.state) if plan.writes else Done(plan.state)

        return self.use(run)

    def restore_all(self, state: TwinState, now: float) -> Done:
        """Give back what the state holds."""
        return self.with_levers(
            lambda levers: CorrectionService(levers, _At(now)).restore_all(
                self.ref, state, trigger=RestoreTrigger.DELETED, now=now, deadline_seconds=20
            )
        )


def _lost(patch: Any, late: list[Callable[[KubeClient], Awaitable[Any]]]) -> Any:
    async def lost(*words: Any, **more: Any) -> Any:
        if (more.get("params") or {}).get("force") is False:
            # The first attempt, which takes nothing from anybody, is answered.
            return await patch(*words, **more)
        late.append(lambda client: client.patch(*words, **more))
        raise Unavailable("no answer")

    return lost


def _meddled(patch: Any, meddling: list[Callable[[], object]]) -> Any:
    async def meddled(*words: Any, **more: Any) -> Any:
        if meddling:
            meddling.pop(0)()
        return await patch(*words, **more)

    return meddled


class _At:
    """A clock that shows one time for the whole of a sync; pauses are real."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
