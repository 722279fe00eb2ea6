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

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
HOUR = 3600


def last_sync(port: int, shop: Shop) -> float:
    """Return when the twin of this shop was last synced; twins of other tests may sync at any time."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [s for f in families for s in f.samples if s.name == "twinops_last_sync_timestamp_seconds"]
    return next(s.value for s in samples if s.labels["namespace"] == shop.namespace)


@contextmanager
def running(ground: Ground, name: str, **settings: str) -> Iterator[int]:
    """Run an operator and yield where its metrics are."""
    shared = ground.cluster.service_account_kubeconfig(SYSTEM, ground.account)
    kubeconfig = shared.with_name(f"{name}.kubeconfig")
    shutil.copyfile(shared, kubeconfig)
    port = free_port()
    with ground.run(name, kubeconfig, env={"TWINOPS_IDENTITY": name, "TWINOPS_LISTEN_PORT": str(port), **settings}):
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


def test_what_only_a_status_says_wakes_nobody(ground: Ground) -> None:
    # By default requested syncs are seconds apart, so that few would show however many were asked for.
    with running(ground, "wakes", TWINOPS_SYNC_SPACING_SECONDS="0.01") as port:
        shop = open_with_twin(ground, "wakes-nobody")
        until_watched(shop)
        times = {last_sync(port, shop)}
        hpa = f"/apis/autoscaling/v2/namespaces/{shop.namespace}/horizontalpodautoscalers/checkout"
        deployment = f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/checkout"
        for n in range(100):
            ground.cluster.api.merge(f"{hpa}/status", {"status": {"currentReplicas": n, "desiredReplicas": n}})
            ground.cluster.api.merge(f"{deployment}/status", {"status": {"unavailableReplicas": n % 3}})
            times.add(last_sync(port, shop))
        # Sent after all of these, and so seen after them.
        ground.cluster.api.merge(deployment, {"spec": {"minReadySeconds": 1}})
        ground.cluster.api.merge(hpa, {"spec": {"maxReplicas": 9}})
        before = max(times)
        wait_until(lambda: last_sync(port, shop) > before, within=WELL_WITHIN, what="a sync")
        # The twin may sync by itself a few times, while its history is being read.
        assert len({*times, last_sync(port, shop)}) < 10


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
