"""Levers on a real API server: what is found, who owns it, and how writes are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from support.cluster_levers import DEPLOYMENTS, HPAS, TARGET, Cluster, deployment, hpa
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.paths import resource_path
from twinops.adapters.kubernetes.workloads import ClusterWorkloads
from twinops.api.references import TargetRef
from twinops.core.lever import HPA_MIN_REPLICAS, FieldOwner
from twinops.core.observation import Workload
from twinops.errors import Conflict, NotFound, Refused, SpecError, TargetNotFound, Unavailable

KUBECTL = FieldOwner("kubectl-client-side-apply", "Update")
OURS = FieldOwner("twinops", "Apply")
OURS_BY_SCALE = FieldOwner("twinops", "Apply", "scale")

SCALED_OBJECTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def shop(cluster: DevCluster, namespace: str) -> Cluster:
    return Cluster(cluster, namespace)


class TestFinding:
    def test_the_only_hpa_that_targets_the_workload(self, shop: Cluster) -> None:
        shop.apply(hpa(3))
        shop.apply(hpa(1, "billing", target="billing"))
        lever = shop.find()
        assert (lever.object.name, lever.value, lever.minimum, lever.maximum) == ("checkout", 3, 3, 20)
        assert lever.kind is HPA_MIN_REPLICAS

    def test_an_hpa_by_name(self, shop: Cluster) -> None:
        shop.apply(hpa(3))
        shop.apply(hpa(4, "second"))
        assert shop.find("second").value == 4

    @pytest.mark.parametrize(
        ("bodies", "name", "reason"),
        [
            pytest.param([hpa(2), hpa(2, "second")], None, "AmbiguousHPA", id="two target it"),
            pytest.param([hpa(2)], "missing", "HPANotFound", id="the named one is missing"),
            pytest.param([hpa(2, "other", target="billing")], "other", "HPATargetsAnother", id="targets another"),
            pytest.param([], None, "TargetNotFound", id="neither HPA nor target"),
        ],
    )
    def test_no_single_lever(self, shop: Cluster, bodies: list[dict[str, Any]], name: str | None, reason: str) -> None:
        for body in bodies:
            shop.apply(body)
        with pytest.raises(SpecError) as refused:
            shop.find(name)
        assert refused.value.reason == reason

    def test_scale_where_no_hpa_targets_the_workload(self, shop: Cluster) -> None:
        shop.apply(deployment(3))
        lever = shop.find()
        assert (lever.object.kind, lever.field, lever.value) == ("Deployment", "spec.replicas", 3)
        assert (lever.minimum, lever.maximum) == (None, None)

    def test_keda_keeps_its_own(self, shop: Cluster, cluster: DevCluster) -> None:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(SCALED_OBJECTS))
        cluster.kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=20s")
        path = f"/apis/keda.sh/v1alpha1/namespaces/{shop.namespace}/scaledobjects"
        try:
            shop.apply(deployment(2))
            assert shop.find().value == 2
            scaled = {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": "checkout-scaler"},
                "spec": {"scaleTargetRef": {"name": "checkout"}},
            }
            made = cluster.api.create(path, scaled)
            with pytest.raises(SpecError, match="checkout-scaler") as refused:
                shop.find()
            assert refused.value.reason == "ManagedByKEDA"
            owner = {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "name": "checkout-scaler",
                "uid": made["metadata"]["uid"],
                "controller": True,
            }
            owned = hpa(2)
            owned["metadata"]["ownerReferences"] = [owner]
            shop.apply(owned)
            assert shop.find().controller == "ScaledObject/checkout-scaler"
        finally:
            cluster.kubectl("delete", "crd", "scaledobjects.keda.sh", "--wait=false")


class TestOwners:
    @pytest.mark.parametrize(
        ("write", "owners", "declared", "applied"),
        [
            pytest.param(lambda c: c.apply(hpa(2)), (KUBECTL,), True, 2, id="kubectl apply"),
            pytest.param(lambda c: c.apply(hpa(None)), (KUBECTL,), False, None, id="kubectl apply leaves it out"),
            pytest.param(
                lambda c: c.apply_server_side(hpa(2)), (FieldOwner("kubectl", "Apply"),), True, None, id="server-side"
            ),
            pytest.param(
                lambda c: c.apply_server_side(hpa(None), "kustomize-controller"),
                (),
                True,
                None,
                id="Flux leaves it out",
            ),
            pytest.param(
                lambda c: c.create(hpa(2), "helm"), (FieldOwner("helm", "Update"),), True, None, id="Helm 3 creates"
            ),
        ],
    )
    def test_of_an_hpa(self, shop: Cluster, write: Any, owners: Any, applied: int | None, *, declared: bool) -> None:
        write(shop)
        lever = shop.find()
        assert (lever.owners, lever.declared, lever.applied_value) == (owners, declared, applied)
        assert lever.value == (1 if applied is None and not owners else lever.minimum)

    def test_of_a_field_that_was_edited_after_it_was_left_out(self, shop: Cluster) -> None:
        shop.apply(hpa(None))
        shop.kubectl("patch", "hpa", "checkout", "--type=merge", "-p", '{"spec":{"minReplicas":3}}')
        lever = shop.find()
        assert (lever.owners, lever.declared) == ((FieldOwner("kubectl-patch", "Update"),), True)

    def test_of_replicas_that_were_scaled(self, shop: Cluster) -> None:
        shop.apply(deployment(2))
        shop.kubectl("scale", "deployment/checkout", "--replicas=3")
        lever = shop.find()
        assert (lever.value, lever.owners) == (3, (FieldOwner("kubectl", "Update", "scale"),))


class TestWriting:
    def test_a_field_that_nobody_owns(self, shop: Cluster) -> None:
        shop.apply_server_side(hpa(None), "kustomize-controller")
        lever = shop.write(shop.find(), 6)
        assert (lever.value, lever.owners) == (6, (OURS,))
        shop.apply_server_side(hpa(None), "kustomize-controller")
        assert shop.field() == (6, (OURS,))

    @pytest.mark.parametrize("body", [pytest.param(hpa(2), id="hpa"), pytest.param(deployment(2), id="scale")])
    def test_somebody_elses_field_takes_force(self, shop: Cluster, body: dict[str, Any]) -> None:
        shop.apply(body)
        with pytest.raises(Conflict, match="kubectl-client-side-apply"):
            shop.write(shop.find(), 6)
        lever = shop.write(shop.find(), 6, force=True)
        assert (lever.value, lever.owners) == (6, (OURS if lever.kind is HPA_MIN_REPLICAS else OURS_BY_SCALE,))

    @pytest.mark.parametrize("body", [pytest.param(hpa(2), id="hpa"), pytest.param(deployment(2), id="scale")])
    def test_what_was_judged_must_still_be_so(self, shop: Cluster, body: dict[str, Any]) -> None:
        shop.apply(body)
        judged = shop.find()
        shop.kubectl("annotate", body["kind"], "checkout", "touched=yes")
        before = shop.field()
        with pytest.raises(Conflict, match="modified"):
            shop.write(judged, 6, force=True)
        assert shop.field() == before

    def test_a_hand_over_of_what_was_changed_since(self, shop: Cluster) -> None:
        shop.apply_server_side(hpa(2))
        taken = shop.write(shop.find(), 6, force=True)
        shop.kubectl("annotate", "hpa", "checkout", "touched=yes")
        with pytest.raises(Conflict, match="modified"):
            shop.with_levers(lambda levers: levers.hand_over(shop.namespace, taken, manager="kubectl"))
        assert shop.field() == (6, (OURS,))

    def test_a_value_beyond_the_maximum(self, shop: Cluster) -> None:
        shop.apply_server_side(hpa(None), "flux")
        with pytest.raises(Refused, match="maxReplicas"):
            shop.write(shop.find(), 21)

    def test_an_object_that_is_gone(self, shop: Cluster) -> None:
        shop.apply(hpa(2))
        judged = shop.find()
        shop.kubectl("delete", "hpa", "checkout")
        with pytest.raises((NotFound, Conflict, Refused)):
            shop.write(judged, 6)
        assert shop.cluster.api.get(HPAS.format(shop.namespace))["items"] == []


class TestWorkloads:
    @staticmethod
    def read(shop: Cluster, ref: TargetRef = TARGET) -> Workload:
        async def get(client: KubeClient) -> Workload:
            return await ClusterWorkloads(client, Discovery(client)).get(shop.namespace, ref)

        return shop.use(get)

    def test_a_deployment(self, shop: Cluster) -> None:
        body = deployment(2)
        body["metadata"]["labels"] = {"team": "shop"}
        body["spec"]["template"]["spec"]["containers"] = [
            {"name": "a", "image": "r:5000/shop:1.8.2", "resources": {"limits": {"cpu": "250m", "memory": "1Gi"}}},
            {"name": "b", "image": "b:2", "resources": {"requests": {"memory": "64M"}, "limits": {"cpu": "1"}}},
        ]
        shop.apply(body)
        seen = self.read(shop)
        assert (seen.ready, seen.desired, seen.version) == (0, 2, "1.8.2")
        assert (seen.pod_cpu_cores, seen.cpu_basis) == (1.25, "limits")
        assert (seen.pod_memory_bytes, seen.memory_basis) == (2**30 + 64e6, "requests")
        assert seen.labels == {"team": "shop"}
        assert seen.uid == shop.cluster.api.get(f"{DEPLOYMENTS.format(shop.namespace)}/checkout")["metadata"]["uid"]

    @pytest.mark.parametrize(
        ("ref", "words"),
        [
            pytest.param(TargetRef(name="missing"), "does not exist", id="no such object"),
            pytest.param(TargetRef(api_version="nope.dev/v1", kind="Nope", name="x"), "serves no kind", id="no group"),
            pytest.param(TargetRef(kind="Nope", name="x"), "serves no kind", id="no such kind"),
            pytest.param(TargetRef(api_version="v1", kind="ConfigMap", name="x"), "no /scale", id="cannot be scaled"),
        ],
    )
    def test_targets_that_a_person_must_mend(self, shop: Cluster, ref: TargetRef, words: str) -> None:
        with pytest.raises(TargetNotFound, match=words):
            self.read(shop, ref)


class TestClient:
    def test_a_long_list_is_read_page_by_page(self, shop: Cluster) -> None:
        for place in range(5):
            shop.kubectl("create", "configmap", f"map-{place}")
        path = resource_path("v1", "configmaps", namespace=shop.namespace)
        found = shop.use(lambda client: client.list(path, params={"limit": 2}))
        names = {item["metadata"]["name"] for item in found["items"]}
        assert {f"map-{place}" for place in range(5)} <= names

    @pytest.mark.parametrize(
        ("path", "error", "status"),
        [
            pytest.param("/api/v1/namespaces/nowhere/configmaps/x", NotFound, 404, id="missing"),
            pytest.param("/api/v1/configmaps?limit=x", Refused, 400, id="bad request"),
        ],
    )
    def test_errors_are_ours(self, shop: Cluster, path: str, error: type[Exception], status: int) -> None:
        with pytest.raises(error) as refused:
            shop.use(lambda client: client.get(path))
        assert getattr(refused.value, "status", None) == status

    def test_an_api_server_that_does_not_answer_in_time(self, shop: Cluster) -> None:
        with pytest.raises(Unavailable):
            shop.use(lambda client: client.get("/api/v1/namespaces", timeout_seconds=0.0001))
