"""The health score: weights, confidence, and the figures the documentation shows."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twinops.api.twin.drift import Drift, Severity
from twinops.api.twin.observed import Health, Quality
from twinops.api.twin.spec import DigitalTwinSpec, SystemType
from twinops.core.assess.drift import assess_drift
from twinops.core.assess.health import assess_health
from twinops.core.assess.penalty import penalty_of
from twinops.core.observation import Sample
from twinops.metric_definitions import STANDARD, definition

DOCS = Path(__file__).parents[4] / "docs" / "health-and-drift.md"


def spec(expected: dict[str, float] | None = None, system: str = "APIGateway", **more: Any) -> DigitalTwinSpec:
    return DigitalTwinSpec.from_wire(
        {"source": {"systemType": system}, "expectedState": {"metrics": expected or {}}, **more}
    )


def good(**values: float) -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value) for metric, value in values.items()}


CPU_50 = {"cpuUsage": 50.0}


def test_score_explains_itself() -> None:
    score, health = assess_health(
        spec({"cpuUsage": 50, "latencyMs": 100}, limits={"cpuUsage": 100, "latencyMs": 500}),
        good(cpuUsage=75, latencyMs=300),
    )
    assert score == 50
    assert [component.to_wire() for component in health.components] == [
        {"metric": "latencyMs", "penalty": 0.5, "weight": 0.6667, "points": 33.33},
        {"metric": "cpuUsage", "penalty": 0.5, "weight": 0.3333, "points": 16.67},
    ]
    assert health.confidence == 1
    assert health.unknown == []


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Sample("latencyMs", Quality.MISSING), id="missing"),
        pytest.param(Sample("latencyMs", Quality.EMPTY), id="empty"),
        pytest.param(Sample("latencyMs", Quality.NAN), id="NaN"),
        pytest.param(Sample("latencyMs", Quality.STALE), id="stale"),
        pytest.param(Sample("latencyMs", Quality.ERROR), id="error"),
        pytest.param(Sample("latencyMs", Quality.GOOD, math.nan), id="a NaN that calls itself good"),
        pytest.param(Sample("latencyMs", Quality.GOOD, math.inf), id="infinite"),
        pytest.param(None, id="never asked"),
    ],
)
def test_unknown_metric_lowers_confidence_not_the_score(bad: Sample | None) -> None:
    twin = spec({"cpuUsage": 50, "latencyMs": 100})
    score, health = assess_health(twin, good(cpuUsage=50) | ({} if bad is None else {"latencyMs": bad}))
    assert score == 100
    assert health.confidence == pytest.approx(0.15 / 0.45, abs=1e-4)
    assert health.unknown == ["latencyMs"]


def test_a_metric_nobody_described_is_not_unknown() -> None:
    _, health = assess_health(spec(CPU_50), good(cpuUsage=50) | {"latencyMs": Sample("latencyMs", Quality.MISSING)})
    assert health == Health(confidence=1, components=health.components)


@pytest.mark.parametrize("reason", ["NoScope", "NoRequestsOrLimits"])
def test_a_metric_that_is_not_to_be_had_is_missed_only_by_who_named_it(reason: str) -> None:
    samples = good(latencyMs=100) | {"cpuUsage": Sample("cpuUsage", Quality.MISSING, reason=reason)}
    assert assess_health(spec({"latencyMs": 100}), samples)[1].unknown == []
    assert assess_health(spec({"latencyMs": 100, "cpuUsage": 50}), samples)[1].unknown == ["cpuUsage"]
    assert assess_health(spec({"latencyMs": 100}, limits={"cpuUsage": 90}), samples)[1].unknown == ["cpuUsage"]


def test_all_unknown_is_no_score() -> None:
    score, health = assess_health(spec(CPU_50), {"cpuUsage": Sample("cpuUsage", Quality.MISSING)})
    assert score is None
    assert health == Health(confidence=0, unknown=["cpuUsage"])


def test_nothing_to_judge_is_no_score() -> None:
    assert assess_health(spec(), good(latencyMs=40)) == (None, Health(confidence=0))


def test_held_value_counts_for_the_score_but_not_for_confidence() -> None:
    held = {"cpuUsage": Sample("cpuUsage", Quality.HELD, 72.5)}
    score, health = assess_health(spec(CPU_50), held)
    assert score == 50
    assert health.confidence == 0


def test_stand_ins_alone_are_no_score() -> None:
    score, health = assess_health(spec(CPU_50), {"cpuUsage": Sample("cpuUsage", Quality.MISSING, 50)})
    assert score is None
    assert health.unknown == ["cpuUsage"]


def test_status_stays_bounded_with_more_metrics_than_it_can_list() -> None:
    expected = {f"m{i}": 1.0 for i in range(32)}
    score, health = assess_health(spec(expected), good(cpuUsage=95, memoryUsage=95, **expected))
    assert score == 95
    assert len(health.components) == 32
    assert health.components[0].metric == "cpuUsage"


METRICS = st.sampled_from([*STANDARD, "queueDepth", "hitRatio"])
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
VALUES = st.dictionaries(METRICS, NUMBERS, max_size=8)
ALLOWANCES = st.dictionaries(METRICS, st.floats(0, 1e6, exclude_min=True), max_size=8)
SPECS = st.builds(
    lambda expected, limits, thresholds, absolute, system: spec(
        expected, system=system.value, limits=limits, thresholds=thresholds, absoluteThresholds=absolute
    ),
    VALUES,
    VALUES,
    ALLOWANCES,
    ALLOWANCES,
    st.sampled_from(SystemType),
)


@given(twin=SPECS, values=VALUES)
def test_score_is_between_0_and_100(twin: DigitalTwinSpec, values: dict[str, float]) -> None:
    score, health = assess_health(twin, good(**values))
    assert score is None or 0 <= score <= 100
    assert (score is None) == (not health.components)
    assert math.fsum(c.points for c in health.components) == pytest.approx(100 - score if score else 100, abs=0.7) or (
        score is None
    )


@given(twin=SPECS, values=VALUES, order=st.randoms(use_true_random=False))
def test_score_does_not_depend_on_the_order_of_metrics(
    twin: DigitalTwinSpec, values: dict[str, float], order: Any
) -> None:
    shuffled = list(values.items())
    order.shuffle(shuffled)
    assert assess_health(twin, good(**values)) == assess_health(twin, good(**dict(shuffled)))


@given(twin=SPECS, metric=METRICS, values=st.lists(NUMBERS, min_size=2, max_size=8), above=st.booleans())
def test_more_harm_never_costs_less(twin: DigitalTwinSpec, metric: str, values: list[float], *, above: bool) -> None:
    side = definition(metric).harmful_above
    assume(side is None or side is above)
    expected = twin.expected_state.metrics.get(metric)
    assume(expected is not None or above)
    away = sorted(v for v in values if expected is None or (v >= expected if above else v <= expected))
    penalties = [penalty_of(twin, metric, value) for value in (away if above else reversed(away))]
    known = [penalty for penalty in penalties if penalty is not None]
    assert all(less <= more for less, more in pairwise(known))
    assert len(known) in {0, len(penalties)}


# ---- what the documentation shows ----------------------------------------------------------------


def test_documented_weights_are_those_in_force() -> None:
    text = DOCS.read_text()
    names = {f"`{metric}`": metric for metric in STANDARD} | {"any other": "queueDepth"}
    for label, metric in names.items():
        figures = " | ".join(f"{definition(metric).weight(system):.2f}" for system in SystemType)
        assert f"| {label} | {figures} |" in text


def test_documented_example_comes_out_as_written() -> None:
    twin = spec(
        {"cpuUsage": 50, "memoryUsage": 60, "latencyMs": 120, "errorRate": 0.01},
        limits={"cpuUsage": 95, "latencyMs": 500},
        thresholds={"latencyMs": 50},
        absoluteThresholds={"errorRate": 0.02},
    )
    samples = good(cpuUsage=82, memoryUsage=62, latencyMs=310, errorRate=0.012)
    score, health = assess_health(twin, samples)
    severities = {a.component: a.severity for a in assess_drift(twin, samples, {}, None, Drift(), 0).alerts}
    rows = []
    for part in health.components:
        observed = definition(part.metric).show(samples[part.metric].value or 0)
        drift: Severity | str = severities.get(part.metric, "none")
        rows.append(
            f"| `{part.metric}` | {observed} | {part.penalty:.4f} | {part.weight:.4f} | {part.points:.2f} | {drift} |"
        )
    assert "\n".join(rows) in DOCS.read_text()
    assert f"Health score: **{score}**" in DOCS.read_text()
