"""What breaks around the operator: the metrics backend, the API server, and the target mid-sync."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.exporter import Exporter
from support.ground import Ground, made
from support.operator import condition
from support.shop import WELL_WITHIN, Body, Shop

EXPECTED = {"metrics": {"cpuUsage": 50}}


@pytest.fixture
def backend(cluster: DevCluster, exporter: Exporter, namespace: str) -> Iterator[Prometheus]:
    """A Prometheus that may be stopped, and scrapes what the run's own does."""
    del exporter
    prometheus = cluster.start_prometheus(namespace, PrometheusOptions(scrape_interval="1s", scrape_kwok=False))
    (target,) = cluster.prometheus.targets_dir.glob("exporter.json")
    (prometheus.targets_dir / "exporter.json").write_text(target.read_text())
    yield prometheus
    prometheus.process.kill()


def requested_by(shop: Shop, **spec: Any) -> Body:
    """Build a twin that asks the MetricsSource named after its namespace."""
    body = shop.twin(**spec)
    body["spec"]["source"]["metricsSourceRef"] = {"name": shop.namespace}
    return body


@pytest.mark.usefixtures("operator")
def test_a_backend_that_is_down_at_the_start_is_waited_for(shop: Shop, backend: Prometheus) -> None:
    backend.process.kill()
    shop.apply(shop.deployment())
    shop.source(shop.namespace, backend.url)
    shop.metric("cpuUsage", 40)
    shop.apply(requested_by(shop))
    body = shop.until_condition("Reconciling", "True")
    assert condition(body, "Ready")["status"] == "Unknown"
    assert condition(body, "Stalled") == {}
    assert condition(body, "MetricsAvailable")["reason"] == "MetricsBackendUnavailable"
    (metric,) = body["status"]["observed"]
    assert (metric["quality"], metric["reason"], metric.get("value")) == ("Error", "MetricsUnavailable", None)
    backend.process.start()
    shop.until(lambda _: available(shop.sync()), "a value")
    body = shop.get()
    assert condition(body, "Ready")["status"] == "True"
    assert condition(body, "Reconciling") == {}


@pytest.mark.usefixtures("operator")
def test_a_backend_that_goes_later_leaves_the_twin_ready_and_is_asked_again(shop: Shop, backend: Prometheus) -> None:
    shop.running()
    shop.source(shop.namespace, backend.url)
    shop.metric("cpuUsage", 90)
    shop.apply(requested_by(shop, expectedState=EXPECTED))
    shop.until(lambda _: available(shop.sync()), "a value")
    before = shop.lasting()["status"]
    assert before["corrections"][0]["outcome"] == "Applied"

    backend.process.kill()
    body = shop.sync(4)
    assert condition(body, "MetricsAvailable")["reason"] == "MetricsBackendUnavailable"
    assert condition(body, "Ready")["status"] == "True", "three failures in less than two minutes"
    assert "last sync failed" in condition(body, "Ready")["message"]
    assert body["status"]["failedSyncs"] >= 4
    assert body["status"]["failingSince"]
    assert body["status"]["corrections"] == before["corrections"]
    assert body["status"]["originals"] == before["originals"]
    assert shop.live_hpa()["spec"]["minReplicas"] == 3

    backend.process.start()
    shop.until(lambda _: available(shop.sync()), "a value")
    body = shop.get()
    assert body["status"]["failedSyncs"] == 0
    assert "failingSince" not in body["status"]
    assert condition(body, "Ready")["reason"] == "Synced"


