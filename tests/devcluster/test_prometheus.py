"""A real Prometheus: targets that come and go, history, and being away."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from devcluster.waiting import wait_until

# Prometheus throttles changes of targets to one in five seconds.
SCRAPE_SECONDS = 20.0

Series = dict[str, str]


class Exporter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'requests_total{namespace="shop"} 42\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def exporter() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def query(prometheus: Prometheus, promql: str, time: float | None = None) -> list[tuple[Series, float]]:
    """Return the labels and values of an instant query."""
    parameters = {"query": promql} | ({"time": str(time)} if time else {})
    url = f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - always http
        result = json.load(response)["data"]["result"]
    return [(one["metric"], float(one["value"][1])) for one in result]


def test_targets_come_and_go(cluster: DevCluster, exporter: str) -> None:
    prometheus = cluster.prometheus
    prometheus.add_target("shop", exporter, {"job": "shop"})
    [(labels, value)] = wait_until(
        lambda: query(prometheus, 'requests_total{job="shop"}'), within=SCRAPE_SECONDS, what="it is scraped"
    )
    assert value == 42
    assert labels["namespace"] == "shop"
    prometheus.remove_target("shop")
    wait_until(lambda: not query(prometheus, 'up{job="shop"}'), within=SCRAPE_SECONDS, what="it is scraped no more")


def test_usage_changes_where_a_kubelet_would_show_it(cluster: DevCluster, namespace: str) -> None:
    pod = {"metadata": {"name": "web"}, "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "x"}]}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    cluster.set_pod_usage(namespace, "web", cpu="250m", memory="96Mi")

    def memory() -> list[tuple[Series, float]]:
        selector = f'{{namespace="{namespace}",pod="web",container="main",job="kubelet",node="node-1"}}'
        return query(cluster.prometheus, f"container_memory_working_set_bytes{selector} == {96 * 2**20}")

    wait_until(memory, within=SCRAPE_SECONDS, what="the pod uses what it was told to")


def test_one_more_with_a_past_of_its_own(cluster: DevCluster, tmp_path: Path) -> None:
    start, step, count = 1_700_000_000, 60, 200
    samples = [f"orders {number} {start + number * step}" for number in range(count)]
    history = tmp_path / "history.txt"
    history.write_text("\n".join(["# TYPE orders gauge", *samples, "# EOF", ""]))

    options = PrometheusOptions(backfill=history, retention="100y", scrape_kwok=False)
    prometheus = cluster.start_prometheus("past", options)
    [(_labels, value)] = query(prometheus, "orders", time=start + 100 * step)
    assert value == 100

    prometheus.process.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        query(prometheus, "orders")
    prometheus.process.start()
    assert query(prometheus, "orders", time=start + 100 * step)
    prometheus.process.kill()
