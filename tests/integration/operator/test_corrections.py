"""Corrections as users live with them: through the real HPA controller, beside the owners of the field.

Expected CPU is 50 with 20 % allowed, so two replicas at 90 % need ceil(2 x 90 / 60) = 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.operator import condition
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

HPA = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "checkout"}
CPU_50 = {"metrics": {"cpuUsage": 50}}


def drifting(shop: Shop, name: str = "checkout", **spec: Any) -> Body:
    """Apply a twin whose CPU lies far above what is expected, and return it once the drift has lasted."""
    shop.metric("cpuUsage", 90)
    shop.apply(shop.twin(name, syncFrequencySeconds=3600, expectedState=CPU_50, **spec))
    shop.until_condition("Ready", "True", name=name)
    return shop.sync(3, name=name)


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


def test_drift_raises_the_hpa_and_says_why_everywhere(shop: Shop) -> None:
    shop.running()
    body = drifting(shop)
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

    wait_until(told, within=10, what="Events on twin, HPA and target")
    shop.ready(3)


def test_a_second_raise_waits_for_the_cooldown(shop: Shop) -> None:
    shop.running()
    drifting(shop)
    shop.ready(3)
    body = shop.sync(3)
    assert least(shop) == 3
    assert len(body["status"]["corrections"]) == 1
    assert body["status"]["recommendedReplicas"] == 5, "three replicas at 90 % would need ceil(3 x 90 / 60)"


def test_without_an_hpa_the_scale_is_raised_within_bounds(shop: Shop) -> None:
    shop.apply(shop.deployment())
    shop.ready(2)
    body = drifting(shop, autoCorrection={"bounds": {"minReplicas": 2, "maxReplicas": 5}})
    assert (last(body)["field"], last(body)["to"], last(body)["object"]["kind"]) == ("spec.replicas", 3, "Deployment")
    shop.ready(3)
    shop.delete()
    shop.ready(2)


def test_without_an_hpa_and_bounds_nothing_is_written(shop: Shop) -> None:
    shop.apply(shop.deployment())
    shop.ready(2)
    body = drifting(shop)
    blocked = condition(body, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", "NoBounds")
    assert "set minReplicas and maxReplicas in spec.autoCorrection.bounds" in blocked["message"]
    assert last(body)["outcome"] == "Blocked"
    assert body["status"].get("originals", []) == []


def test_preview_only_records_and_the_figure_is_published(shop: Shop, operator: Supervised) -> None:
    shop.running()
    body = drifting(shop, autoCorrection={"mode": "Preview"})
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
    wait_until(lambda: shop.events("CorrectionPreviewed"), within=10, what="an Event")


def patch(**spec: Any) -> Callable[[Shop], None]:
    """Return what merges this into the twin's spec."""
    return lambda shop: shop.merge({"spec": spec})


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(patch(autoCorrection={"mode": "Preview"}), id="mode-preview"),
        pytest.param(patch(autoCorrection={"enabled": False}), id="disabled"),
        pytest.param(patch(suspend=True), id="suspended"),
        pytest.param(Shop.delete, id="deleted"),
    ],
)
def test_what_was_raised_is_given_back_and_its_owner_can_go_on(shop: Shop, ends: Callable[[Shop], None]) -> None:
    shop.running()
    drifting(shop)
    assert least(shop) == 3
    ends(shop)
    wait_until(lambda: least(shop) == 2, within=10, what="the original value")
    assert owners(shop) == {("kubectl-client-side-apply", "Update")}
    if ends is not Shop.delete:
        body = shop.until(lambda body: not body["status"].get("originals"), "nothing held")
        assert (last(body)["action"], last(body)["outcome"]) == ("GiveBack", "Applied")
        shop.until(lambda body: "twinops.dev/give-back" not in body["metadata"]["finalizers"], "no finalizer of ours")
    else:
        shop.until_gone()
    assert wait_until(lambda: about_the_twin(shop, "CorrectionGivenBack"), within=10, what="an Event") == 1
    shop.apply(shop.hpa(least=4))
    assert least(shop) == 4


@pytest.mark.parametrize(
    ("manager", "reason", "says"),
    [
        pytest.param("argocd-controller", "OwnedByGitOps", "RespectIgnoreDifferences=true", id="argo-cd"),
        pytest.param("kustomize-controller", "OwnedByGitOps", "spec.ignore of the Kustomization", id="flux"),
        pytest.param("kubectl", "OwnedByServerSideApply", "leave the field out", id="kubectl-server-side"),
    ],
)
def test_a_field_that_somebody_applies_is_left_alone(shop: Shop, manager: str, reason: str, says: str) -> None:
    shop.apply(shop.deployment())
    shop.apply(shop.hpa(), manager=manager)
    shop.ready(2)
    body = drifting(shop)
    blocked = condition(body, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", reason)
    assert says in blocked["message"]
    assert (last(body)["outcome"], last(body)["to"]) == ("Blocked", 3)
    assert last(body)["message"].startswith(reason)
    assert owners(shop) == {(manager, "Apply")}
    wait_until(lambda: shop.events("CorrectionBlocked"), within=10, what="an Event")


def test_of_two_twins_the_older_corrects_until_it_is_gone(shop: Shop) -> None:
    shop.running()
    older = drifting(shop, "older")
    assert last(older)["outcome"] == "Applied"
    younger = drifting(shop, "younger")
    blocked = condition(younger, "CorrectionBlocked")
    assert (blocked["status"], blocked["reason"]) == ("True", "AnotherTwin")
    assert "older" in blocked["message"]
    shop.delete("older")
    wait_until(lambda: least(shop) == 2, within=10, what="given back by the older one")
    younger = shop.until(
        lambda _: last(shop.sync(name="younger"))["outcome"] == "Applied", "the younger corrects", name="younger"
    )
    assert least(shop) == last(younger)["to"] > 2


def test_a_client_side_apply_of_the_old_manifest_is_answered_at_the_next_sync(shop: Shop) -> None:
    shop.running()
    drifting(shop)
    shop.apply(shop.hpa())
    assert least(shop) == 2
    body = shop.sync()
    assert least(shop) == 3
    reverted, again = body["status"]["corrections"]
    assert (reverted["outcome"], again["outcome"]) == ("Reverted", "Applied")
    assert "kubectl-client-side-apply set spec.minReplicas" in reverted["message"]
    wait_until(lambda: shop.events("CorrectionReverted"), within=10, what="an Event")


def test_what_replicas_cannot_help_is_left_to_a_person(shop: Shop) -> None:
    shop.running()
    shop.metric("errorRate", 0.2)
    shop.apply(
        shop.twin(metrics=("errorRate",), syncFrequencySeconds=3600, expectedState={"metrics": {"errorRate": 0.01}})
    )
    shop.until_condition("Ready", "True")
    body = shop.sync(3)
    (alert,) = body["status"]["drift"]["alerts"]
    assert (alert["persistent"], alert.get("eligible", False), alert["severity"]) == (True, False, "critical")
    assert alert["notEligibleReason"]
    assert alert["recommendation"]
    assert body["status"].get("corrections", []) == []
    wait_until(lambda: shop.events("ReviewNeeded"), within=10, what="an Event for a person")
    assert "not corrected" in shop.events("ReviewNeeded")[0]["note"]
