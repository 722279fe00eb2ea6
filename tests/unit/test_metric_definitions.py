"""The table of the standard metrics is complete, and agrees with the catalogue of queries and the documentation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from twinops.adapters.prometheus.catalogue import CATALOGUE
from twinops.api.twin.spec import SystemType
from twinops.metric_definitions import (
    CPU,
    DEFAULT_WEIGHT,
    DISTORTED_BY_START_UP,
    DRIVING,
    LATENCY,
    MEAN_PER_POD,
    STANDARD,
    THROUGHPUT,
    MetricDefinition,
    definition,
    standard_names,
)

DOCS = Path(__file__).parents[2] / "docs"
ROWS = [pytest.param(row, id=name) for name, row in STANDARD.items()]
WITH_WEIGHTS = [system for system in SystemType if system is not SystemType.CUSTOM]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_words_range_and_weights(row: MetricDefinition) -> None:
    assert row.word != row.name
    assert row.minimum == 0
    assert set(row.weights) == {system.value for system in WITH_WEIGHTS}
    assert min(row.weights.values()) > 0
    assert row.weight(SystemType.CUSTOM) == DEFAULT_WEIGHT
    assert row.advice.too_high
    # A replica change mends values that are too high, or the row says why it does not.
    assert row.drives_corrections or row.advice.beyond_replicas
    assert not row.drives_corrections or row.advice.no_effect


@pytest.mark.parametrize("system", WITH_WEIGHTS, ids=lambda system: system.value)
def test_weights_of_every_type_add_up_to_one(system: SystemType) -> None:
    assert math.fsum(row.weights[system] for row in STANDARD.values()) == pytest.approx(1)


@pytest.mark.parametrize("row", ROWS)
def test_censoring_metrics_are_in_the_table_and_shown(row: MetricDefinition) -> None:
    for rule in row.censored_by:
        assert rule.metric in STANDARD
        assert any(digit in rule.why.format(0.5) for digit in "05")
        assert rule.reached(rule.threshold) is rule.inclusive
        assert not rule.reached(rule.threshold * 0.99)


def test_metrics_that_need_traffic_name_a_metric_of_traffic() -> None:
    named = {row.name: row.idle_without for row in STANDARD.values() if row.idle_without is not None}
    assert named == {LATENCY: THROUGHPUT, "errorRate": THROUGHPUT}
    assert all(STANDARD[traffic].idle_without is None for traffic in named.values())


def test_the_catalogue_has_queries_for_every_row_and_for_nothing_else() -> None:
    assert {metric for queries in CATALOGUE.values() for metric in queries} == set(STANDARD)


@pytest.mark.parametrize("name", STANDARD)
def test_every_row_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (DOCS / "health-and-drift.md").read_text()
    assert f"`{name}`" in (DOCS / "replay.md").read_text()


def test_default_limits_are_documented() -> None:
    text = " ".join((DOCS / "health-and-drift.md").read_text().split())
    told = text.partition("Default limits: ")[2].partition("They serve the score alone")[0]
    limited = standard_names(lambda row: row.default_limit is not None)
    assert {name for name in STANDARD if f"`{name}`" in told} == set(limited)
    for name in limited:
        assert f"`{name}` {STANDARD[name].default_limit:g}" in told


def test_derived_lists() -> None:
    # The order decides which metric is named where two ask for as many replicas.
    assert DRIVING == (CPU, THROUGHPUT, LATENCY)
    assert {CPU, LATENCY} == DISTORTED_BY_START_UP
    assert {CPU} == MEAN_PER_POD


def test_of_an_unknown_metric_only_the_name_is_known() -> None:
    row = definition("queueLength")
    assert row == MetricDefinition(name="queueLength", word="queueLength")
    assert row.subject == "queueLength"
    assert row.weight(SystemType.CACHE) == DEFAULT_WEIGHT
    # The lookup is on the path of every sync, so the row is made once.
    assert definition("queueLength") is row


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        pytest.param(CPU, 94.6, "95%", id="percent"),
        pytest.param(CPU, 9.46, "9.5%", id="small percent"),
        pytest.param(LATENCY, 120.4, "120.4 ms", id="with a unit"),
        pytest.param("errorRate", 0.0123456, "0.01235", id="without a unit"),
        pytest.param(THROUGHPUT, 15_000.4, "15000 req/s", id="large"),
    ],
)
def test_show(metric: str, value: float, text: str) -> None:
    assert definition(metric).show(value) == text
