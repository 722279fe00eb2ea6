"""What reading a query tells: its selectors, and how its freshness is asked."""

from __future__ import annotations

import promql_parser
import pytest

from twinops.adapters.prometheus.selectors import MAX_SELECTORS, inspect
from twinops.core.metrics.queries import Inspection


def look(promql: str) -> Inspection:
    return inspect(promql, stale_after_seconds=120, scrape_interval_seconds=15)


@pytest.mark.parametrize(
    ("promql", "selectors"),
    [
        pytest.param("up", ["up"], id="name"),
        pytest.param('a{b="c",d!="e",f=~"g",h!~"i"}', ['a{b="c",d!="e",f=~"g",h!~"i"}'], id="all operators"),
        pytest.param('{__name__=~"a.*"}', ['{__name__=~"a.*"}'], id="no name"),
        pytest.param('a{b="x\\"y\\\\z\\n"}', ['a{b="x\\"y\\\\z\\n"}'], id="quotes"),
        pytest.param('a{b=~`x\\.y`,c="`"}', ['a{b=~"x\\\\.y",c="`"}'], id="raw string"),
        pytest.param('{"a.b", "c.d"="e"}', ['{__name__="a.b","c.d"="e"}'], id="any letters in names"),
        pytest.param('a{b="1" or c="2"}', ['a{b="1" or c="2"}'], id="or among matchers"),
        pytest.param("rate(a[5m]) / rate(b[5m])", ["a", "b"], id="two"),
        pytest.param("a - a offset 1d", ["a"], id="now and before"),
        pytest.param("a @ end()", ["a"], id="at a time"),
        pytest.param("max_over_time(rate(a[1m])[5m:30s])", ["a"], id="subquery"),
        pytest.param("quantile(scalar(q), -(a))", ["a", "q"], id="parameter"),
        pytest.param("sum by (x) (a) or vector(0)", ["a"], id="constant"),
        pytest.param("time()", [], id="none"),
    ],
)
def test_selectors(promql: str, selectors: list[str]) -> None:
    found = look(promql)

    assert list(found.presence) == selectors
    assert not found.warning


def test_look_ups_are_bounded() -> None:
    assert len(look(" + ".join(f"a{n}" for n in range(20))).presence) == MAX_SELECTORS


NEWEST = "(max(timestamp({0})) or max_over_time(max(timestamp({0}))[120s:15s]))"
A, B = NEWEST.format("a"), NEWEST.format("b")


def both(operation: str, first: str, second: str) -> str:
    return f'{operation}(label_replace({first}, "part", "0", "", "") or label_replace({second}, "part", "1", "", ""))'


@pytest.mark.parametrize(
    ("promql", "freshness"),
    [
        pytest.param("a", A, id="instant"),
        pytest.param("sum(rate(a[5m] offset 1h))", A, id="range"),
        pytest.param("a / b", both("min", A, B), id="as old as the oldest part"),
        pytest.param("a or b", both("max", A, B), id="either side will do"),
        pytest.param("a or vector(0)", both("max", A, "vector(time())"), id="a constant is always fresh"),
        pytest.param("a unless b", A, id="only looked at for being absent"),
        pytest.param("absent(a)", "", id="absence has no age"),
        pytest.param("(b or a * 0) / a", both("min", both("max", B, A), A), id="nested"),
        pytest.param("a / a", A, id="the same twice"),
        pytest.param("a * 1000 >= 0", A, id="numbers do not age"),
        pytest.param("vector(1)", "", id="nothing behind it"),
    ],
)
def test_freshness(promql: str, freshness: str) -> None:
    found = look(promql)

    assert found.freshness == freshness
    if freshness:
        promql_parser.parse(freshness)


def test_long_stale_times_are_searched_in_few_steps() -> None:
    found = inspect("a", stale_after_seconds=86_400, scrape_interval_seconds=15)

    assert "[86400s:1440s]" in found.freshness


@pytest.mark.parametrize(
    ("promql", "top"),
    [
        pytest.param("up", "", id="no histogram"),
        pytest.param("histogram_quantile(0.95, a)", "histogram_quantile(1, a)", id="classic"),
        pytest.param("histogram_quantile( .5 ,a) * 1000", "histogram_quantile(1,a) * 1000", id="spaces"),
        pytest.param("histogram_quantile(scalar(q), a)", "", id="quantile that varies"),
        pytest.param("histogram_quantile(1, a)", "", id="the largest itself"),
        pytest.param("histogram_fraction(0, 1, a)", "", id="another function"),
        pytest.param('a{b="histogram_quantile(0.5, c)"}', "", id="within a string"),
    ],
)
def test_largest_observation_of_the_histogram(promql: str, top: str) -> None:
    assert look(promql).top == top


@pytest.mark.parametrize("promql", ["sum(", "rate(a[1m] smoothed)", "", "a b"])
def test_what_the_parser_refuses_is_a_warning_without_look_ups(promql: str) -> None:
    found = look(promql)

    assert found.warning
    assert not found.freshness
    assert not found.presence
