"""Placeholders: what they become, escaped for where they stand."""

from __future__ import annotations

import dataclasses

import promql_parser
import pytest

from twinops.adapters.prometheus.promql import label_name, render, without_backticks
from twinops.api.references import TargetRef
from twinops.core.metrics.queries import Query, QueryScope
from twinops.errors import SpecError

SCOPE = QueryScope(
    namespace="shop",
    target=TargetRef(name="checkout"),
    window_seconds=60,
    labels={"region": "us-east-1", "app.kubernetes.io/name": "checkout", "odd": 'a"b\\c\nd'},
    cpu_cores=0.5,
    memory_bytes=2**28,
)
OUTSIDE = dataclasses.replace(SCOPE, target=None)
PODS = 'namespace="$(namespace)",pod=~"$(podRegex)"'


def fill(template: str, scope: QueryScope = SCOPE) -> str:
    return render(Query("Custom", template), scope)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        pytest.param("up", "up", id="nothing to fill"),
        pytest.param("rate(a[$(window)])", "rate(a[60s])", id="window"),
        pytest.param('a{namespace="$(namespace)",b="$(name)"}', 'a{namespace="shop",b="checkout"}', id="names"),
        pytest.param("a / $(cpuCores) + $(memoryBytes)", "a / 0.5 + 268435456", id="amounts"),
        pytest.param('a{r="$(label.region)"}', 'a{r="us-east-1"}', id="label"),
        pytest.param('a{r="$(label.app.kubernetes.io/name)"}', 'a{r="checkout"}', id="label with a prefix"),
        pytest.param('a{r="$(label.odd)"}', 'a{r="a\\"b\\\\c\\nd"}', id="escaped in double quotes"),
        pytest.param("a{r='$(label.odd)'}", "a{r='a\"b\\\\c\\nd'}", id="escaped in single quotes"),
        pytest.param("a{r=`$(label.odd)`}", 'a{r=`a"b\\c\nd`}', id="raw in backticks"),
        pytest.param(
            """a{x="it's",r="$(label.odd)"}""", """a{x="it's",r="a\\"b\\\\c\\nd"}""", id="other quotes before"
        ),
        pytest.param('a{x="\\"",r="$(name)"}', 'a{x="\\"",r="checkout"}', id="escaped quote before"),
        pytest.param('a # it\'s\n + b{r="$(name)"}', 'a # it\'s\n + b{r="checkout"}', id="quote in a comment before"),
        pytest.param("$(name)_total", "checkout_total", id="part of a metric name"),
        pytest.param("$(window)$(window)", "60s60s", id="side by side"),
        pytest.param("a{b=~'x$'} + (c)", "a{b=~'x$'} + (c)", id="a dollar of a regular expression"),
    ],
)
def test_filled_in(template: str, filled: str) -> None:
    assert fill(template) == filled


@pytest.mark.parametrize("quote", ['"', "'", "`"])
def test_value_arrives_as_it_is_in_every_kind_of_quotes(quote: str) -> None:
    parsed = promql_parser.parse(without_backticks(fill(f"a{{r={quote}$(label.odd){quote}}}")))

    assert isinstance(parsed, promql_parser.VectorSelector)
    [matcher] = parsed.matchers.matchers
    assert matcher.value == SCOPE.labels["odd"]


@pytest.mark.parametrize(
    ("template", "scope", "reason"),
    [
        pytest.param("a{b='$(nmae)'}", SCOPE, "UnknownPlaceholder", id="typo"),
        pytest.param("$(scope)", SCOPE, "UnknownPlaceholder", id="only built-in queries have a scope"),
        pytest.param("$(label.zone)", SCOPE, "UnknownPlaceholder", id="no such label"),
        pytest.param("$(label.)", SCOPE, "UnknownPlaceholder", id="no key"),
        pytest.param("$( name )", SCOPE, "UnknownPlaceholder", id="blanks"),
        pytest.param("$(label.odd)", SCOPE, "PlaceholderUnusable", id="a text outside of quotes"),
        pytest.param("$(podRegex)", SCOPE, "PlaceholderUnusable", id="a regular expression outside of quotes"),
        pytest.param(
            "a{b=`$(label.x)`}",
            dataclasses.replace(SCOPE, labels={"x": "`"}),
            "PlaceholderUnusable",
            id="a backtick within backticks",
        ),
        pytest.param("$(name)", OUTSIDE, "NoTarget", id="name without target"),
        pytest.param("$(podRegex)", OUTSIDE, "NoTarget", id="pods without target"),
        pytest.param("$(cpuCores)", OUTSIDE, "NoTarget", id="cores without target"),
        pytest.param("$(cpuCores)", dataclasses.replace(SCOPE, cpu_cores=None), "NoRequestsOrLimits", id="no CPU"),
        pytest.param(
            "$(memoryBytes)", dataclasses.replace(SCOPE, memory_bytes=None), "NoRequestsOrLimits", id="no memory"
        ),
    ],
)
def test_cannot_be_filled_in(template: str, scope: QueryScope, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        fill(template, scope)

    assert caught.value.reason == reason


def test_unknown_placeholder_names_itself_and_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"\$\(nmae\).*\$\(namespace\), \$\(name\), .*\$\(label\.region\)"):
        fill("a{b='$(nmae)'}")


