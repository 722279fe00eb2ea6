"""A MetricsSource that takes every request and never answers: its twins say so, and nobody else notices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest

from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.ground import Ground
from support.operator import condition
from support.shop import Body, Shop
from support.silent import silent_server

HUNG = 75
WELL = 5
INTERVAL = 5
SYNCS = 3


@pytest.fixture
def shop(ground: Ground) -> Iterator[Shop]:
    """A shop in which one source answers, and another never does."""
    shop = ground.shop("hung-source")
    shop.metric("cpuUsage", 40)
    shop.apply(shop.deployment())
    with silent_server() as url:
        shop.source(shop.namespace, url)
        yield shop
    shop.cluster.kubectl("delete", "metricssource", shop.namespace)
    shop.cluster.kubectl("delete", "digitaltwins", "--all", "-n", shop.namespace, "--wait=false")


def make(shop: Shop) -> None:
    """Make the twins of the source that hangs, and then those of the one that does not."""
    path = f"/apis/twinops.dev/v1alpha1/namespaces/{shop.namespace}/digitaltwins"

    def create(name: str) -> None:
        body = shop.twin(name, autoCorrection={"mode": "Preview"}, syncFrequencySeconds=INTERVAL)
        if name.startswith("hung"):
            body["spec"]["source"]["metricsSourceRef"] = {"name": shop.namespace}
        shop.cluster.api.create(path, body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, [f"hung-{n}" for n in range(HUNG)]))
        list(pool.map(create, [f"well-{n}" for n in range(WELL)]))


def fetch(operator: Supervised, path: str) -> str:
    """Ask the operator's own HTTP server; raises unless it answers 200."""
    (port,) = re.findall(r"port=.*?(\d+)", operator.process.log.read_text())[-1:]
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def last_syncs(operator: Supervised, shop: Shop) -> dict[str, float]:
    """Return by twin the Unix time of its last sync."""
    line = re.compile(rf'twinops_last_sync_timestamp_seconds{{namespace="{shop.namespace}",twin="(well-\d+)"}} (\S+)')
    return {name: float(at) for name, at in line.findall(fetch(operator, "/metrics"))}


def on_time(operator: Supervised, shop: Shop) -> None:
    """Check that every healthy twin syncs again and again, with room for two intervals in all for a slow machine.

    In line behind the others it would wait for about a minute and a half.
    """
    seen: dict[str, set[float]] = {name: set() for name in last_syncs(operator, shop)}

    def synced() -> bool:
        assert "0 of" in fetch(operator, "/healthz")
        for name, at in last_syncs(operator, shop).items():
            seen[name].add(at)
        return all(len(times) > SYNCS for times in seen.values())

    within = (SYNCS + 2) * INTERVAL
    wait_until(synced, within=within, what=f"{SYNCS} more syncs of every healthy twin", interval=0.5)


def test_twins_of_other_sources_stay_on_time_and_the_process_is_well(ground: Ground, shop: Shop) -> None:
    with ground.operator("hung-source") as operator:
        ground.until_leads("hung-source")
        make(shop)
        wait_until(lambda: len(last_syncs(operator, shop)) == WELL, within=30, what="every healthy twin has synced")

        on_time(operator, shop)

        def told(body: Body) -> bool:
            found = condition(body, "MetricsAvailable")
            return found.get("reason") == "MetricsBackendUnavailable" and "is not asked since" in found["message"]

        shop.until(told, "the source is known not to answer", name="hung-0")
        assert f'twinops_metrics_source_up{{source="{shop.namespace}"}} 0.0' in fetch(operator, "/metrics")
        assert condition(shop.get("well-0"), "MetricsAvailable")["status"] == "True"

        shop.source(shop.namespace, shop.cluster.prometheus_url)
        shop.until(
            lambda body: condition(body, "MetricsAvailable").get("status") == "True",
            "the source that answers now is asked again",
            name="hung-0",
        )
        assert operator.exits == []
