"""The words: what a person reads about a deviation."""

from __future__ import annotations

import pytest

from twinops.core.assess.advice import label_advice, metric_advice, replicas_advice, version_advice
from twinops.core.assess.tolerance import Tolerance


@pytest.mark.parametrize(
    ("allowed", "value", "above", "words"),
    [
        pytest.param(
            Tolerance("cpuUsage", 50, 10),
            82.5,
            True,
            "CPU is 65% above what is expected (82% against 50%): scale out, or raise the CPU request",
            id="CPU",
        ),
        pytest.param(
            Tolerance("cpuUsage", 50, 10, limit=95),
            97,
            True,
            "CPU is 94% above what is expected (97% against 50%) and past its limit of 95%: "
            "scale out, or raise the CPU request",
            id="past its limit",
        ),
        pytest.param(
            Tolerance("cpuUsage", 50, 10),
            10,
            False,
            "CPU is 80% below what is expected (10% against 50%): "
            "nothing to mend; if it lasts, run fewer replicas or lower the CPU request",
            id="harmless",
        ),
        pytest.param(
            Tolerance("cpuUsage", 50, 10),
            59,
            True,
            "CPU is back inside its threshold (59% against 50%): nothing to do unless it leaves it again",
            id="back inside",
        ),
        pytest.param(
            Tolerance("memoryUsage", 60, 12),
            90,
            True,
            "Memory is 50% above what is expected (90% against 60%): "
            "look for a leak; if the use is real, raise the memory request and limit",
            id="memory",
        ),
        pytest.param(
            Tolerance("latencyMs", 120, 24),
            310,
            True,
            "Latency is 158% above what is expected (310 ms against 120 ms): "
            "scale out; if that does not help, look at the slowest dependency",
            id="latency",
        ),
        pytest.param(
            Tolerance("latencyMs", 120, 24),
            60,
            False,
            "Latency is 50% below what is expected (60 ms against 120 ms): "
            "nothing to mend; if it lasts, expectedState.metrics.latencyMs is out of date",
            id="better latency",
        ),
        pytest.param(
            Tolerance("errorRate", 0, 0.02),
            0.03,
            True,
            "Error rate is 0.03 above what is expected (0.03 against 0): "
            "look at the logs and at the last rollout, and undo the rollout if they began with it",
            id="expected 0",
        ),
        pytest.param(
            Tolerance("errorRate", 0, None),
            0.03,
            True,
            "Error rate is 0.03 above what is expected (0.03 against 0): "
            "say how much is too much in absoluteThresholds.errorRate; a percentage of 0 has no meaning",
            id="no threshold",
        ),
        pytest.param(
            Tolerance("throughputRps", 200, 40),
            0,
            False,
            "Throughput is 100% below what is expected (0 req/s against 200 req/s): "
            "see whether traffic still reaches the workload: ingress, DNS, errors upstream",
            id="traffic gone",
        ),
        pytest.param(
            Tolerance("queueDepth", 1000, 5),
            1006,
            True,
            "queueDepth is 0.6% above what is expected (1006 against 1000): "
            "see what has changed; if this is the new normal, update expectedState.metrics.queueDepth",
            id="custom metric, small share",
        ),
        pytest.param(
            Tolerance("queueDepth", 1e-300, 1e-301),
            1e300,
            True,
            "queueDepth is 1e+300 above what is expected (1e+300 against 1e-300): "
            "see what has changed; if this is the new normal, update expectedState.metrics.queueDepth",
            id="absurd numbers stay short",
        ),
    ],
)
def test_metric(allowed: Tolerance, value: float, *, above: bool, words: str) -> None:
    assert metric_advice(allowed, value, above=above) == words


def test_target() -> None:
    assert replicas_advice(1, 2, above=False) == (
        "1 ready where at least 2 replicas are expected: see why pods are missing or not ready (kubectl describe), "
        "or raise the replicas"
    )
    assert replicas_advice(9, 5, above=True) == (
        "9 ready where at most 5 replicas are expected: scale in when the load allows, "
        "or raise expectedState.replicas.max"
    )
    assert version_advice("2", "1") == "1 runs where 2 is expected: roll out 2, or update expectedState.version"
    assert label_advice("team", "shop", None) == (
        "the label team is missing where 'shop' is expected: set it on the target, or update expectedState.labels"
    )
    assert label_advice("team", "shop", "pay") == (
        "the label team is 'pay' where 'shop' is expected: set it on the target, or update expectedState.labels"
    )
