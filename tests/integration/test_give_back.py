"""Corrections and their end on a real API server: value, owner, and the former owner's next apply."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.errors import CommandError
from devcluster.waiting import wait_until
from support.chart import install_chart
from support.cluster_levers import DEPLOYMENTS, HPAS, Cluster, deployment, hpa
from support.correcting import risk, spec
from twinops.adapters.clock import SystemClock
from twinops.api import ORIGINAL_ANNOTATION
from twinops.api.base import utc
from twinops.api.twin.corrections import Outcome
from twinops.api.twin.observed import Quality
from twinops.controllers.twin.corrections import Done
from twinops.controllers.twin.field_writer import FieldWriter
from twinops.core.correction.plan import Plan
from twinops.core.lever import FieldOwner
from twinops.core.observation import Sample
from twinops.core.state import TwinState
from twinops.errors import Conflict

KUBECTL = FieldOwner("kubectl-client-side-apply", "Update")
KUBECTL_BY_SCALE = FieldOwner("kubectl-client-side-apply", "Update", "scale")
SERVER_SIDE = FieldOwner("kubectl", "Apply")
OURS = FieldOwner("twinops", "Apply")
OURS_BY_SCALE = FieldOwner("twinops", "Apply", "scale")

FORCE = {"ownershipPolicy": "Force"}
BOUNDS = {"bounds": {"minReplicas": 1, "maxReplicas": 20}}
NEEDED = 4
"""Two ready replicas at 190 % of a limit of 95 %."""


class Twin:
    """A twin of the namespace's Deployment, with a risk that asks for ``NEEDED`` replicas."""

    def __init__(self, cluster: Cluster, correction: dict[str, Any] | None = None) -> None:
        self.cluster = cluster
        self.spec = spec(correction, limits={"cpuUsage": 95})
        self.state = TwinState()
        # Whole seconds, as status keeps them.
        self.now = float(int(time.time()))

    def sync(self, *, needed: bool = True) -> Plan:
        self.now += 60
        samples = {"cpuUsage": Sample("cpuUsage", Quality.GOOD, 190.0 if needed else 10.0)}
        risks = [risk(upper=190)] if needed else []
        state = dataclasses.replace(self.state, last_sync_time=utc(self.now - 60))
        plan, done = self.cluster.plan(self.spec, samples, risks, state, self.now)
        self.state = done.state
        return plan

    def release(self) -> Done:
        done = self.cluster.restore_all(self.state, self.now)
        self.state = done.state
        return done

    @property
    def outcomes(self) -> list[str]:
        return [f"{record.action.value} {record.to} {record.outcome.value}" for record in self.state.corrections]


@pytest.fixture
def shop(cluster: DevCluster, namespace: str) -> Cluster:
    """Two ready pods of a Deployment whose replicas nobody but its creator has set."""
    found = Cluster(cluster, namespace)
    ready(found, deployment(2))
    return found


def ready(shop: Cluster, body: dict[str, Any], apply: Any = None) -> None:
    body["spec"]["template"]["spec"]["nodeName"] = "node-0"
    (apply or shop.apply)(body)
    path = f"{DEPLOYMENTS.format(shop.namespace)}/checkout"
    wait_until(
        lambda: shop.cluster.api.get(path)["status"].get("readyReplicas") == 2, within=30, what="two ready replicas"
    )


def mine(replicas: int | None) -> dict[str, Any]:
    body = deployment(replicas)
    body["spec"]["template"]["spec"]["nodeName"] = "node-0"
    return body


