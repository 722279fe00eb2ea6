"""Many twins deleted at once, in the middle of their syncs: all go in seconds, and none hangs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from devcluster.waiting import wait_until
from support.ground import Ground
from support.shop import Body, Shop
from support.silent import silent_server

MANY, SOME = 200, 60
SECONDS = 20
FINALIZER = "twinops.dev/daemon"

LEASE = {
    "TWINOPS_LEASE_DURATION_SECONDS": "10",
    "TWINOPS_RENEW_DEADLINE_SECONDS": "8",
    "TWINOPS_RETRY_PERIOD_SECONDS": "0.5",
    "TWINOPS_LEASE_REQUEST_TIMEOUT_SECONDS": "2",
}
"""A leader that was killed is followed soon, and two hundred twins on a busy machine do not cost it the lease."""


@pytest.fixture
def shop(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop in which one source answers, and another takes every request and never does."""
    name = "many-" + str(request.node.name).removeprefix("test_")[:20].strip("_").replace("_", "-")
    shop = ground.shop(name)
    shop.metric("cpuUsage", 40)
    shop.apply(shop.deployment())
    with silent_server() as url:
        shop.source(name, url, timeoutSeconds=60)
        yield shop
    shop.cluster.kubectl("delete", "metricssource", name)


def collection(shop: Shop) -> str:
    return f"/apis/twinops.dev/v1alpha1/namespaces/{shop.namespace}/digitaltwins"


def twins(shop: Shop) -> list[Body]:
    found: list[Body] = shop.cluster.api.get(collection(shop))["items"]
    return found


def make(shop: Shop, count: int) -> None:
    """Make twins, most of which hang in a sync, and wait until every one is served."""

    def create(number: int) -> None:
        body = shop.twin(f"twin-{number}", autoCorrection={"mode": "Preview"}, syncFrequencySeconds=60)
        # Anybody may have written this before kopf is to.
        body["metadata"]["annotations"] = {"twinops.dev/touched-at": "{[", "kopf.zalando.org/touch-dummy": "{["}
        if number % 10:
            body["spec"]["source"]["metricsSourceRef"] = {"name": shop.namespace}
        shop.cluster.api.create(collection(shop), body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(count)))

    def served() -> bool:
        found = twins(shop)
        return len(found) == count and all(FINALIZER in (twin["metadata"].get("finalizers") or ()) for twin in found)

    wait_until(served, within=60, what="every twin is served", interval=0.5)


def delete(shop: Shop, count: int) -> None:
    # One by one: the API server takes its time over a whole collection.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(shop.delete, [f"twin-{number}" for number in range(count)]))


def until_gone(shop: Shop) -> None:
    wait_until(lambda: not twins(shop), within=SECONDS, what="all twins are gone", interval=0.5)


def test_many_deleted_in_the_middle_of_syncs(ground: Ground, shop: Shop) -> None:
    with ground.operator("deletion", lease=LEASE) as running:
        ground.until_leads("deletion")
        make(shop, MANY)
        delete(shop, MANY)
        until_gone(shop)
        assert running.exits == []


def test_many_deleted_while_the_operator_restarts(ground: Ground, shop: Shop) -> None:
    with ground.operator("deletion-1", lease=LEASE) as first:
        ground.until_leads("deletion-1")
        make(shop, SOME)
        delete(shop, SOME)
        first.process.kill()
    with ground.operator("deletion-2", lease=LEASE):
        ground.until_leads("deletion-2")
        until_gone(shop)
