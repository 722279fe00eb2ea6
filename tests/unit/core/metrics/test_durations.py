"""Steps, windows, staleness and ranges, in seconds."""

from __future__ import annotations

import pytest

from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import MetricSpec
from twinops.core.metrics.durations import longest_range, stale_after_seconds, sync_step, window_seconds


def source(scrape: int) -> MetricsSourceSpec:
    return MetricsSourceSpec.from_wire({"url": "http://prometheus:9090", "scrapeIntervalSeconds": scrape})


@pytest.mark.parametrize(
    ("promql", "seconds"),
    [
        pytest.param("shop_cpu", 0, id="as of now"),
        pytest.param("sum(rate(a[5m])) / sum(rate(b[90s]))", 300, id="the longest"),
        pytest.param("max_over_time(rate(a[1m])[1h30m:1m])", 5400, id="a subquery"),
        pytest.param("rate(a[500ms])", 0.5, id="milliseconds"),
        pytest.param('a{pod=~"web-[0-9]{1,3}-[456789bcdf]{5}"}', 0, id="a class of characters is none"),
    ],
)
def test_how_far_a_query_looks_back(promql: str, seconds: float) -> None:
    assert longest_range(promql) == seconds


@pytest.mark.parametrize(
    ("sync", "step"),
    [pytest.param(1, 5, id="shortest"), pytest.param(60, 60, id="usual"), pytest.param(3600, 900, id="longest")],
)
def test_step(sync: int, step: int) -> None:
    assert sync_step(sync) == step


@pytest.mark.parametrize(
    ("scrape", "sync", "window"),
    [
        pytest.param(15, 30, 60, id="four scrape intervals"),
        pytest.param(15, 300, 300, id="one step"),
        pytest.param(15, 3600, 900, id="no more than the longest step"),
    ],
)
def test_window(scrape: int, sync: int, window: int) -> None:
    assert window_seconds(source(scrape), sync) == window


@pytest.mark.parametrize(
    ("given", "scrape", "seconds"),
    [
        pytest.param(None, 5, 60, id="at least a minute"),
        pytest.param(None, 30, 240, id="eight scrape intervals"),
        pytest.param(45, 30, 45, id="given"),
    ],
)
def test_stale_after(given: int | None, scrape: int, seconds: int) -> None:
    assert stale_after_seconds(MetricSpec(name="queueLength", stale_after_seconds=given), source(scrape)) == seconds
