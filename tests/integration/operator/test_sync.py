"""When twins sync, and what makes them current."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devcluster.supervised import Supervised
from support.operator import condition
from support.requests import reads, requests_about, until_watched
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")


def is_current(body: Body) -> bool:
    """Read a twin as kstatus does."""
    return (
        (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
        and not condition(body, "Reconciling")
        and not condition(body, "Stalled")
        and condition(body, "Ready").get("status") == "True"
    )


def test_a_twin_is_current_soon_after_apply_and_edit_however_long_its_interval(shop: Shop) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600))
    first = shop.until(is_current, "current after apply")
    shop.merge({"spec": {"limits": {"cpuUsage": 95}}})
    second = shop.until(lambda body: body["metadata"]["generation"] == 2 and is_current(body), "current")
    assert first["status"]["observed"][0]["value"] == 40
    assert second["status"]["lastSyncTime"] >= first["status"]["lastSyncTime"]


def test_a_sync_can_be_asked_for(shop: Shop) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600))
    shop.until(is_current, "current")
    asked = datetime.now(UTC).isoformat()
    shop.merge({"metadata": {"annotations": {"twinops.dev/sync-requested-at": asked}}})
    shop.until(lambda body: body["status"].get("lastHandledSyncRequest") == asked, "the request handled")


def test_an_interval_changes_live(shop: Shop) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600))
    shop.until(is_current, "current")
    shop.merge({"spec": {"syncFrequencySeconds": 5}})
    shop.until(lambda body: body["metadata"]["generation"] == body["status"]["observedGeneration"], "the edit seen")
    shop.metric("cpuUsage", 70)
    shop.until(lambda body: body["status"]["observed"][0].get("value") == 70, "the new value, at the new pace")


def test_a_suspended_twin_rests_until_it_is_resumed(shop: Shop) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(suspend=True))
    body = shop.until_condition("Paused", "True")
    assert is_current(body)
    assert "observed" not in body["status"] or not body["status"]["observed"]
    shop.merge({"spec": {"suspend": False}})
    shop.until_condition("Paused", "False")
    shop.until(lambda body: body["status"]["observed"][0].get("value") == 40, "a value")


def test_deleting_a_twin_takes_no_time(shop: Shop) -> None:
    shop.running()
    shop.apply(shop.twin())
    shop.until_condition("Ready", "True")
    shop.cluster.kubectl("-n", shop.namespace, "delete", "digitaltwin", "checkout", "--timeout=10s")


def test_the_operator_asks_for_nothing_that_it_may_not(shop: Shop, operator: Supervised) -> None:
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin())
    shop.until_condition("Ready", "True")
    denied = [
        (event["verb"], event["requestURI"], event["responseStatus"].get("message"))
        for event in shop.cluster.audit_events()
        if "twinops-system" in event.get("user", {}).get("username", "")
        and event.get("responseStatus", {}).get("code") == 403
        # Events about a namespace that another test has left behind are refused to everybody.
        and "being terminated" not in event["responseStatus"].get("message", "")
    ]
    assert denied == []
    assert operator.process.alive


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
@pytest.mark.parametrize("hpa", [pytest.param(True, id="with an HPA"), pytest.param(False, id="without one")])
def test_a_steady_sync_reads_nothing_from_the_api_server(shop: Shop, kind: str, *, hpa: bool) -> None:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": "checkout"}
    workload = shop.deployment() | {"kind": kind}
    if kind == "StatefulSet":
        workload["spec"] |= {"serviceName": "checkout"}
    scaler = shop.hpa()
    scaler["spec"]["scaleTargetRef"] = target
    shop.apply(workload, *([scaler] if hpa else []))
    shop.metric("cpuUsage", 40)
    bounds = {"minReplicas": 2, "maxReplicas": 5}
    twin = shop.twin(syncFrequencySeconds=3600, autoCorrection={"bounds": bounds})
    twin["spec"]["source"]["targetRef"] = target
    shop.apply(twin)
    shop.until(is_current, "current")
    until_watched(shop)
    before = len(requests_about(shop))

    shop.sync(3)

    asked = requests_about(shop)[before:]
    assert reads(asked) == []
    assert set(asked) - {"patch digitaltwins"} == {"update digitaltwins/status"}


def test_a_target_that_comes_later_or_goes_is_noticed_long_before_the_next_slot(shop: Shop) -> None:
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600))
    shop.until_condition("Stalled", "True", reason="TargetNotFound")
    shop.apply(shop.deployment())
    shop.until_condition("Ready", "True")
    until_watched(shop)
    shop.cluster.kubectl("-n", shop.namespace, "delete", "deployment", "checkout")
    shop.until_condition("Stalled", "True", reason="TargetNotFound")


def test_a_target_that_comes_with_its_twin_is_found_at_once(shop: Shop) -> None:
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=3600), shop.deployment())
    shop.until(is_current, "current", within=10)
