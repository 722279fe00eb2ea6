"""One twin, seen, out of sight bit by bit, and seen again: status, table, Events and metrics say the same of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devcluster.ports import free_port
from devcluster.waiting import wait_until
from support.ground import QUICK_LEASE, Ground
from support.operator import SYSTEM, condition
from support.shop import WELL_WITHIN, Body, Shop

GRACE_SECONDS = 2
GAUGES = ("twinops_health_score", "twinops_recommended_replicas", "twinops_drift_detected")
COLUMNS = ("NAME", "TARGET", "HEALTH", "DRIFT", "REPLICAS", "PREDICTED", "READY", "LAST SYNC")
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


@dataclass
class Scene:
    """A shop, and the operator that serves it."""

    ground: Ground
    shop: Shop
    port: int

    def gauges(self) -> dict[str, float]:
        """Return what the operator publishes of the twin, a risk by its metric."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        ours = [s for f in families for s in f.samples if s.labels.get("namespace") == self.shop.namespace]
        found = {s.name: s.value for s in ours if s.name in GAUGES}
        return found | {s.labels["metric"]: s.value for s in ours if s.name == "twinops_risk_probability"}

    def agrees(self) -> bool:
        """Tell whether metrics say what the status says; they may be one sync ahead of it."""
        status = self.shop.get()["status"]
        drifted = {"True": 1.0, "False": 0.0}.get(condition({"status": status}, "Drifted")["status"])
        told = dict(zip(GAUGES, (status.get("healthScore"), status.get("recommendedReplicas"), drifted), strict=True))
        told |= {risk["metric"]: risk["probability"] for risk in status.get("risks", ())}
        return {name: float(value) for name, value in told.items() if value is not None} == self.gauges()

    def until_agreed(self) -> None:
        """Wait until metrics say what the status says."""
        wait_until(self.agrees, within=WELL_WITHIN, what="status and metrics agree", interval=0.3)

    def table(self) -> dict[str, str]:
        """Return what ``kubectl get`` shows, by column."""
        header, row = self.shop.cluster.kubectl("-n", self.shop.namespace, "get", "digitaltwins").splitlines()
        starts = [header.index(name) for name in COLUMNS]
        return {name: row[at:end].strip() for name, at, end in zip(COLUMNS, starts, [*starts[1:], None], strict=True)}

    def told(self) -> set[str]:
        """Return the reasons of all Events so far."""
        listed = self.shop.cluster.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.shop.namespace}/events")
        return {event["reason"] for event in listed["items"]}

    def until_unknown(self, *kinds: str) -> Body:
        """Wait until these conditions are unknown; until then the score is what it was, or none."""
        scores = set()

        def unknown(body: Body) -> bool:
            scores.add(body["status"].get("healthScore"))
            return all(condition(body, kind)["status"] == "Unknown" for kind in kinds)

        before = self.shop.get()["status"].get("healthScore")
        body = self.synced(unknown, f"{kinds} unknown")
        assert scores <= {before, None}
        return body

    def synced(self, holds: Callable[[Body], bool], what: str) -> Body:
        """Ask for syncs until one leaves the twin so."""
        bodies: list[Body] = []

        def look() -> bool:
            bodies.append(self.shop.sync())
            return holds(bodies[-1])

        wait_until(look, within=WELL_WITHIN, what=what)
        return bodies[-1]


