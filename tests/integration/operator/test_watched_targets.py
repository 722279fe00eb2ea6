"""Targets read from a watch: while it is cut, while a right is missing, and when nothing happens but a status."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devcluster.ports import free_port
from devcluster.waiting import wait_until
from support.ground import Ground
from support.operator import SYSTEM
from support.requests import reads, requests_about, until_watched
from support.shop import WELL_WITHIN, Shop
from twinops.api import GROUP, VERSION
from twinops.api.twin.kind import DIGITAL_TWIN

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
HOUR = 3600


def syncs(port: int) -> float:
    """Return how many syncs the operator has ended."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return sum(s.value for f in families for s in f.samples if s.name == "twinops_sync_total")


@contextmanager
def running(ground: Ground, name: str) -> Iterator[int]:
    """Run an operator and yield where its metrics are."""
    shared = ground.cluster.service_account_kubeconfig(SYSTEM, ground.account)
    kubeconfig = shared.with_name(f"{name}.kubeconfig")
    shutil.copyfile(shared, kubeconfig)
    port = free_port()
    with ground.run(name, kubeconfig, env={"TWINOPS_IDENTITY": name, "TWINOPS_LISTEN_PORT": str(port)}):
        yield port
    ground.end_lease()


@contextmanager
def allowed(ground: Ground, *verbs: str) -> Iterator[None]:
    """Let the operator do nothing but this with Deployments."""
    roles = ground.cluster.api.get(ROLES)["items"]
    role = next(role for role in roles if role["metadata"]["name"].endswith("-observe"))
    path = f"{ROLES}/{role['metadata']['name']}"
    rules = [rule for rule in role["rules"] if "deployments" not in rule["resources"]]
    ours = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": list(verbs)}
    ground.cluster.api.merge(path, {"rules": [*rules, ours]})
    try:
        yield
    finally:
        ground.cluster.api.merge(path, {"rules": role["rules"]})


def open_with_twin(ground: Ground, namespace: str) -> Shop:
    """Open a shop whose twin is ready and has no slot for an hour."""
    shop = ground.shop(namespace)
    shop.running()
    shop.metric("cpuUsage", 40)
    shop.apply(shop.twin(syncFrequencySeconds=HOUR))
    shop.until_condition("Ready", "True", within=40)
    return shop


def without_other_twins(ground: Ground) -> None:
    """Delete the twins of other tests, whose syncs would count. An operator must run."""
    ground.cluster.kubectl("delete", "digitaltwins", "--all", "--all-namespaces", "--wait=false")
    everywhere = f"/apis/{GROUP}/{VERSION}/{DIGITAL_TWIN.plural}"
    wait_until(lambda: not ground.cluster.api.get(everywhere)["items"], within=WELL_WITHIN, what="no twin")


def test_what_only_a_status_says_wakes_nobody(ground: Ground) -> None:
    with running(ground, "wakes") as port:
        without_other_twins(ground)
        shop = open_with_twin(ground, "wakes-nobody")
        until_watched(shop)
        before = syncs(port)
        hpa = f"/apis/autoscaling/v2/namespaces/{shop.namespace}/horizontalpodautoscalers/checkout"
        deployment = f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/checkout"
        for n in range(100):
            ground.cluster.api.merge(f"{hpa}/status", {"status": {"currentReplicas": n, "desiredReplicas": n}})
            ground.cluster.api.merge(f"{deployment}/status", {"status": {"unavailableReplicas": n % 3}})
        # Sent after all of these, and so seen after them.
        ground.cluster.api.merge(deployment, {"spec": {"minReadySeconds": 1}})
        ground.cluster.api.merge(hpa, {"spec": {"maxReplicas": 9}})
        shop.until(lambda _: syncs(port) > before, "a sync", within=15)
        assert syncs(port) - before <= 2


@pytest.mark.parametrize("verbs", [("get",), ("get", "list")], ids=["get only", "no watch"])
def test_without_the_right_to_watch_targets_are_read_live(ground: Ground, verbs: tuple[str, ...]) -> None:
    name = f"rights-{len(verbs)}"
    with allowed(ground, *verbs), running(ground, name):
        shop = open_with_twin(ground, name)
        shop.sync()
        before = len(requests_about(shop))
        shop.sync(2)
        assert reads(requests_about(shop)[before:]) == ["get deployments"] * 2
        ground.cluster.kubectl("-n", shop.namespace, "delete", "deployment", "checkout")
        shop.ask()
        shop.until_condition("Stalled", "True", reason="TargetNotFound")


def test_after_the_watch_was_cut_it_is_current_again(ground: Ground) -> None:
    with running(ground, "cut"):
        shop = open_with_twin(ground, "watch-cut")
        until_watched(shop)
        ground.cluster.apiserver.stop()
        ground.cluster.apiserver.start()
        ground.cluster.kubectl("-n", shop.namespace, "scale", "deployment", "checkout", "--replicas=4")
        shop.until(lambda _: shop.sync()["status"].get("replicas") == 4, "four replicas", within=60)
        until_watched(shop)
        ground.cluster.kubectl("-n", shop.namespace, "delete", "deployment", "checkout")
        shop.until_condition("Stalled", "True", reason="TargetNotFound")