@pytest.mark.parametrize(
    ("write", "correction", "reason"),
    [
        pytest.param(lambda c: c.apply_server_side(hpa(None), "kustomize-controller"), {}, "", id="nobody"),
        pytest.param(lambda c: c.apply(hpa(2)), {}, "", id="kubectl apply"),
        pytest.param(lambda c: c.create(hpa(2), "helm"), {}, "", id="Helm 3"),
        pytest.param(lambda c: c.create(hpa(2), "helm-v3.12.0"), {}, "", id="Helm 3 by the name of its binary"),
        pytest.param(lambda c: c.create(hpa(2), "Go-http-client"), {}, "", id="Helm before 3.7"),
        pytest.param(lambda c: c.create(hpa(2), "Terraform"), {}, "", id="Terraform"),
        pytest.param(lambda c: c.create(hpa(2), "terraform-provider-helm_v2.12.1_x5"), {}, "", id="its Helm provider"),
        pytest.param(lambda c: c.create(hpa(2), "helm-controller"), {}, "OwnedByGitOps", id="Flux's Helm"),
        pytest.param(lambda c: c.apply(hpa(None)), {}, "", id="left out of a client-side apply"),
        pytest.param(lambda c: c.apply_server_side(hpa(2)), {}, "OwnedByServerSideApply", id="kubectl --server-side"),
        pytest.param(lambda c: c.apply_server_side(hpa(2), "helm"), {}, "OwnedByServerSideApply", id="Helm 4"),
        pytest.param(lambda c: c.create(hpa(2), "argocd-controller"), {}, "OwnedByGitOps", id="Argo CD"),
        pytest.param(lambda c: c.apply_server_side(hpa(2), "kustomize-controller"), {}, "OwnedByGitOps", id="Flux"),
        pytest.param(lambda c: c.create(hpa(2), "my-tool"), {}, "OwnedByMyTool", id="unknown"),
        pytest.param(lambda c: c.apply_server_side(hpa(2)), FORCE, "", id="server-side, forced"),
        pytest.param(lambda c: c.create(hpa(2), "argocd-controller"), FORCE, "", id="Argo CD, forced"),
    ],
)
def test_the_ownership_table(shop: Cluster, write: Any, correction: dict[str, Any], reason: str) -> None:
    write(shop)
    before = shop.field()
    twin = Twin(shop, correction)
    plan = twin.sync()
    if reason:
        assert (plan.decision.reason, plan.decision.blocked) == (reason, True)
        assert shop.field() == before
        assert twin.outcomes == [f"Raise {NEEDED} Blocked"]
    else:
        assert shop.field() == (NEEDED, (OURS,))
        assert twin.outcomes == [f"Raise {NEEDED} Applied"]


@pytest.mark.parametrize(
    ("write", "correction", "value", "owners", "again"),
    [
        pytest.param(lambda c, n: c.apply(hpa(n)), {}, 2, (KUBECTL,), lambda c: c.apply(hpa(5)), id="kubectl apply"),
        pytest.param(
            lambda c, _: c.apply(hpa(None)), {}, 1, (KUBECTL,), lambda c: c.apply(hpa(5)), id="minReplicas left out"
        ),
        pytest.param(
            lambda c, n: c.create(hpa(n), "helm"),
            {},
            2,
            (FieldOwner("helm", "Update"),),
            lambda c: c.kubectl(
                "patch", "hpa", "checkout", "--field-manager=helm", "--type=merge", "-p", '{"spec":{"minReplicas":5}}'
            ),
            id="Helm 3",
        ),
        pytest.param(
            lambda c, n: c.apply_server_side(hpa(n)),
            FORCE,
            2,
            (SERVER_SIDE,),
            lambda c: c.apply_server_side(hpa(5)),
            id="server-side, forced",
        ),
        pytest.param(
            lambda c, n: c.apply_server_side(hpa(n), "kustomize-controller"),
            FORCE,
            2,
            (FieldOwner("kustomize-controller", "Apply"),),
            lambda c: c.apply_server_side(hpa(5), "kustomize-controller"),
            id="Flux, forced",
        ),
        pytest.param(
            lambda c, _: c.apply_server_side(hpa(None), "kustomize-controller"),
            {},
            1,
            (OURS,),
            lambda c: c.kubectl("patch", "hpa", "checkout", "--type=merge", "-p", '{"spec":{"minReplicas":5}}'),
            id="nobody",
        ),
    ],
)
def test_giving_an_hpa_back(
    shop: Cluster, write: Any, correction: dict[str, Any], value: int, owners: tuple[FieldOwner, ...], again: Any
) -> None:
    write(shop, 2)
    twin = Twin(shop, correction)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS,))
    assert twin.release().complete
    assert shop.field() == (value, owners)
    again(shop)
    assert shop.field()[0] == 5


