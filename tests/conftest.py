"""What several kinds of tests share: one operator and one exporter for the whole run, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.cluster import DevCluster
from devcluster.options import ClusterOptions, PrometheusOptions
from devcluster.supervised import Supervised
from support import operator as operator_support
from support.exporter import Exporter, serve
from support.shop import Shop

UNIT = Path(__file__).parent / "unit"


@pytest.fixture(scope="session")
def cluster_options() -> ClusterOptions:
    """Metrics that are a second old at most, so that tests wait for nothing longer than that."""
    return ClusterOptions(prometheus=PrometheusOptions(scrape_interval=f"{operator_support.SCRAPE_SECONDS}s"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what needs no control plane, and last what shares the operator.

    A control plane, once started, takes up to a fifth of a core until the run ends, from tests that do not ask for it,
    too. Before the shared operator runs, nobody but the test itself touches the twins it makes. Whole files are moved,
    since a file is what one process takes when there are several.
    """
    sharing = {item.path for item in items if "operator" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (not item.path.is_relative_to(UNIT), item.path in sharing))


@pytest.fixture(scope="session")
def exporter(cluster: DevCluster) -> Iterator[Exporter]:
    """A scrape target of the run's Prometheus whose series tests set."""
    target = Exporter()
    with serve(target) as address:
        cluster.prometheus.add_target("exporter", address, {"job": "exporter"})
        yield target


@pytest.fixture(scope="session")
def operator(cluster: DevCluster) -> Iterator[Supervised]:
    """The operator of the run, watching every namespace, under the chart's rights."""
    account = operator_support.install(cluster)
    running = operator_support.start(cluster, account)
    yield running
    running.stop()


@pytest.fixture
def shop(cluster: DevCluster, namespace: str, exporter: Exporter) -> Shop:
    """A workload in a namespace of its own, with metrics that the test sets."""
    return Shop(cluster, namespace, exporter)