@pytest.fixture
def scene(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A shop, and an operator that gives up a last verdict after a few seconds."""
    with running(ground) as port:
        yield Scene(ground, ground.shop(f"unseen-{len(request.node.name)}"), port)


@contextmanager
def running(ground: Ground) -> Iterator[int]:
    """Run an operator and yield where its metrics are."""
    shared = ground.cluster.service_account_kubeconfig(SYSTEM, ground.account)
    kubeconfig = shared.with_name("unseen.kubeconfig")
    shutil.copyfile(shared, kubeconfig)
    port = free_port()
    env = {"TWINOPS_IDENTITY": "unseen", "TWINOPS_LISTEN_PORT": str(port), "TWINOPS_GRACE_SECONDS": str(GRACE_SECONDS)}
    with ground.run("unseen", kubeconfig, env=QUICK_LEASE | env):
        yield port


def test_what_is_not_seen_is_neither_well_nor_ill(scene: Scene) -> None:
    shop = scene.shop
    shop.apply(shop.deployment())
    shop.ready(2)
    shop.metric("latencyMs", 400)
    shop.metric("cpuUsage", 50)
    shop.apply(
        shop.twin(
            metrics=("latencyMs", "cpuUsage"),
            expectedState={"metrics": {"latencyMs": 100, "cpuUsage": 50}},
            limits={"latencyMs": 300},
            autoCorrection={"enabled": False},
        )
    )
    shop.until_condition("Ready", "True")
    shop.lasting()
    body = shop.until(
        lambda body: any(risk["persistent"] for risk in body["status"].get("risks", ())), "a lasting risk"
    )
    assert body["status"]["healthScore"] == 50
    scene.until_agreed()
    seen = scene.table()
    assert (seen["HEALTH"], seen["REPLICAS"], seen["READY"]) == ("50", "2/2", "True")
    assert seen["DRIFT"].startswith("latencyMs +300% (critical)")
    assert seen["PREDICTED"].startswith("Latency is at 400 ms")

    # Its exporter dies; what is left would be 100.
    shop.no_metric("latencyMs")
    body = scene.until_unknown("Healthy", "Drifted")
    assert "risks" not in body["status"]
    assert condition(body, "Ready")["status"] == "True"
    scene.until_agreed()
    assert scene.gauges().keys() == {"twinops_recommended_replicas"}
    assert (scene.table()["HEALTH"], scene.table()["DRIFT"]) == ("", "unknown")

    # Nothing is left of what was measured.
    shop.no_metric("cpuUsage")
    body = scene.synced(lambda body: "recommendedReplicas" not in body["status"], "nothing recommended")
    assert condition(body, "PredictionsAvailable")["status"] == "False"
    scene.until_agreed()
    assert scene.gauges() == {}

    # Not even the target is.
    shop.cluster.api.delete(f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/checkout")
    shop.until_condition("Stalled", "True", reason="TargetNotFound")
    scene.synced(lambda body: body["status"]["summary"]["replicas"] == "unknown", "replicas unknown")
    assert "replicas" not in shop.get()["status"]
    scene.until_agreed()
    assert scene.gauges() == {}
    nothing = scene.table()
    assert (nothing["HEALTH"], nothing["DRIFT"], nothing["REPLICAS"], nothing["PREDICTED"], nothing["READY"]) == (
        "",
        "unknown",
        "unknown",
        "unknown",
        "False",
    )
    assert scene.told().isdisjoint({"RiskPassed", "DriftResolved", "Healthy", "Recovered"})

    # All is back, and well.
    shop.metric("latencyMs", 100)
    shop.metric("cpuUsage", 50)
    shop.apply(shop.deployment())
    body = scene.synced(lambda body: condition(body, "Healthy")["status"] == "True", "well again")
    assert body["status"]["healthScore"] == 100
    assert condition(body, "Drifted")["status"] == "False"
    shop.until(lambda _: {"DriftResolved", "Healthy", "Recovered"} <= scene.told(), "the Events")
    assert "RiskPassed" not in scene.told()
    scene.until_agreed()
    assert scene.gauges()["twinops_health_score"] == 100
    assert (scene.table()["HEALTH"], scene.table()["DRIFT"]) == ("100", "none")


def test_a_right_that_is_taken_away_is_named(scene: Scene) -> None:
    shop = scene.shop
    shop.apply(shop.deployment())
    shop.metric("cpuUsage", 50)
    shop.apply(shop.twin(expectedState={"metrics": {"cpuUsage": 50}}))
    shop.until_condition("Healthy", "True")
    path, role = observing(scene)
    reading = [rule for rule in role["rules"] if "deployments" not in rule["resources"]]
    shop.cluster.api.merge(path, {"rules": reading})
    # Rights are checked when a watch is opened, not while it lasts: at the latest five minutes later.
    shop.cluster.apiserver.stop()
    shop.cluster.apiserver.start()
    try:
        body = shop.until_condition("Stalled", "True", reason="Forbidden")
        assert f"may not get deployments.apps in namespace {shop.namespace}" in condition(body, "Stalled")["message"]
        assert "rbac.create" in condition(body, "Stalled")["message"]
        scene.until_unknown("Healthy", "Drifted")
        scene.until_agreed()
        assert scene.gauges() == {}
        wait_until(lambda: "Forbidden" in scene.told(), within=WELL_WITHIN, what="an Event")
    finally:
        shop.cluster.api.merge(path, {"rules": role["rules"]})
    scene.synced(lambda body: condition(body, "Ready")["status"] == "True", "ready again")
    scene.until_agreed()


def observing(scene: Scene) -> tuple[str, Body]:
    """Return path and body of the role by which the operator observes."""
    for role in scene.shop.cluster.api.get(ROLE)["items"]:
        if role["metadata"]["name"].endswith("-observe"):
            return f"{ROLE}/{role['metadata']['name']}", role
    raise AssertionError("the chart has no observing role")
