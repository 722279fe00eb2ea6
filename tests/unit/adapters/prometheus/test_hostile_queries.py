"""What the worst query that the CRD lets through costs: time linear in its length, memory bounded."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest

from twinops.adapters.prometheus.lexing import MAX_LEVELS, MAX_TOKENS, too_complex, without_strings
from twinops.adapters.prometheus.memo import Memo
from twinops.adapters.prometheus.promql import MAX_LENGTH, render
from twinops.adapters.prometheus.selectors import MAX_FRESHNESS, inspect
from twinops.api.references import TargetRef
from twinops.core.metrics.queries import Query, QueryScope
from twinops.errors import SpecError

LONGEST = 4096
"""Characters of a query, as the CRD bounds them."""

SCOPE = QueryScope(namespace="t", target=TargetRef(name="a"), window_seconds=60)


def deep(length: int) -> dict[str, str]:
    """Return texts of this length, each of which is deep, or has been slow to read."""
    return {
        "minus": "-" * (length - 1) + "a",
        "parentheses": "(" * (length // 2 - 1) + "a" + ")" * (length // 2 - 1),
        "open parentheses": "(" * length,
        "closing first": ")" * (length // 2) + "(" * (length // 2),
        "powers": "a" + "^a" * (length // 2 - 1),
        "sums": "1" + "+1" * (length // 2 - 1),
        "or": "a" + " or a" * (length // 5 - 1),
        "OR in capitals": "a" + " OR a" * (length // 5 - 1),
        "comparisons": "a" + ">a" * (length // 2 - 1),
        "functions": "abs(" * (length // 5) + "a" + ")" * (length // 5),
        "subqueries": "max_over_time(" * (length // 20) + "a" + "[5m:])" * (length // 20),
        "behind a brace": "a{" + "-" * (length - 2),
        "many labels": "a{" + ",".join(f'b{i}=""' for i in range(length // 8)) + "}",
        "many arguments": "label_join(a" + ',"a"' * (length // 4 - 10) + ")",
        "open quote, escaped ones": '"' + '\\"' * (length // 2 - 1),
        "escaped quotes, no opening": '\\"' * (length // 2),
        "apostrophes": "'\\'" * (length // 3),
        "backticks": "`" * length,
        "hashes": "#" * length,
        "comment lines": "#\n" * (length // 2),
        "blanks": " " * length,
        "digits": "9" * length,
        "quantiles": "histogram_quantile(0.9," * (length // 23),
        "open quantile": "histogram_quantile(" + " " * (length - 40) + "9" * 20,
        "letters of no language": "\ud800é" * (length // 2),
    }


NAMES = list(deep(LONGEST))

FLAT = "a{" + ",".join(f'b{i}="x"' for i in range(400)) + "}"
EXPRESSIONS = {
    "regular expressions": "a{" + ",".join(rf'b=~"\\pL{{9{i % 10}}}"' for i in range(250)) + "}",
    "deepest that is read": "(" * (MAX_LEVELS - 1) + FLAT + ")" * (MAX_LEVELS - 1),
    "most signs that are read": "-" * (MAX_LEVELS - 1) + FLAT,
}


def seconds(text: str) -> float:
    """Return the least CPU time, of a few, that reading and rendering a text takes."""
    query = Query("Custom", text.replace("$", ""))
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        too_complex(text)
        without_strings(text)
        render(query, SCOPE)
        best = min(best, time.process_time() - begin)
    return best


@pytest.mark.parametrize("name", NAMES)
def test_reading_takes_time_linear_in_the_length(name: str) -> None:
    short, long = deep(LONGEST // 8)[name], deep(LONGEST)[name]

    # Eight times the text takes eight times as long, and 64 times if anything were quadratic.
    assert seconds(long) < 24 * max(seconds(short), 5e-5)


def test_placeholders_behind_open_quotes_take_linear_time() -> None:
    def cost(length: int) -> float:
        text = '"' + '\\"' * (length // 4)
        query = Query("Custom", text + "$(namespace)" * ((length - len(text)) // 12))
        begin = time.process_time()
        render(query, SCOPE)
        return time.process_time() - begin

    assert min(cost(LONGEST) for _ in range(5)) < 24 * max(min(cost(LONGEST // 8) for _ in range(5)), 5e-5)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_can_be_written_fails_to_be_read(name: str) -> None:
    found = inspect(deep(LONGEST)[name], stale_after_seconds=60, scrape_interval_seconds=15)

    assert len(found.warning) <= 300
    assert not found.warning or not found.presence


def test_the_worst_queries_fit_into_little_memory() -> None:
    """A parser that copies what lies below each level took more than a gigabyte, and compiled every expression."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(sys.path[0])!r})
