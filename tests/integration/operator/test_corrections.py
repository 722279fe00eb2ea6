"""Corrections as users live with them: through the real HPA controller, beside the owners of the field.

Expected CPU is 50 with 20 % allowed, so two replicas at 90 % need ceil(2 x 90 / 60) = 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.request import urlopen

import pytest

from devcluster.cluster import DevCluster
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.exporter import Exporter
from support.operator import condition
from support.shop import WELL_WITHIN, Body, Shop, open_shop

HPA = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "checkout"}


@dataclass(frozen=True)
class Setup:
    """What one shop starts with, beside a Deployment of two.

    Attributes:
        correction: ``spec.autoCorrection`` of its twin.
        hpa: whether it has an HPA.
        manager: who applies that HPA server-side; None for a client-side apply.
        metric: what is far above what is expected.
    """

    correction: Body = field(default_factory=dict)
    hpa: bool = True
    manager: str | None = None
    metric: str = "cpuUsage"


SETUPS = {
    **dict.fromkeys(("raised", "cooldown", "reverted", "older", "disable", "preview", "suspend", "delete"), Setup()),
    "previewing": Setup(correction={"mode": "Preview"}),
    "scale": Setup(correction={"bounds": {"minReplicas": 2, "maxReplicas": 5}}, hpa=False),
    "no-bounds": Setup(hpa=False),
    "argo": Setup(manager="argocd-controller"),
    "flux": Setup(manager="kustomize-controller"),
    "kubectl": Setup(manager="kubectl"),
    "errors": Setup(metric="errorRate"),
}
VALUES = {"cpuUsage": (90, 50), "errorRate": (0.2, 0.01)}
"""By metric: what is, and what is expected."""

Shops = Mapping[str, Future[Shop]]


@pytest.fixture(scope="module")
def shops(cluster: DevCluster, exporter: Exporter, operator: Supervised) -> Iterator[Shops]:
    """A shop for each case, whose twin has just found that the drift lasts; all set up at the same time."""
    assert operator.process.alive
    with ThreadPoolExecutor(8) as pool:
        made = {name: pool.submit(drifting, cluster, exporter, name) for name in SETUPS}
        yield made
    for name in SETUPS:
        cluster.api.delete(f"/api/v1/namespaces/corrections-{name}")


def drifting(cluster: DevCluster, exporter: Exporter, name: str) -> Shop:
    setup = SETUPS[name]
    shop = open_shop(cluster, f"corrections-{name}", exporter)
    actual, expected = VALUES[setup.metric]
    exporter.set(f"shop_{setup.metric}", actual, namespace=shop.namespace)
    shop.apply(shop.deployment())
    if setup.hpa:
        shop.apply(shop.hpa(), manager=setup.manager)
    shop.ready(2)
    shop.metric(setup.metric, actual)
    add_twin(shop, "checkout", setup.metric, expected, setup.correction)
    return shop


def add_twin(shop: Shop, name: str, metric: str, expected: float, correction: Body) -> Body:
    """Apply a twin, and return it once it has found that the drift lasts."""
    shop.apply(
        shop.twin(
            name,
            metrics=(metric,),
            syncFrequencySeconds=3600,
            expectedState={"metrics": {metric: expected}},
            autoCorrection=correction,
        )
    )
    shop.until_condition("Ready", "True", name=name)
    return shop.lasting(name=name)


def least(shop: Shop) -> int:
    """Return minReplicas of the live HPA."""
    return int(shop.live_hpa()["spec"]["minReplicas"])


def owners(shop: Shop) -> set[tuple[str, str]]:
    """Return managers and operations that own minReplicas of the live HPA."""
    entries = shop.live_hpa()["metadata"]["managedFields"]
    return {
        (entry["manager"], entry["operation"])
        for entry in entries
        if "f:minReplicas" in entry["fieldsV1"].get("f:spec", {})
    }


def about_the_twin(shop: Shop, reason: str) -> int:
    """Return how often the twin was told of with this reason."""
    events = [event for event in shop.events(reason) if event["regarding"]["kind"] == "DigitalTwin"]
    return sum(int(event.get("deprecatedCount") or 1) for event in events)


def last(body: Body) -> Body:
    """Return the newest decision."""
    decision: Body = body["status"]["corrections"][-1]
    return decision


def test_drift_raises_the_hpa_and_says_why_everywhere(shops: Shops) -> None:
    shop = shops["raised"].result()
    body = shop.get()
    assert least(shop) == 3
    assert owners(shop) == {("twinops", "Apply")}
    (record,) = body["status"]["corrections"]
    assert {name: record[name] for name in ("action", "from", "to", "trigger", "outcome", "field", "object")} == {
        "action": "Raise",
        "from": 2,
        "to": 3,
        "trigger": "Drift/cpuUsage",
        "outcome": "Applied",
        "field": "spec.minReplicas",
        "object": HPA,
    }
    assert record["why"] == "CPU is at 90% (expected 50%, at most 60%): ceil(2 x 90/60) = 3 replicas"
    (original,) = body["status"]["originals"]
    assert (original["value"], original["ours"]) == (2, 3)
    assert (original["manager"], original["operation"]) == ("kubectl-client-side-apply", "Update")
    assert body["metadata"]["finalizers"].count("twinops.dev/give-back") == 1
    assert body["status"]["summary"]["lastAction"] == "raise minReplicas 2→3 (Applied)"
    assert condition(body, "CorrectionBlocked")["status"] == "False"
    kinds = {"DigitalTwin", "HorizontalPodAutoscaler", "Deployment"}

    def told() -> bool:
        return {event["regarding"]["kind"] for event in shop.events("CorrectionApplied")} == kinds

    wait_until(told, within=WELL_WITHIN, what="Events on twin, HPA and target")
    shop.ready(3)


def test_a_second_raise_waits_for_the_cooldown(shops: Shops) -> None:
    shop = shops["cooldown"].result()
    shop.ready(3)
    body = shop.sync(3)
    assert least(shop) == 3
    assert len(body["status"]["corrections"]) == 1
    assert body["status"]["recommendedReplicas"] == 5, "three replicas at 90 % would need ceil(3 x 90 / 60)"


def test_without_an_hpa_the_scale_is_raised_within_bounds(shops: Shops) -> None:
    shop = shops["scale"].result()
    record = last(shop.get())
    assert (record["field"], record["to"], record["object"]["kind"]) == ("spec.replicas", 3, "Deployment")
    shop.ready(3)
    shop.delete()
    shop.ready(2)


def test_without_an_hpa_and_bounds_nothing_is_written(shops: Shops) -> None:
    body = shops["no-bounds"].result().get()
    blocked = condition(body, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", "NoBounds")
    assert "set minReplicas and maxReplicas in spec.autoCorrection.bounds" in blocked["message"]
    assert last(body)["outcome"] == "Blocked"
    assert body["status"].get("originals", []) == []


def test_preview_only_records_and_the_figure_is_published(shops: Shops, operator: Supervised) -> None:
    shop = shops["previewing"].result()
    body = shop.get()
    assert (last(body)["outcome"], last(body)["to"]) == ("Previewed", 3)
    assert len(body["status"]["corrections"]) == 1
    assert body["status"].get("originals", []) == []
    assert least(shop) == 2
    assert owners(shop) == {("kubectl-client-side-apply", "Update")}
    (port,) = re.findall(r"port=.*?(\d+)", operator.process.log.read_text())[-1:]
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        published = answer.read().decode()
    series = rf'^twinops_recommended_replicas{{namespace="{shop.namespace}",twin="checkout"}} 3\.0$'
    assert re.search(series, published, re.MULTILINE)
    wait_until(lambda: shop.events("CorrectionPreviewed"), within=WELL_WITHIN, what="an Event")


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        pytest.param("preview", {"autoCorrection": {"mode": "Preview"}}, id="mode-preview"),
        pytest.param("disable", {"autoCorrection": {"enabled": False}}, id="disabled"),
        pytest.param("suspend", {"suspend": True}, id="suspended"),
        pytest.param("delete", None, id="deleted"),
    ],
)
def test_what_was_raised_is_given_back_and_its_owner_can_go_on(shops: Shops, name: str, spec: Body | None) -> None:
    shop = shops[name].result()
    assert least(shop) == 3
    if spec is None:
        shop.delete()
    else:
        shop.merge({"spec": spec})
    wait_until(lambda: least(shop) == 2, within=WELL_WITHIN, what="the original value")
    assert owners(shop) == {("kubectl-client-side-apply", "Update")}
    if spec is None:
        shop.until_gone()
    else:
        body = shop.until(lambda body: not body["status"].get("originals"), "nothing held")
        assert (last(body)["action"], last(body)["outcome"]) == ("GiveBack", "Applied")
        shop.until(lambda body: "twinops.dev/give-back" not in body["metadata"]["finalizers"], "no finalizer of ours")
    assert wait_until(lambda: about_the_twin(shop, "CorrectionGivenBack"), within=WELL_WITHIN, what="an Event") == 1
    shop.apply(shop.hpa(least=4))
    assert least(shop) == 4


@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        pytest.param("argo", "OwnedByGitOps", "RespectIgnoreDifferences=true", id="argo-cd"),
        pytest.param("flux", "OwnedByGitOps", "spec.ignore of the Kustomization", id="flux"),
        pytest.param("kubectl", "OwnedByServerSideApply", "leave the field out", id="kubectl-server-side"),
    ],
)
def test_a_field_that_somebody_applies_is_left_alone(shops: Shops, name: str, reason: str, says: str) -> None:
    shop = shops[name].result()
    body = shop.get()
    blocked = condition(body, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", reason)
    assert says in blocked["message"]
    assert (last(body)["outcome"], last(body)["to"]) == ("Blocked", 3)
    assert last(body)["message"].startswith(reason)
    assert owners(shop) == {(SETUPS[name].manager, "Apply")}
    wait_until(lambda: shop.events("CorrectionBlocked"), within=WELL_WITHIN, what="an Event")


def test_of_two_twins_the_older_corrects_until_it_is_gone(shops: Shops) -> None:
    shop = shops["older"].result()
    assert last(shop.get())["outcome"] == "Applied"
    younger = add_twin(shop, "younger", "cpuUsage", 50, {})
    blocked = condition(younger, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", "AnotherTwin")
    assert "the older twin checkout" in blocked["message"]
    shop.delete()
    wait_until(lambda: least(shop) == 2, within=WELL_WITHIN, what="given back by the older one")
    shop.until(
        lambda _: last(shop.sync(name="younger"))["outcome"] == "Applied", "the younger corrects", name="younger"
    )
    assert least(shop) == last(shop.get("younger"))["to"] > 2


def test_a_client_side_apply_of_the_old_manifest_is_answered_at_the_next_sync(shops: Shops) -> None:
    shop = shops["reverted"].result()
    shop.apply(shop.hpa())
    assert least(shop) == 2
    body = shop.sync()
    reverted, again = body["status"]["corrections"]
    assert (reverted["outcome"], again["outcome"]) == ("Reverted", "Applied")
    assert "kubectl-client-side-apply set spec.minReplicas" in reverted["message"]
    assert least(shop) == again["to"] >= 3
    wait_until(lambda: shop.events("CorrectionReverted"), within=WELL_WITHIN, what="an Event")


def test_what_replicas_cannot_help_is_left_to_a_person(shops: Shops) -> None:
    shop = shops["errors"].result()
    body = shop.get()
    (alert,) = body["status"]["drift"]["alerts"]
    assert (alert["persistent"], alert.get("eligible", False), alert["severity"]) == (True, False, "critical")
    assert alert["notEligibleReason"]
    assert alert["recommendation"]
    assert body["status"].get("corrections", []) == []
    wait_until(lambda: shop.events("ReviewNeeded"), within=WELL_WITHIN, what="an Event for a person")
    assert "not corrected" in shop.events("ReviewNeeded")[0]["note"]
