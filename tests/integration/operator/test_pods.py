"""What the operator says of pods as they are, under the chart's rights."""

from __future__ import annotations

import time

import pytest

from devcluster.cluster import DevCluster
from support import pod_shapes as shapes
from support.exporter import Exporter
from support.pod_shapes import Place, container, selecting, template
from support.shop import Body, Shop

pytestmark = pytest.mark.usefixtures("operator")

ROOM = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "200m", "memory": "256Mi"}}


def cpu(body: Body) -> Body:
    observed = (body.get("status") or {}).get("observed") or ()
    return next((one for one in observed if one["name"] == "cpuUsage"), {})


def twin(shop: Shop) -> None:
    """Apply a twin that takes the built-in queries."""
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}}
    shop.apply(shop.twin(source=source, expectedState={"metrics": {"cpuUsage": 50}}, limits={"cpuUsage": 80}))


def test_an_injected_sidecar_counts_on_both_sides(cluster: DevCluster, exporter: Exporter) -> None:
    mesh = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "2000m", "memory": "1024Mi"}}
    shapes.inject_sidecars(cluster, "limiting", **mesh)
    place = Place.new(cluster, f"injected-{time.time_ns() % 10**6}", {"mesh": "limiting"})
    pods = template("checkout", {**container("app"), "resources": ROOM}, usage="90m")
    shapes.until_injecting(place, pods)
    place.make("Deployment", "checkout", selecting("checkout", pods))
    shop = Shop(cluster, place.namespace, exporter)
    twin(shop)

    body = shop.until(lambda one: cpu(one).get("value") == pytest.approx(100 * 180 / 2200, abs=0.5), "8 % of limits")

    assert cpu(body)["unit"] == "% of limits"
    assert cpu(body)["basis"] == "limits of its pods (containers app, proxy)"
    assert body["status"]["drift"]["alerts"][0]["direction"] == "Below"


def test_defaults_of_a_namespace_count(cluster: DevCluster, exporter: Exporter, namespace: str) -> None:
    place = Place(cluster, namespace)
    defaults = {"default": ROOM["limits"], "defaultRequest": ROOM["requests"]}
    place.make("LimitRange", "defaults", {"limits": [{"type": "Container", **defaults}]}, api_version="v1")
    pods = template("checkout", container("app"), usage="90m")
    place.make("Deployment", "checkout", selecting("checkout", pods))
    shop = Shop(cluster, namespace, exporter)
    twin(shop)

    body = shop.until(lambda one: cpu(one).get("value") == pytest.approx(45, abs=0.5), "45 % of limits")

    assert cpu(body)["basis"] == "limits of its pods (containers app)"
