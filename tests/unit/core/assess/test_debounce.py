"""Three of the last five syncs, with hysteresis."""

from __future__ import annotations

import pytest

from twinops.api.base import utc
from twinops.core.assess.debounce import after_gap, is_new, persistent, push

OUTSIDE, BETWEEN, CLEARED = "outside", "between", "cleared"
NOTHING = "no value"


def play(*syncs: str) -> tuple[str, list[bool]]:
    """Take a twin through these syncs; return the last window and the verdict after each."""
    recent, lasting, verdicts = "", False, []
    for sync in syncs:
        if sync != NOTHING:
            recent = push(recent, sync == OUTSIDE)
        lasting = persistent(recent, lasting, sync == CLEARED)
        verdicts.append(lasting)
    return recent, verdicts


@pytest.mark.parametrize(
    ("syncs", "verdicts"),
    [
        pytest.param([], [], id="no sync yet"),
        pytest.param([OUTSIDE] * 3, [False, False, True], id="three in a row"),
        pytest.param([OUTSIDE, OUTSIDE, BETWEEN, BETWEEN, OUTSIDE], [False] * 4 + [True], id="three of five with gaps"),
        pytest.param(
            [OUTSIDE, BETWEEN, BETWEEN, BETWEEN, OUTSIDE, OUTSIDE], [False] * 6, id="three of six is not enough"
        ),
        pytest.param([OUTSIDE, CLEARED] * 2 + [OUTSIDE], [False] * 4 + [True], id="every second sync"),
        pytest.param([OUTSIDE] * 3 + [CLEARED], [False, False, True, True], id="one good reading does not end it"),
        pytest.param([OUTSIDE] * 3 + [CLEARED] * 3, [False, False, True, True, True, False], id="ends once cleared"),
        pytest.param(
            [OUTSIDE] * 3 + [BETWEEN] * 9, [False, False] + [True] * 10, id="under the threshold is not well back"
        ),
        pytest.param(
            [OUTSIDE] * 3 + [BETWEEN] * 5 + [CLEARED],
            [False, False] + [True] * 6 + [False],
            id="one well back sync is enough once the window has cleared",
        ),
        pytest.param(
            [OUTSIDE] * 3 + [CLEARED] * 3 + [OUTSIDE, OUTSIDE],
            [False, False, True, True, True, False, False, False],
            id="after its end it takes three of five again",
        ),
        pytest.param([OUTSIDE] * 3 + [NOTHING] * 9, [False, False] + [True] * 10, id="silence changes nothing"),
        pytest.param([OUTSIDE, NOTHING, OUTSIDE, NOTHING, OUTSIDE], [False] * 4 + [True], id="silence is no sync"),
    ],
)
def test_rule(syncs: list[str], verdicts: list[bool]) -> None:
    assert play(*syncs)[1] == verdicts


def test_window_keeps_the_last_five_newest_last() -> None:
    assert play(OUTSIDE, OUTSIDE, BETWEEN, BETWEEN, BETWEEN, OUTSIDE)[0] == "10001"


def test_window_starts_with_the_first_sync() -> None:
    assert push("", outside=False) == "0"


@pytest.mark.parametrize(
    ("last", "at", "interval", "new", "gap"),
    [
        pytest.param(None, 1000.0, 60, True, False, id="the first of all"),
        pytest.param(1000.0, 1060.0, 60, True, False, id="a sync later"),
        pytest.param(1000.0, 1000.0, 60, False, False, id="the same sample"),
        pytest.param(1000.0, 1000.9, 60, False, False, id="the same but for what status cuts off"),
        pytest.param(1000.0, 1001.0, 60, True, False, id="a second later"),
        pytest.param(1000.0, 990.0, 60, False, False, id="a Prometheus that lags behind its twin"),
        pytest.param(1000.0, 1600.0, 60, True, False, id="ten minutes later"),
        pytest.param(1000.0, 1601.0, 60, True, True, id="more than ten minutes later"),
        pytest.param(1000.0, 8200.0, 3600, True, False, id="two long intervals later"),
        pytest.param(1000.0, 8201.0, 3600, True, True, id="more than two long intervals later"),
        pytest.param(5000.0, 1000.0, 60, False, True, id="a clock that was far ahead"),
    ],
)
def test_which_data_count(last: float | None, at: float, interval: float, *, new: bool, gap: bool) -> None:
    counted = None if last is None else utc(last)
    assert (is_new(counted, at), after_gap(counted, at, interval)) == (new, gap)
