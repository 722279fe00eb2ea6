"""Values that a Prometheus with ``remote_read`` gives while the store behind it is away."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from twinops.adapters.prometheus.catalogue import PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.gather import Gatherer
from twinops.core.metrics.queries import PARTIAL
from twinops.core.observation import Sample
from twinops.ports.metrics import RangeQuery, SourceAccess

STEP = 15
HOUR = 3600
# What is older than four hours after the first sample of its own a Prometheus asks its store for.
NEAR, FAR = 6 * HOUR, 8 * HOUR
LOAD = "sum(load)"


@dataclass(frozen=True)
class Site:
    """One Prometheus that reads another: always, or only what is older than its own data."""

    always: Prometheus
    older_only: Prometheus
    store: Prometheus
    end: float


def past(folder: Path, name: str, end: float, seconds: int) -> Path:
    file = folder / f"{name}.txt"
    lines = [f'load{{site="{name}"}} 100 {end - age:.0f}' for age in range(seconds, -1, -STEP)]
    file.write_text("\n".join([*lines, "# EOF", ""]))
    return file


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, end = tmp_path_factory.mktemp("partial"), float(int(time.time()) // 60 * 60)
    store = cluster.start_prometheus(
        "partial-store", PrometheusOptions(scrape_kwok=False, backfill=past(folder, "far", end, FAR))
    )
    near = past(folder, "near", end, NEAR)

    def reading(name: str, *, recent: bool) -> Prometheus:
        remote = [{"url": f"{store.url}/api/v1/read", "read_recent": recent}]
        options = PrometheusOptions(scrape_kwok=False, backfill=near, config={"remote_read": remote})
        return cluster.start_prometheus(name, options)

    site = Site(reading("partial-always", recent=True), reading("partial-older", recent=False), store, end)
    yield site
    for prometheus in (site.always, site.older_only, site.store):
        prometheus.process.stop()


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


def source(prometheus: Prometheus) -> SourceAccess:
    return SourceAccess("default", MetricsSourceSpec(url=prometheus.url, scrape_interval_seconds=STEP))


async def load(site: Site, prometheus: Prometheus, backend: PrometheusBackend) -> Sample:
    spec = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom", "metrics": [{"name": "load", "query": LOAD}]}})
    gathered = await Gatherer(backend, PrometheusTexts()).gather(
        spec, source(prometheus), namespace="shop", workload=None, previous=[], now=site.end
    )
    return gathered.samples["load"]


async def history(site: Site, prometheus: Prometheus, backend: PrometheusBackend, seconds: int) -> tuple[str, float]:
    query = RangeQuery(LOAD, site.end - seconds, site.end, 60)
    [answer] = await backend.ranges(source(prometheus), [query])
    return answer.error, float(np.sum([values.sum() for _times, values in answer.series]))


async def test_value_is_known_only_as_long_as_its_store_answers(site: Site, backend: PrometheusBackend) -> None:
    whole = [await load(site, one, backend) for one in (site.always, site.older_only)]
    past_before = await history(site, site.always, backend, 7 * HOUR)

    site.store.process.stop()
    partial = await load(site, site.always, backend)
    own = await load(site, site.older_only, backend)
    young, old = [await history(site, site.older_only, backend, span) for span in (HOUR, 7 * HOUR)]

    # What is asked for recent data only is whole without the store, as it always was.
    assert [(one.quality, one.value) for one in (*whole, own)] == [
        (Quality.GOOD, 200),
        (Quality.GOOD, 100),
        (Quality.GOOD, 100),
    ]
    assert (partial.quality, partial.reason, partial.value) == (Quality.ERROR, "PartialAnswer", None)
    assert past_before[0] == ""
    assert past_before[1] > 0
    assert (young[0], old) == ("", (PARTIAL, 0))

    site.store.process.start()
    again = await load(site, site.always, backend)
    assert (again.quality, again.value) == (Quality.GOOD, 200)
