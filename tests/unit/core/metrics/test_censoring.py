"""Which values are only lower bounds."""

from __future__ import annotations

import pytest

from twinops.api.twin.observed import Quality
from twinops.core.metrics.censoring import lower_bounds
from twinops.core.observation import Sample


def samples(quality: Quality = Quality.GOOD, /, **values: float) -> dict[str, Sample]:
    return {metric: Sample(metric, quality, value) for metric, value in values.items()}


@pytest.mark.parametrize(
    ("known", "bounds"),
    [
        pytest.param({}, set(), id="nothing known"),
        pytest.param({"throughputRps": 900, "cpuUsage": 40, "errorRate": 0}, set(), id="well served"),
        pytest.param({"throughputRps": 900}, set(), id="nothing else known"),
        pytest.param({"throughputRps": 900, "cpuUsage": 85}, set(), id="just not full"),
        pytest.param({"throughputRps": 900, "cpuUsage": 85.1}, {"throughputRps"}, id="full"),
        pytest.param({"throughputRps": 900, "cpuUsage": 180}, {"throughputRps"}, id="beyond the request"),
        pytest.param({"cpuUsage": 99, "latencyMs": 4}, set(), id="full, throughput unknown"),
        pytest.param({"throughputRps": 900, "errorRate": 0.0099}, set(), id="hardly any error"),
        pytest.param({"throughputRps": 900, "errorRate": 0.01}, {"throughputRps"}, id="errors"),
        pytest.param({"latencyMs": 90, "errorRate": 0.049}, set(), id="the quantile is of one that was answered"),
        pytest.param({"latencyMs": 90, "errorRate": 0.05}, {"latencyMs"}, id="the quantile is of one that failed"),
        pytest.param(
            {"throughputRps": 0, "cpuUsage": 99, "latencyMs": 9e3, "errorRate": 1},
            {"throughputRps", "latencyMs"},
            id="everything fails",
        ),
    ],
)
def test_lower_bounds(known: dict[str, float], bounds: set[str]) -> None:
    found = lower_bounds(samples(Quality.GOOD, **known))

    assert set(found) == bounds
    assert all(found.values())


@pytest.mark.parametrize("quality", [Quality.HELD, Quality.STALE, Quality.ERROR])
def test_value_that_is_not_fresh_is_no_bound_and_proves_none(quality: Quality) -> None:
    old = samples(quality, cpuUsage=99, errorRate=0.5)

    assert lower_bounds({**samples(throughputRps=900, latencyMs=90), **old}) == {}
    assert lower_bounds({**samples(cpuUsage=99), **samples(quality, throughputRps=900)}) == {}


def test_the_reason_shows_the_figures() -> None:
    found = lower_bounds(samples(latencyMs=10_000, throughputRps=900, cpuUsage=97))

    assert "97%" in found["throughputRps"]
