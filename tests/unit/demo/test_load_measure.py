from __future__ import annotations

import math

import pytest

from demo.load.measure import Answer, by_second, quantile, summarize

LIMIT_MS = 400


def good(sent: float, seconds: float = 0.1, replicas: int | None = 3) -> Answer:
    return Answer(sent, seconds, failed=False, replicas=replicas)


def bad(sent: float, replicas: int | None = None) -> Answer:
    return Answer(sent, 2.0, failed=True, replicas=replicas)


@pytest.mark.parametrize(
    ("values", "level", "expected"),
    [
        pytest.param([5.0], 0.95, 5.0, id="one value"),
        pytest.param([float(n) for n in range(1, 101)], 0.95, 95.0, id="a hundred"),
        pytest.param([3.0, 1.0, 2.0], 0.5, 2.0, id="unsorted"),
        pytest.param([1.0] * 19 + [9.0], 0.95, 1.0, id="one in twenty does not count"),
        pytest.param([1.0] * 18 + [9.0] * 2, 0.95, 9.0, id="two in twenty do"),
    ],
)
def test_quantile_is_the_nearest_rank(values: list[float], level: float, expected: float) -> None:
    assert quantile(values, level) == expected


def test_the_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(quantile([], 0.95))


def test_answers_are_sorted_into_the_second_they_were_sent_in() -> None:
    seconds = by_second([good(1.9), good(0.0), good(1.0, seconds=0.5, replicas=4), bad(3.2)])
    assert [(s.at, s.offered, s.failed, s.p95_ms, s.replicas) for s in seconds] == [
        (0, 1, 0, 100, 3),
        (1, 2, 0, 500, 4),
        (3, 1, 1, 2000, None),
    ]


def test_a_failure_is_as_bad_as_the_timeout_however_fast_it_came() -> None:
    summary = summarize([good(0)] * 9 + [bad(0.5)], limit_ms=LIMIT_MS)
    assert summary.failed_share == pytest.approx(0.1)
    assert summary.p95_ms == 2000
    assert summary.seconds_over == 1


def test_seconds_over_the_limit_are_counted_one_by_one() -> None:
    answers = [good(0), good(1, seconds=0.4), good(2, seconds=0.401), bad(3), good(4)]
    assert summarize(answers, limit_ms=LIMIT_MS).seconds_over == 2


def test_replica_seconds_survive_a_second_without_an_answer() -> None:
    summary = summarize([bad(0), good(1, replicas=3), bad(2), good(3, replicas=5)], limit_ms=LIMIT_MS)
    assert summary.replica_seconds == 0 + 3 + 3 + 5
    assert summary.most_replicas == 5


def test_nothing_measured_is_nothing_failed() -> None:
    summary = summarize([], limit_ms=LIMIT_MS)
    assert (summary.requests, summary.failed_share, summary.seconds_over) == (0, 0.0, 0)
    assert math.isnan(summary.p95_ms)
