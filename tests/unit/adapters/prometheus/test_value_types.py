"""Which queries are known to be instant vectors."""

from __future__ import annotations

import pytest

from twinops.adapters.prometheus.value_types import MAX_LENGTH, is_instant_vector

VECTORS = [
    "up",
    "(up)",
    "-up",
    "up + 1",
    "1 - up",
    "1 > bool up",
    "sum by (a) (up)",
    "rate(up[5m])",
    "vector(1)",
    "absent(up)",
    "a or b",
    'label_replace(up, "a", "b", "", "")',
    "max_over_time(sum(up)[5m:1m])",
    "up offset 5m",
    "up @ 1",
    "up # a comment",
    '{"utf.8", "a-b"="c"}',
    "count_values('a', up)",
]
OTHERS = [
    "1",
    "1 + 1",
    "-1",
    "(2)",
    "time()",
    "scalar(up)",
    "time() - scalar(up)",
    "pi()",
    '"text"',
    "up[5m]",
    "up[5m:1m]",
    "(up",
    "up)",
    "up) or (up",
    "",
    "# a comment",
    "no_such_function(up)",
    "1e400[5m]",
    "+".join(["up"] * 500),
    "up " + "#" * MAX_LENGTH,
]


@pytest.mark.parametrize("promql", VECTORS)
def test_vectors(promql: str) -> None:
    assert is_instant_vector(promql)
    assert is_instant_vector(promql), "from the cache, too"


@pytest.mark.parametrize("promql", OTHERS, ids=lambda promql: promql[:20])
def test_others(promql: str) -> None:
    assert not is_instant_vector(promql)
    assert not is_instant_vector(promql), "from the cache, too"
