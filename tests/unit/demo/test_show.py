from __future__ import annotations

import math

import pytest

from demo import scenario
from demo.load.measure import Second, summarize
from demo.show import clock, comparison, latency, sparkline, state_of


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        pytest.param(0, "0:00", id="zero"),
        pytest.param(59.9, "0:59", id="no rounding up"),
        pytest.param(187, "3:07", id="m"),
    ],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        pytest.param(151.4, "151 ms", id="usual"),
        pytest.param(2000.0, "failing", id="at the time-out"),
        pytest.param(math.nan, "-", id="nothing measured"),
    ],
)
def test_latency(milliseconds: float, shown: str) -> None:
    assert latency(milliseconds) == shown


@pytest.mark.parametrize(
    ("values", "top", "columns", "line"),
    [
        pytest.param([0, 4, 8], 8, 10, "▁▅█", id="on one scale"),
        pytest.param([0, 8, 0, 1], 8, 2, "█▂", id="peaks survive"),
        pytest.param([], 8, 10, "", id="nothing"),
        pytest.param([0, 0], 0, 10, "▁▁", id="all zero"),
    ],
)
def test_sparkline(values: list[float], top: float, columns: int, line: str) -> None:
    assert sparkline(values, top, columns) == line


SECONDS = [Second(at=1, offered=61, failed=0, p95_ms=152, replicas=6), Second(2, 61, 61, 2000, None)]


def test_the_state_of_both_shops_on_one_line() -> None:
    nothing = summarize([], limit_ms=400)
    line = state_of({"shop": (nothing, SECONDS[:1]), "shop-plain": (nothing, SECONDS)})
    assert line == " 61 req/s │ shop 6 pods, p95 152 ms │ shop-plain - pods, p95 failing"


def test_the_comparison_survives_a_shop_that_never_answered() -> None:
    nothing = summarize([], limit_ms=400)
    text = comparison({scenario.TWINNED: (nothing, SECONDS), scenario.PLAIN: (nothing, SECONDS[1:])})
    assert "with twin" in text
    assert "ready replicas, 0..6" in text