@pytest.mark.usefixtures("operator")
def test_a_target_deleted_mid_sync_fails_that_correction_and_nothing_else(shop: Shop, backend: Prometheus) -> None:
    shop.apply(shop.deployment())
    shop.ready(2)
    shop.source(shop.namespace, backend.url)
    shop.metric("cpuUsage", 40)
    bounds = {"minReplicas": 2, "maxReplicas": 5}
    shop.apply(requested_by(shop, syncFrequencySeconds=3600, expectedState=EXPECTED, autoCorrection={"bounds": bounds}))
    shop.until(lambda _: available(shop.sync()), "a value")
    shop.metric("cpuUsage", 90)
    shop.seen(2)
    shop.until(lambda body: newest(backend) > seconds(body["status"]["observed"][0]["time"]), "a third sample")
    # The third sample outside is the one that is corrected; it hangs in the backend, with the target read already.
    backend.process.pause()
    shop.ask()
    wait_until(lambda: shop.ask() and shop.events("SyncInProgress"), within=WELL_WITHIN, what="a sync that runs")
    assert "sync already in progress" in shop.events("SyncInProgress")[0]["note"]
    shop.cluster.api.delete(f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/checkout")
    backend.process.resume()

    body = shop.until_condition("Stalled", "True", reason="TargetNotFound")
    assert [record["outcome"] for record in body["status"].get("corrections", ())] in ([], ["Failed"])
    shop.apply(shop.deployment())
    shop.until_condition("Ready", "True")
    # How many of the samples had counted before the target went depends on the moment.
    shop.until(lambda _: applied(shop.sync()), "the correction")
    shop.ready(3)


def applied(body: Body) -> bool:
    """Tell whether the newest decision was carried out."""
    records = body["status"].get("corrections") or [{}]
    return bool(records[-1].get("outcome") == "Applied")


def newest(backend: Prometheus) -> int:
    """Return the time of the newest sample, in whole Unix seconds as status has it."""
    query = urlencode({"query": "max(timestamp(shop_cpuUsage))"})
    with urlopen(f"{backend.url}/api/v1/query?{query}", timeout=5) as answer:  # noqa: S310 - ours
        return int(float(json.load(answer)["data"]["result"][0]["value"][1]))


def seconds(time: str) -> int:
    """Return a time of the API server in Unix seconds."""
    return int(datetime.fromisoformat(time).timestamp())


def available(body: Body) -> bool:
    return condition(body, "MetricsAvailable").get("status") == "True"


@dataclass
class Running:
    """An operator on a control plane of its own, and a shop that it has corrected."""

    ground: Ground
    operator: Supervised
    shop: Shop
    status: Body

    def applied(self) -> int:
        """Return how often the HPA was written to."""
        return len(self.ground.hpa_writes(self.shop))

    def unchanged(self) -> None:
        """Check that nothing was forgotten and nothing done twice."""
        status = self.shop.sync()["status"]
        assert status["corrections"] == self.status["corrections"]
        assert status["originals"] == self.status["originals"]
        assert self.shop.live_hpa()["spec"]["minReplicas"] == 3
        assert self.applied() == 1


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An operator with the lease times of a real one.

    On ground of its own: after an outage kwok and the controllers take half a minute to come back.
    """
    with made(tmp_path_factory.mktemp("faults")) as ground, ground.operator("faults") as operator:
        shop = ground.shop("api-faults")
        shop.running()
        shop.metric("cpuUsage", 90)
        shop.apply(shop.twin(expectedState=EXPECTED, syncFrequencySeconds=5))
        shop.until_condition("Ready", "True")
        status = shop.lasting()["status"]
        assert status["corrections"][0]["outcome"] == "Applied"
        yield Running(ground, operator, shop, status)


def test_an_api_server_that_hangs_for_a_moment_costs_nothing(running: Running) -> None:
    shop, apiserver = running.shop, running.ground.cluster.apiserver
    pid = running.operator.process.pid
    apiserver.pause()
    try:
        # The length of the fault, not a wait for luck: it is shorter than the renew deadline of ten seconds.
        time.sleep(3)
    finally:
        apiserver.resume()
    shop.merge({"spec": {"limits": {"cpuUsage": 95}}})
    shop.until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"], "the edit seen")
    running.unchanged()
    assert (running.operator.process.pid, running.operator.exits) == (pid, [])


def test_an_api_server_that_is_gone_for_twenty_seconds_restarts_the_leader_and_loses_nothing(running: Running) -> None:
    shop, cluster = running.shop, running.ground.cluster
    runs = len(running.operator.exits)
    cluster.apiserver.stop()
    try:
        time.sleep(20)
        assert running.operator.exits[runs : runs + 1] == [1], "a leader that lost its lease exits"
    finally:
        cluster.apiserver.start()
    shop.until(lambda _: running.operator.process.alive, "the operator runs again")
    before = running.status["lastSyncTime"]
    shop.until(lambda body: body["status"]["lastSyncTime"] > before, "syncs go on", within=40)
    running.unchanged()
    assert shop.events("CorrectionReverted") == []
