"""Texts that go with a quantile of a histogram: what is measured, what it lies between, and its past."""

from __future__ import annotations

import promql_parser
import pytest

from twinops.adapters.prometheus.selectors import inspect
from twinops.core.metrics.queries import Inspection


def look(promql: str) -> Inspection:
    return inspect(promql, stale_after_seconds=120, scrape_interval_seconds=15)


def test_texts() -> None:
    counts = "(sum by (le) (rate(a_bucket[1m])))"
    unsupported = f"min without (le) ({counts} > 0) >= 0.95 * max without (le) ({counts})"

    found = look("1000 * histogram_quantile(0.95, sum by (le) (rate(a_bucket[1m]))) >= 0")

    measured = f"1000 * histogram_quantile(0.95, {counts} unless ignoring (le) ({unsupported})) >= 0"
    share = f"scalar(min({counts} > 0) / max({counts}))"
    assert found.measured == measured
    assert found.bounds == (
        f'label_replace(1000 * histogram_quantile({share}, sum by (le) (rate(a_bucket[1m]))) >= 0, "bound", "most", '
        '"", "") or label_replace(1000 * histogram_quantile(1e-9, sum by (le) (rate(a_bucket[1m]))) >= 0, "bound", '
        '"least", "", "")'
    )
    assert found.past == (f"({measured}) < (1000 * histogram_quantile(1, sum by (le) (rate(a_bucket[1m]))) >= 0)")


@pytest.mark.parametrize(
    "promql",
    [
        pytest.param("histogram_quantile(0.95, sum by (le) (rate(a_bucket[1m])))", id="plain"),
        pytest.param("histogram_quantile( .5 ,(sum(rate(a_bucket[1m])) by (le)))", id="by at the end, in brackets"),
        pytest.param('histogram_quantile(0.9, max by (le) (a_bucket{x="),(",y=~`[(,]`}))', id="signs within strings"),
        pytest.param("max_over_time(histogram_quantile(0.9, sum by (le) (a_bucket))[5m:1m])", id="subquery"),
        pytest.param("# (,\nhistogram_quantile(0.9, sum by (le) (a_bucket)) # ,)", id="comments around"),
        pytest.param("histogram_quantile(0.9, # (\n sum by (le) (a_bucket) # )\n)", id="comments within"),
        pytest.param("histogram_quantile(0.9, sum by (le) (a_bucket)) or vector(0)", id="constant beside"),
    ],
)
def test_texts_are_queries(promql: str) -> None:
    found = look(promql)

    assert found.measured.count("histogram_quantile") == 1
    for text in (found.measured, found.bounds, found.past):
        promql_parser.parse(text.replace("`[(,]`", '"[(,]"'))


@pytest.mark.parametrize(
    "promql",
    [
        pytest.param("sum(rate(a_total[1m]))", id="no quantile"),
        pytest.param("histogram_quantile(0.9, sum by (le, pod) (a_bucket))", id="of several histograms"),
        pytest.param("histogram_quantile(0.9, rate(a_bucket[1m]))", id="nobody knows of how many"),
        pytest.param("histogram_quantile(0.9, sum by (vmrange) (a_bucket))", id="ranges that are not cumulative"),
        pytest.param("histogram_quantile(0.9, sum(rate(a[1m])))", id="native histogram"),
        pytest.param("histogram_quantile(0.9, sum by (le) (rate(a[1m])))", id="native, by a label it lacks"),
        pytest.param("histogram_quantile(scalar(q), sum by (le) (a_bucket))", id="quantile that is not written down"),
        pytest.param("histogram_quantile(1, sum by (le) (a_bucket))", id="the largest is a bound by itself"),
        pytest.param("histogram_quantile(95, sum by (le) (a_bucket))", id="no quantile at all"),
        pytest.param(
            "histogram_quantile(0.9, sum by (le) (a_bucket)) - histogram_quantile(0.5, sum by (le) (a_bucket))",
            id="two",
        ),
        pytest.param("scalar(histogram_quantile(0.9, sum by (le) (a_bucket)))", id="a number cannot be left out"),
        pytest.param('a{x="histogram_quantile(0.9, sum by (le) (a_bucket))"}', id="within a string"),
        pytest.param("histogram_quantile(0.9, sum by (le) (a_bucket)", id="not PromQL"),
    ],
)
def test_other_queries_stay_as_they_are(promql: str) -> None:
    found = look(promql)

    assert (found.measured, found.bounds, found.past) == ("", "", "")
