"""What a person must mend: said in status with a reason and the way to mend it, and over as soon as it is mended.

Every twin here syncs once an hour by itself, so that whatever happens sooner happens because of a watch.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from devcluster.ports import free_port
from support.exporter import Exporter
from support.operator import SYSTEM, condition
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"


@dataclass
class World:
    """What a case may change."""

    shop: Shop
    source: str

    def twin(self, query: str = 'shop_cpuUsage{namespace="$(namespace)"}', source: str | None = None) -> Body:
        """Build a twin that asks this query of this source."""
        return self.shop.twin(
            source={
                "systemType": "Custom",
                "targetRef": {"name": "checkout"},
                "metricsSourceRef": {"name": source or "default"},
                "metrics": [{"name": "cpuUsage", "query": query}],
            },
            syncFrequencySeconds=3600,
        )


def no_source(world: World) -> Callable[[], None]:
    world.shop.apply(world.twin(source=world.source))
    return lambda: world.shop.source(world.source, world.shop.cluster.prometheus_url)


def no_secret(world: World) -> Callable[[], None]:
    auth = {"bearerTokenSecretRef": {"name": world.source, "key": "token"}}
    world.shop.source(world.source, world.shop.cluster.prometheus_url, auth=auth)
    world.shop.apply(world.twin(source=world.source))
    secret = {"metadata": {"name": world.source}, "data": {"token": base64.b64encode(b"s3cret").decode()}}

    def mend() -> None:
        world.shop.cluster.api.create(SECRETS, secret)

    return mend


def no_target(world: World) -> Callable[[], None]:
    world.shop.cluster.api.delete(f"/apis/apps/v1/namespaces/{world.shop.namespace}/deployments/checkout")
    world.shop.apply(world.twin())
    return lambda: world.shop.apply(world.shop.deployment())


def bad_query(world: World) -> Callable[[], None]:
    world.shop.apply(world.twin(query="rate(shop_cpuUsage)"))
    return lambda: world.shop.apply(world.twin())


@pytest.fixture
def world(shop: Shop, exporter: Exporter) -> Iterator[World]:
    """A shop with a metric, and the name of a MetricsSource and a Secret that the case may make."""
    exporter.set("shop_cpuUsage", 40, namespace=shop.namespace)
    shop.apply(shop.deployment())
    shop.metric("cpuUsage", 40)
    yield World(shop, shop.namespace)
    shop.cluster.kubectl("delete", "metricssource", shop.namespace, "--ignore-not-found", "--wait=false")
    shop.cluster.kubectl("-n", SYSTEM, "delete", "secret", shop.namespace, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(
    ("breaks", "reason", "says"),
    [
        pytest.param(
            no_source,
            "MetricsSourceNotFound",
            "does not exist: create it, or name another one in spec.source.metricsSourceRef",
            id="unknown-source",
        ),
        pytest.param(no_secret, "MetricsSourceInvalid", "its own status says why", id="no-secret"),
        pytest.param(no_target, "TargetNotFound", "create it or correct spec.source.targetRef", id="no-target"),
        pytest.param(
            bad_query, "QueryRefused", "mend its query in spec.source.metrics", id="query-that-prometheus-refuses"
        ),
    ],
)
def test_a_twin_that_cannot_work_says_how_to_mend_it_and_recovers_when_it_is_mended(
    world: World, breaks: Callable[[World], Callable[[], None]], reason: str, says: str
) -> None:
    mend = breaks(world)
    body = world.shop.until_condition("Stalled", "True", reason=reason)
    assert condition(body, "Ready") | {"lastTransitionTime": None} == {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "message": condition(body, "Stalled")["message"],
        "lastTransitionTime": None,
    }
    assert says in condition(body, "Stalled")["message"]
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    assert [event["type"] for event in wait_for_events(world.shop, reason)] == ["Warning"]

    mend()
    body = world.shop.until_condition("Ready", "True")
    assert condition(body, "Stalled") == {}
    assert observed(body) == {"cpuUsage": ("Good", 40)}
    assert "no longer stalled" in wait_for_events(world.shop, "Recovered")[0]["note"]


def test_a_source_with_a_wrong_url_is_waited_for_and_asked_once_it_is_corrected(world: World) -> None:
    world.shop.source(world.source, f"http://127.0.0.1:{free_port()}")
    world.shop.apply(world.twin(source=world.source))
    body = world.shop.until_condition("Reconciling", "True")
    assert condition(body, "Ready")["status"] == "Unknown"
    assert condition(body, "MetricsAvailable")["reason"] == "MetricsBackendUnavailable"
    assert condition(body, "Stalled") == {}
    world.shop.source(world.source, world.shop.cluster.prometheus_url)
    body = world.shop.until_condition("Ready", "True")
    assert observed(body) == {"cpuUsage": ("Good", 40)}
    assert condition(body, "Reconciling") == {}
    assert body["status"]["failedSyncs"] == 0


def test_a_target_that_goes_and_comes_back_stalls_the_twin_for_that_long(world: World) -> None:
    world.shop.apply(world.twin())
    world.shop.until_condition("Ready", "True")
    world.shop.cluster.api.delete(f"/apis/apps/v1/namespaces/{world.shop.namespace}/deployments/checkout")
    body = world.shop.until_condition("Stalled", "True", reason="TargetNotFound")
    assert observed(body) == {"cpuUsage": ("Good", 40)}, "what was seen before stays"
    world.shop.apply(world.shop.deployment())
    world.shop.until_condition("Ready", "True")


def test_a_query_that_only_our_parser_refuses_is_a_warning(world: World) -> None:
    # Go's number syntax, which Prometheus 3.13 takes and promql-parser 0.12 does not.
    world.shop.apply(world.twin(query='shop_cpuUsage{namespace="$(namespace)"} + 1_000'))
    body = world.shop.until_condition("Ready", "True")
    assert observed(body) == {"cpuUsage": ("Good", 1040)}
    assert condition(body, "Stalled") == {}
    available = condition(body, "MetricsAvailable")
    assert available["status"] == "True"
    assert "metric cpuUsage: our PromQL parser does not take the query" in available["message"]


def test_kubectl_shows_what_is_wrong(world: World, cluster: DevCluster) -> None:
    no_source(world)
    world.shop.until_condition("Stalled", "True")
    header, row = cluster.kubectl("-n", world.shop.namespace, "get", "digitaltwins").splitlines()
    assert (cell(header, row, "NAME"), cell(header, row, "READY")) == ("checkout", "False")
    wait_for_events(world.shop, "MetricsSourceNotFound")
    told = cluster.kubectl("-n", world.shop.namespace, "describe", "digitaltwin", "checkout")
    assert "Stalled" in told
    assert f"MetricsSource {world.source} does not exist: create it" in told.partition("Events:")[0]
    assert "MetricsSourceNotFound" in told.partition("Events:")[2]


def cell(header: str, row: str, column: str) -> str:
    """Return what stands under a column of ``kubectl get``."""
    return row[header.index(column) :].split(maxsplit=1)[0]


def observed(body: Body) -> dict[str, tuple[str, Any]]:
    """Return quality and value of every metric."""
    return {metric["name"]: (metric["quality"], metric.get("value")) for metric in body["status"]["observed"]}


def wait_for_events(shop: Shop, reason: str) -> list[Body]:
    """Return the Events of this reason once there are any; they are posted after the status."""
    shop.until(lambda _: shop.events(reason), f"an Event {reason}")
    return shop.events(reason)
