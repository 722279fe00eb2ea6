"""The scoring rule against figures worked by hand and published ones."""

from __future__ import annotations

import pytest

from benchmarks.drift.nab import PROFILES, Score, bootstrap, outcome, probation, score, sigmoid

STANDARD = PROFILES["standard"]
ROWS = 1000
WINDOW = (400, 499)


def raw(*alarms: int, profile: str = "standard") -> float:
    return score(alarms, ROWS, [WINDOW], PROFILES[profile]).raw


@pytest.mark.parametrize(
    ("position", "worth"),
    [
        pytest.param(-1.0, 0.98661, id="begin of the window"),
        pytest.param(-0.5, 0.84828, id="middle of the window"),
        pytest.param(0.0, 0.0, id="end of the window"),
        pytest.param(1.0, -0.98661, id="one window after"),
        pytest.param(3.5, -1.0, id="far after"),
        pytest.param(float("inf"), -1.0, id="no window before"),
    ],
)
def test_sigmoid(position: float, worth: float) -> None:
    assert sigmoid(position) == pytest.approx(worth, abs=1e-5)


def test_example_of_the_paper() -> None:
    """Figure 2: one alarm before the window, two in it, one shortly after and one far after: 0.6909."""
    early, after = -0.9999, -0.8093
    a_fp = STANDARD.false_alarm
    assert -a_fp - early + after * a_fp - a_fp == pytest.approx(0.6909, abs=1e-4)
    shortly = next(row for row in range(500, 600) if sigmoid((row - 499) / 99) <= after)
    assert raw(200, 400, 450, shortly, 950) == pytest.approx(0.6909, abs=2e-3)


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        pytest.param([], -1.0, id="nothing raised"),
        pytest.param([400], 1.0, id="at the begin"),
        pytest.param([400, 401, 499], 1.0, id="only the earliest counts"),
        pytest.param([10, 149], -1.0, id="in probation"),
        pytest.param([150], -1.11, id="first row after probation"),
    ],
)
def test_raw_score(alarms: list[int], expected: float) -> None:
    assert raw(*alarms) == pytest.approx(expected)


def test_later_alarm_in_a_window_earns_less() -> None:
    earned = [raw(row) for row in range(400, 500)]
    assert earned == sorted(earned, reverse=True)
    assert earned[-1] > -1.0


def test_profiles_weigh_false_alarms_and_misses() -> None:
    assert raw(200, profile="reward_low_FP") == pytest.approx(-1.22)
    assert raw(200, profile="reward_low_FN") == pytest.approx(-2.11)


@pytest.mark.parametrize("profile", PROFILES)
def test_null_is_zero_and_perfect_is_a_hundred(profile: str) -> None:
    windows = [(300, 399), (600, 799)]
    assert score([], ROWS, windows, PROFILES[profile]).normalised == 0.0
    assert score([300, 600], ROWS, windows, PROFILES[profile]).normalised == pytest.approx(100.0)


def test_probation_has_an_upper_end() -> None:
    assert probation(4032) == 604
    assert probation(100_000) == 750


def test_files_add_up() -> None:
    found, missed = score([300], ROWS, [(300, 399)], STANDARD), score([], ROWS, [(300, 399)], STANDARD)
    assert (found + missed).normalised == pytest.approx(50.0)


def test_outcome_counts_what_comes_after_probation() -> None:
    what = outcome([10, 200, 450], ROWS, [WINDOW, (600, 700)])
    assert what.found == (True, False)
    assert what.false_alarms == 1


def test_bootstrap_holds_the_score() -> None:
    scores = [Score(1.0, -1.0, 1.0), Score(-1.0, -1.0, 1.0)] * 10
    low, high = bootstrap(scores)
    assert low < sum(scores, Score()).normalised < high