def test_value_is_not_filled_in_again() -> None:
    scope = dataclasses.replace(SCOPE, labels={"x": "$(namespace)"})

    assert fill('a{r="$(label.x)"}', scope) == 'a{r="$(namespace)"}'
    assert '"$(namespace)"' in render(Query("built-in", "a{$(scope)}", PODS), scope)


def test_scope_of_a_built_in_query() -> None:
    scope = dataclasses.replace(SCOPE, labels={"app.kubernetes.io/name": "x", "9a": 'q"'})

    text = render(Query("built-in", "a{$(scope),b='c'}", PODS), scope)

    assert text == (
        'a{namespace="shop",pod=~"checkout-[456789bcdf]{1,10}-[bcdfghjklmnpqrstvwxz2456789]{5}",'
        '_9a="q\\"",app_kubernetes_io_name="x",b=\'c\'}'
    )


@pytest.mark.parametrize(
    ("query", "scope"),
    [
        pytest.param(
            Query("q", "a{$(scope)}", PODS), dataclasses.replace(OUTSIDE, labels={}), id="no target, no label"
        ),
        pytest.param(
            Query("q", "a{$(scope)}", PODS, needs_labels=True),
            dataclasses.replace(SCOPE, labels={}),
            id="an exporter apart, no label",
        ),
    ],
)
def test_too_wide_a_scope_is_refused(query: Query, scope: QueryScope) -> None:
    with pytest.raises(SpecError) as caught:
        render(query, scope)

    assert caught.value.reason == "NoScope"


def test_outside_of_the_cluster_labels_alone_are_the_scope() -> None:
    scope = dataclasses.replace(OUTSIDE, labels={"instance": "db:9187"})

    assert render(Query("q", "a{$(scope)}", PODS), scope) == 'a{instance="db:9187"}'


@pytest.mark.parametrize(
    ("key", "name"),
    [("app", "app"), ("app.kubernetes.io/part-of", "app_kubernetes_io_part_of"), ("0x", "_0x"), ("ä", "_")],
)
def test_label_names_as_prometheus_maps_them(key: str, name: str) -> None:
    assert label_name(key) == name


APP = dataclasses.replace(SCOPE, labels={"job": "checkout"}, external_labels={"cluster": "eu", "a": 'b"'})
OWN = 'namespace="shop",pod=~"checkout-[456789bcdf]{1,10}-[bcdfghjklmnpqrstvwxz2456789]{5}"'


@pytest.mark.parametrize(
    ("query", "scope", "filled"),
    [
        pytest.param(
            Query("q", "x{$(scope)}", PODS),
            APP,
            f'x{{{OWN},job="checkout",a="b\\"",cluster="eu"}}',
            id="its own series",
        ),
        pytest.param(
            Query("q", "x{$(scope)}", PODS, takes_labels=False),
            APP,
            f'x{{{OWN},a="b\\"",cluster="eu"}}',
            id="what others tell of it",
        ),
        pytest.param(
            Query("q", "x{$(scope)}", PODS, takes_labels=False),
            dataclasses.replace(APP, target=None, external_labels={}),
            'x{job="checkout"}',
            id="without pods there is nothing else to tell it by",
        ),
        pytest.param(Query("Custom", "x"), APP, "x", id="a query of a person's own stays as it is"),
    ],
)
def test_labels_stand_only_where_series_can_carry_them(query: Query, scope: QueryScope, filled: str) -> None:
    assert render(query, scope) == filled


def test_labels_of_the_cluster_do_not_say_which_series_are_meant() -> None:
    scope = dataclasses.replace(OUTSIDE, labels={}, external_labels={"cluster": "eu"})

    with pytest.raises(SpecError) as caught:
        render(Query("q", "x{$(scope)}", PODS), scope)

    assert caught.value.reason == "NoScope"


@pytest.mark.parametrize(
    ("query", "scope", "thing"),
    [
        pytest.param(Query("q", "by ($(each))", PODS), SCOPE, "by (pod)", id="pods"),
        pytest.param(Query("q", "by ($(each))", PODS, needs_labels=True), SCOPE, "by (instance)", id="apart"),
        pytest.param(Query("q", "by ($(each))", PODS), OUTSIDE, "by (instance)", id="outside of the cluster"),
    ],
)
def test_what_counts_once_is_a_pod_or_an_address(query: Query, scope: QueryScope, thing: str) -> None:
    assert render(query, scope) == thing