@pytest.mark.parametrize(
    ("write", "correction", "owners", "again"),
    [
        pytest.param(lambda _: None, {}, (KUBECTL_BY_SCALE,), lambda c: c.apply(mine(5)), id="kubectl apply"),
        pytest.param(
            lambda c: c.kubectl("scale", "deployment/checkout", "--replicas=2"),
            {},
            (KUBECTL_BY_SCALE,),
            lambda c: c.kubectl("scale", "deployment/checkout", "--replicas=5"),
            id="kubectl scale to what it is anyway",
        ),
    ],
)
def test_giving_replicas_back(
    shop: Cluster, write: Any, correction: dict[str, Any], owners: tuple[FieldOwner, ...], again: Any
) -> None:
    write(shop)
    twin = Twin(shop, correction | BOUNDS)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS_BY_SCALE,))
    assert twin.release().complete
    assert shop.field() == (2, owners)
    again(shop)
    assert shop.field()[0] == 5


def test_giving_replicas_back_that_were_applied_server_side(cluster: DevCluster, namespace: str) -> None:
    shop = Cluster(cluster, namespace)
    ready(shop, deployment(2), shop.apply_server_side)
    blocked = Twin(shop, BOUNDS)
    assert blocked.sync().decision.reason == "OwnedByServerSideApply"
    twin = Twin(shop, BOUNDS | FORCE)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS_BY_SCALE,))
    assert twin.release().complete
    assert shop.field() == (2, (SERVER_SIDE,))
    shop.apply_server_side(mine(5))
    assert shop.field() == (5, (SERVER_SIDE,))


@pytest.mark.parametrize("owner", ["client-side", "server-side"])
def test_replicas_are_raised_and_given_back_while_the_deployments_status_moves(
    cluster: DevCluster, namespace: str, owner: str
) -> None:
    shop = Cluster(cluster, namespace)
    ready(shop, deployment(2), shop.apply if owner == "client-side" else shop.apply_server_side)
    twin = Twin(shop, BOUNDS | FORCE)
    shop.meddling = [shop.touch] * 4
    twin.sync()
    assert (shop.meddling, shop.field()) == ([], (NEEDED, (OURS_BY_SCALE,)))
    shop.meddling = [shop.touch] * 4
    assert twin.release().complete
    assert (shop.meddling, shop.field()) == ([], (2, (KUBECTL_BY_SCALE if owner == "client-side" else SERVER_SIDE,)))


def test_replicas_without_bounds_are_left_alone(shop: Cluster) -> None:
    assert Twin(shop).sync().decision.reason == "NoBounds"
    assert shop.field()[0] == 2


def test_after_a_forced_take_over_the_former_owners_apply_fails_until_it_is_given_back(shop: Cluster) -> None:
    shop.apply_server_side(hpa(2))
    twin = Twin(shop, FORCE)
    twin.sync()
    with pytest.raises(CommandError, match="conflict"):
        shop.apply_server_side(hpa(2))
    twin.release()
    shop.apply_server_side(hpa(2))
    assert shop.field() == (2, (SERVER_SIDE,))