from tests.unit.adapters.prometheus.test_hostile_queries import EXPRESSIONS, LONGEST, deep, inspect
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for text in [*deep(LONGEST).values(), *EXPRESSIONS.values()]:
    inspect(text, stale_after_seconds=60, scrape_interval_seconds=15)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))

    done = subprocess.run(  # noqa: S603 - the limit is to hold for the child alone
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024  # KiB


@pytest.mark.parametrize("name", ["deepest that is read", "most signs that are read"])
def test_what_is_allowed_is_read(name: str) -> None:
    assert not inspect(EXPRESSIONS[name], stale_after_seconds=60, scrape_interval_seconds=15).warning


@pytest.mark.parametrize(
    ("promql", "problem"),
    [
        pytest.param("-" * MAX_LEVELS + "a", "", id="most operators"),
        pytest.param("-" * (MAX_LEVELS + 1) + "a", "operators", id="one operator too many"),
        pytest.param("(" * (MAX_LEVELS + 1) + "a" + ")" * (MAX_LEVELS + 1), "nested", id="one bracket too many"),
        pytest.param("(a)" * 2 * MAX_LEVELS, "", id="brackets side by side"),
        pytest.param('a{b="' + "-" * 4000 + '"}', "", id="signs within a string"),
        pytest.param("a # " + "-(" * 2000, "", id="signs within a comment"),
        pytest.param("a{" + "b!='c'," * (2 * MAX_LEVELS) + "}", "", id="matchers are no operators"),
        pytest.param("a{b='" + "\\'" * 300 + "'}" + "+1" * 200, "operators", id="escaped quotes do not hide signs"),
        pytest.param("a{b=`\\`}" + "+1" * 200, "operators", id="a backslash within backticks hides nothing"),
        pytest.param("or_a" + " + and_b" * 10, "", id="words that begin as operators"),
        pytest.param("a offset NaN", "duration", id="no duration"),
        pytest.param("a offset - Inf", "duration", id="an endless offset"),
        pytest.param("a[5m:1e99]", "duration", id="an endless step"),
        pytest.param("a[1e400]", "duration", id="an endless range"),
        pytest.param("a[1e3] offset 600 + NaN", "", id="seconds"),
        pytest.param("a," * MAX_TOKENS, "words", id="too many words"),
    ],
)
def test_what_is_too_complex(promql: str, problem: str) -> None:
    found = too_complex(promql)

    assert problem in found
    assert bool(found) is bool(problem)


def test_a_query_that_grows_too_long_is_refused() -> None:
    scope = QueryScope(namespace="t", target=None, window_seconds=60, labels={"k": "x" * MAX_LENGTH})

    with pytest.raises(SpecError, match="placeholders") as caught:
        render(Query("Custom", 'a{b="$(label.k)"}'), scope)

    assert caught.value.reason == "QueryTooLong"


def test_regular_expressions_reach_the_look_ups_as_they_are() -> None:
    promql = r"""a{b=~"(\\pL{90}",'c.d'!~'it\'s',e=~`\d"`} # "no string"
    + {"f g"="#"}"""

    found = inspect(promql, stale_after_seconds=60, scrape_interval_seconds=15)

    assert list(found.presence) == [
        r"""a{b=~"(\\pL{90}",'c.d'!~'it\'s',e=~"\\d\""}""",
        '{"f g"="#"}',
    ]


def test_too_many_series_are_not_looked_up() -> None:
    promql = " + ".join('a{b="' + "x" * 600 + f'{i}"}}' for i in range(100))

    found = inspect(promql, stale_after_seconds=60, scrape_interval_seconds=15)

    assert len(promql) > MAX_FRESHNESS // 2
    assert "series" in found.warning
    assert not found.freshness


def test_long_queries_do_not_multiply() -> None:
    """Look-ups take a query several times over, and each is sent at every sync."""
    long = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{b=~"' + "x|" * 15_000 + 'y"}[5m])))'
    short = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{b=~"x|y"}[5m])))'
    many = " + ".join(f'a{{b="{"x" * 3000}{n}"}}' for n in range(10)) + f' + c{{d="{"x" * 30_000}"}}'
    wide = " + ".join(f'a{{b="{"x" * 15_000}{n}"}}' for n in range(4))

    found = inspect(long, stale_after_seconds=60, scrape_interval_seconds=15)
    assert not found.warning
    assert (found.top, found.measured, found.bounds, found.past) == ("", "", "", "")
    assert inspect(short, stale_after_seconds=60, scrape_interval_seconds=15).measured
    for text in (many, wide):
        presence = inspect(text, stale_after_seconds=60, scrape_interval_seconds=15).presence
        assert sum(map(len, presence)) <= 64 * 1024


def test_what_is_remembered_is_counted_in_bytes() -> None:
    memo = Memo[str, str](10_000)
    for n in range(100):
        memo.put(str(n), "", size=600)
    memo.get("90")
    memo.put("large", "", size=9_000)
    memo.put("too large", "", size=10_000)

    assert memo.size <= 10_000
    assert memo.get("99") is None
    assert memo.get("large") == ""
    assert memo.get("too large") is None


def test_what_was_used_last_stays() -> None:
    memo = Memo[str, int](3_000)
    for n in range(3):
        memo.put(str(n), n, size=500)
    memo.get("0")
    memo.put("3", 3, size=500)

    assert memo.get("0") == 0
    assert memo.get("1") is None