def test_an_old_manifest_puts_its_value_back_and_is_answered_at_the_next_sync(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.apply(hpa(2))
    assert shop.field() == (2, (KUBECTL,))
    assert twin.sync().reversions == 1
    assert twin.outcomes == [f"Raise {NEEDED} Reverted", f"Raise {NEEDED} Applied"]
    assert shop.field() == (NEEDED, (OURS,))
    shop.apply(hpa(2))
    assert twin.sync().decision.reason == "BackedOff"
    assert shop.field() == (2, (KUBECTL,))


def test_a_manifest_that_adopts_our_value_keeps_it(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.apply(hpa(NEEDED))
    assert twin.sync(needed=False).reversions == 0
    assert twin.release().complete
    assert shop.field()[0] == NEEDED
    shop.apply(hpa(3))
    assert shop.field()[0] == 3


def test_a_server_side_apply_of_our_value_keeps_it(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.apply_server_side(hpa(NEEDED), "kustomize-controller")
    assert twin.release().complete
    assert shop.field() == (NEEDED, (FieldOwner("kustomize-controller", "Apply"),))


def test_somebody_elses_value_is_never_undone(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.kubectl("patch", "hpa", "checkout", "--type=merge", "-p", '{"spec":{"minReplicas":7}}')
    assert twin.release().complete
    assert shop.field() == (7, (FieldOwner("kubectl-patch", "Update"),))


def test_ten_minutes_without_need_give_it_back(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    for _ in range(10):
        assert not twin.sync(needed=False).writes
    twin.sync(needed=False)
    assert shop.field() == (2, (KUBECTL,))
    assert twin.outcomes == [f"Raise {NEEDED} Applied", "GiveBack 2 Applied"]
    assert twin.state.saved_values == ()


def test_another_hpa_gets_the_first_one_its_value_back(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.kubectl("create", "-f", "-", body=hpa(2, "second"))
    shop.kubectl("patch", "hpa", "checkout", "--type=merge", "-p", '{"spec":{"scaleTargetRef":{"name":"billing"}}}')
    assert twin.sync().decision.trigger == "LeverChanged"
    first = shop.cluster.api.get(f"/apis/autoscaling/v2/namespaces/{shop.namespace}/horizontalpodautoscalers/checkout")
    assert first["spec"]["minReplicas"] == 2


def test_a_crash_after_the_write_is_settled_from_the_live_object(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    intent = twin.sync().state
    twin.state = intent
    version = shop.find().resource_version
    twin.sync()
    assert twin.outcomes == [f"Raise {NEEDED} Applied"]
    assert shop.find().resource_version == version


def test_a_hand_over_that_was_interrupted_is_finished(shop: Cluster) -> None:
    shop.apply_server_side(hpa(2))
    twin = Twin(shop, FORCE)
    twin.sync()
    restored = shop.write(shop.find(), 2, force=True)
    assert restored.owners == (OURS,)
    twin.sync(needed=False)
    assert shop.field() == (2, (SERVER_SIDE,))
    assert twin.state.corrections[-1].outcome is Outcome.APPLIED


def test_an_owner_that_left_meanwhile_leaves_the_field_to_us(shop: Cluster) -> None:
    shop.apply_server_side(hpa(2))
    twin = Twin(shop, FORCE)
    twin.sync()
    held = twin.state.saved_values[0]
    twin.state = dataclasses.replace(twin.state, saved_values=(held.model_copy(update={"manager": "long-gone"}),))
    assert twin.release().complete
    assert shop.field() == (2, (OURS,))


LOWER = 3
"""A maximum below what is held."""


@pytest.mark.parametrize(
    "apply",
    [
        pytest.param(lambda c, body: c.apply(body), id="kubectl apply"),
        pytest.param(lambda c, body: c.apply_as(body, "argocd-controller"), id="Argo CD"),
        pytest.param(lambda c, body: c.apply_server_side(body), id="kubectl --server-side"),
        pytest.param(lambda c, body: c.apply_server_side(body, "kustomize-controller", force=True), id="Flux"),
    ],
)
@pytest.mark.parametrize("way", ["bounds", "suspend"])
def test_a_lower_maximum_while_the_manifest_leaves_the_minimum_out(shop: Cluster, apply: Any, way: str) -> None:
    apply(shop, hpa(None))
    twin = Twin(shop)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS,))
    with pytest.raises(CommandError, match="must be greater than or equal to"):
        apply(shop, hpa(None, maximum=LOWER))
    if way == "suspend":
        assert twin.release().complete
    else:
        twin.spec = spec({"bounds": {"maxReplicas": LOWER}}, limits={"cpuUsage": 95})
        assert twin.sync().decision.trigger == "AboveMaximum"
    apply(shop, hpa(None, maximum=LOWER))
    lever = shop.find()
    assert (lever.value, lever.maximum) == (1, LOWER)
    if way == "bounds":
        twin.now += 300
        twin.sync()
        assert shop.field() == (LOWER, (OURS,))


@pytest.mark.parametrize(
    ("write", "again", "correction"),
    [
        pytest.param(lambda c, body: c.apply(body), None, {}, id="kubectl apply"),
        pytest.param(lambda c, body: c.apply_as(body, "argocd-controller"), None, FORCE, id="Argo CD"),
        pytest.param(
            lambda c, body: c.apply_server_side(body),
            lambda c, body: c.apply_server_side(body, force=True),
            FORCE,
            id="kubectl --server-side --force-conflicts",
        ),
        pytest.param(
            lambda c, body: c.apply_server_side(body, "kustomize-controller", force=True), None, FORCE, id="Flux"
        ),
        pytest.param(
            lambda c, body: c.create(body, "helm"),
            lambda c, _: c.kubectl(
                "patch",
                "hpa",
                "checkout",
                "--field-manager=helm",
                "--type=merge",
                "-p",
                '{"spec":{"minReplicas":2,"maxReplicas":3}}',
            ),
            {},
            id="Helm 3, kubectl patch",
        ),
    ],
)
def test_a_lower_maximum_together_with_its_minimum(
    shop: Cluster, write: Any, again: Any, correction: dict[str, Any]
) -> None:
    write(shop, hpa(2))
    twin = Twin(shop, correction)
    twin.sync()
    assert shop.field()[0] == NEEDED
    (again or write)(shop, hpa(2, maximum=LOWER))
    lever = shop.find()
    assert (lever.value, lever.maximum) == (2, LOWER)
    assert twin.sync(needed=False).reversions == 1
    assert twin.state.saved_values == ()


def test_the_original_stands_beside_the_value_until_it_is_given_back(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    noted = json.loads(annotation(shop) or "")
    assert noted == {
        "twin": "checkout",
        "value": 2,
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "ours": NEEDED,
        "min": 2,
        "max": 20,
    }
    # What stands in the manifest alone is applied: neither kubectl nor anybody else takes it off.
    shop.apply(hpa(NEEDED))
    shop.apply_server_side(hpa(None), "kustomize-controller", force=True)
    assert annotation(shop)
    assert twin.release().complete
    assert annotation(shop) is None


@pytest.mark.parametrize(
    ("write", "correction", "value", "owners"),
    [
        pytest.param(lambda c: c.apply(hpa(2)), {}, 2, (KUBECTL,), id="kubectl apply"),
        pytest.param(lambda c: c.apply(hpa(None)), {}, 1, (KUBECTL,), id="minReplicas left out"),
        pytest.param(
            lambda c: c.create(hpa(2), "helm-v3.12.0"), {}, 2, (FieldOwner("helm-v3.12.0", "Update"),), id="Helm 3"
        ),
        pytest.param(
            lambda c: c.apply_server_side(hpa(2), "kustomize-controller"),
            FORCE,
            2,
            (FieldOwner("kustomize-controller", "Apply"),),
            id="Flux, forced",
        ),
        pytest.param(lambda c: c.apply_server_side(hpa(None), "kustomize-controller"), {}, 1, (OURS,), id="nobody"),
    ],
)
def test_a_status_that_is_lost(
    shop: Cluster, write: Any, correction: dict[str, Any], value: int, owners: tuple[FieldOwner, ...]
) -> None:
    write(shop)
    twin = Twin(shop, correction)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS,))
    twin.state = TwinState()
    twin.sync(needed=False)
    assert [held.ours for held in twin.state.saved_values] == [NEEDED]
    assert twin.release().complete
    assert shop.field() == (value, owners)
    assert annotation(shop) is None
    twin.state = TwinState()
    assert not twin.sync(needed=False).state.saved_values


def test_a_value_that_somebody_else_has_set_leaves_no_annotation(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    shop.kubectl("patch", "hpa", "checkout", "--type=merge", "-p", '{"spec":{"minReplicas":7}}')
    plan = twin.sync(needed=False)
    assert (plan.reversions, twin.state.saved_values) == (0, ())
    shop.remove_stale_annotations(plan)
    assert annotation(shop) is None
    assert shop.field() == (7, (FieldOwner("kubectl-patch", "Update"),))


def test_an_annotation_that_was_copied_along_does_not_stop_a_raise(shop: Cluster) -> None:
    body = hpa(2)
    body["metadata"]["annotations"] = {ORIGINAL_ANNOTATION: '{"value":1,"ours":2,"manager":"x","operation":"Update"}'}
    shop.apply_server_side(body, "kustomize-controller")
    shop.apply_server_side(hpa(None), "other")
    twin = Twin(shop, FORCE)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS,))
    assert json.loads(annotation(shop) or "")["value"] == 2


def test_replicas_that_an_hpa_has_left_behind_are_taken_over_and_given_back(shop: Cluster) -> None:
    shop.kubectl(
        "patch",
        "deployment",
        "checkout",
        "--subresource=scale",
        "--type=merge",
        "-p",
        '{"spec":{"replicas":3}}',
        "--field-manager=kube-controller-manager",
    )
    shop.kubectl(
        "patch",
        "deployment",
        "checkout",
        "--subresource=scale",
        "--type=merge",
        "-p",
        '{"spec":{"replicas":2}}',
        "--field-manager=kube-controller-manager",
    )
    former = FieldOwner("kube-controller-manager", "Update", "scale")
    assert shop.field() == (2, (former,))
    # The third pod may become ready before it goes.
    shop.kubectl("wait", "deployment/checkout", "--for=jsonpath={.status.replicas}=2", "--timeout=60s")
    shop.kubectl("wait", "deployment/checkout", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s")
    twin = Twin(shop, BOUNDS)
    twin.sync()
    assert shop.field() == (NEEDED, (OURS_BY_SCALE,))
    assert twin.release().complete
    assert shop.field() == (2, (former,))


@pytest.mark.parametrize("lever", ["hpa", "scale"])
def test_a_request_that_is_carried_out_after_it_was_given_up(shop: Cluster, lever: str) -> None:
    if lever == "hpa":
        shop.apply(hpa(2))
    former = shop.field()
    twin = Twin(shop, BOUNDS)
    shop.late = []
    twin.sync()
    assert twin.outcomes == [f"Raise {NEEDED} Pending"]
    twin.sync(needed=False)
    assert (twin.outcomes, shop.field()) == ([f"Raise {NEEDED} Failed"], former)
    shop.arrive()
    assert shop.field()[0] == NEEDED
    twin.sync(needed=False)
    assert twin.outcomes == [f"Raise {NEEDED} Applied"]
    shop.late = []
    assert not twin.release().complete
    shop.arrive()
    assert shop.field()[0] == 2
    assert twin.sync(needed=False).reversions == 0
    assert twin.state.saved_values == ()


def test_a_request_that_is_late_meets_what_has_changed_meanwhile(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    shop.late = []
    twin.sync()
    shop.apply(hpa(3))
    with pytest.raises(Conflict, match="modified"):
        shop.arrive()
    assert shop.field() == (3, (KUBECTL,))


@pytest.mark.parametrize(
    ("lever", "resource"),
    [("hpa", "horizontalpodautoscalers.autoscaling"), ("scale", "deployments.apps/scale")],
)
def test_the_charts_rights_and_the_one_that_is_missing(shop: Cluster, lever: str, resource: str) -> None:
    if lever == "hpa":
        shop.apply(hpa(2))
    former = shop.field()
    rights = {"watchNamespaces": [shop.namespace], "crds": {"enabled": False}, "rbac": {"correct": False}}
    account = install_chart(shop.cluster, shop.namespace, rights)
    shop.kubeconfig = shop.cluster.service_account_kubeconfig(shop.namespace, account)
    twin = Twin(shop, BOUNDS)
    twin.sync()
    (refused,) = twin.state.corrections
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, "Forbidden")
    assert refused.message == (
        f"the operator may not patch {resource} in namespace {shop.namespace}: "
        "set rbac.correct of the chart to true, or spec.autoCorrection.mode of the twin to Preview"
    )
    for _ in range(4):
        plan = twin.sync()
        assert (plan.decision.reason, plan.decision.blocked, plan.writes) == ("Forbidden", True, False)
    assert twin.state.corrections == (refused,)
    assert (shop.field(), twin.state.saved_values) == (former, ())
    install_chart(shop.cluster, shop.namespace, rights | {"rbac": {"correct": True}})
    twin.sync()
    assert shop.field()[0] == NEEDED
    assert twin.release().complete
    assert shop.field()[0] == 2


def annotation(shop: Cluster) -> str | None:
    body = shop.cluster.api.get(f"{HPAS.format(shop.namespace)}/checkout")
    found: str | None = (body["metadata"].get("annotations") or {}).get(ORIGINAL_ANNOTATION)
    return found


def test_a_stale_lever_is_read_again_before_giving_back(shop: Cluster) -> None:
    shop.apply(hpa(2))
    twin = Twin(shop)
    twin.sync()
    stale = dataclasses.replace(shop.find(), resource_version="1")
    message = shop.with_levers(
        lambda levers: FieldWriter(levers, SystemClock()).restore(shop.namespace, stale, twin.state.saved_values[0])
    )
    assert message == "given back to kubectl-client-side-apply"
    assert shop.field() == (2, (KUBECTL,))
