"""The learned baseline as a twin's syncs feed it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from support.baseline_series import DAY, START, STEP, daily, noise
from twinops.core.baseline.estimate import BaselineEstimate, TwinBaseline
from twinops.core.baseline.settings import SETTINGS
from twinops.core.baseline.statistics import AnomalyKind
from twinops.core.series import Floats, Series

BEGIN = START * STEP
MINUTE = 60.0


def history(values: Floats, step: float = STEP) -> Series:
    times: Floats = BEGIN + step * np.arange(len(values), dtype=np.float64)
    return Series(times, values, step)


def taught(values: Floats) -> tuple[TwinBaseline, float]:
    """Return a baseline that has learned these values, and the moment after them."""
    baseline = TwinBaseline(["cpuUsage", "latencyMs"], MINUTE)
    now = BEGIN + STEP * len(values)
    baseline.learn({"cpuUsage": history(values)}, now)
    return baseline, now


def test_nothing_is_expected_before_anything_is_known() -> None:
    baseline = TwinBaseline(["cpuUsage"], MINUTE).observe(BEGIN, {"cpuUsage": 5.0})["cpuUsage"]
    assert (baseline.expected, baseline.lower, baseline.upper, baseline.alarm) == (None, None, None, None)


def test_first_sync_after_history_knows_what_to_expect() -> None:
    learned, now = taught(daily(8.5))
    baselines = learned.observe(now, {"cpuUsage": 60.0, "latencyMs": None})
    baseline = baselines["cpuUsage"]
    assert baseline.expected == pytest.approx(60, abs=2)
    assert baseline.lower is not None
    assert baseline.upper is not None
    assert baseline.lower < 60 < baseline.upper
    assert baseline.alarm is None
    assert baselines["latencyMs"].expected is None


def test_expectation_moves_with_the_hour() -> None:
    baseline, now = taught(daily(8))
    night = baseline.observe(now, {})["cpuUsage"].expected
    noon = baseline.observe(now + 12 * 3600, {})["cpuUsage"].expected
    assert night == pytest.approx(20, abs=2)
    assert noon == pytest.approx(60, abs=2)


def test_estimates_are_computed_once_per_slot_and_are_the_same_as_if_each_sync_did() -> None:
    baseline, now = taught(daily(8))
    often, first = [baseline.observe(now + MINUTE * sync, {"cpuUsage": 30.0}) for sync in range(11)], 0
    for sync, found in enumerate(often):
        if sync % 5 == 0:
            first = sync
        assert found is often[first]
    assert often[0] is not often[5]
    once, now = taught(daily(8))
    kept = [once.observe(now + STEP * slot, {"cpuUsage": 30.0}) for slot in range(3)]
    assert kept == often[::5]


def test_alarm_comes_when_the_slot_is_over_and_says_since_when() -> None:
    baseline, now = taught(noise(5))
    baselines = [baseline.observe(now + MINUTE * sync, {"cpuUsage": 90.0})["cpuUsage"] for sync in range(6)]
    assert [baseline.alarm is None for baseline in baselines] == [True] * 5 + [False]
    last = baselines[-1]
    assert last.alarm is not None
    assert last.alarm.detector.kind is AnomalyKind.SPIKE
    assert last.since == now
    assert last.alarm.actual == pytest.approx(90)


def test_alarm_ends_when_values_are_back() -> None:
    baseline, now = taught(noise(5))
    back = np.repeat(noise(0.5, seed=7), 5)
    values = [90.0] * 5 + back.tolist()
    baselines = [
        baseline.observe(now + MINUTE * sync, {"cpuUsage": value})["cpuUsage"] for sync, value in enumerate(values)
    ]
    assert baselines[5].alarm is not None
    assert baselines[-1].alarm is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_no_fresh_value_is_no_anomaly(value: float | None) -> None:
    baseline, now = taught(noise(5))
    for sync in range(60 * 24):
        assert baseline.observe(now + MINUTE * sync, {"cpuUsage": value})["cpuUsage"].alarm is None


def test_history_at_the_twins_own_step_is_averaged() -> None:
    minutes = np.repeat(noise(3), 5)
    baseline = TwinBaseline(["cpuUsage"], MINUTE)
    baseline.learn({"cpuUsage": history(minutes, MINUTE)}, BEGIN + 3 * DAY * STEP)
    whole, now = taught(noise(3))
    one, other = (which.observe(now, {})["cpuUsage"] for which in (baseline, whole))
    assert (one.expected, one.upper) == pytest.approx((other.expected, other.upper))


def test_nothing_later_than_asked_for_is_learned() -> None:
    values = noise(4)
    changed = values.copy()
    changed[3 * DAY :] += 100
    baselines = []
    for one in (values, changed):
        baseline = TwinBaseline(["cpuUsage"], MINUTE)
        baseline.learn({"cpuUsage": history(one)}, BEGIN + 3 * DAY * STEP)
        baselines.append(baseline.observe(BEGIN + 3 * DAY * STEP, {}))
    assert baselines[0] == baselines[1]


def test_half_a_year_of_silence_starts_anew() -> None:
    baseline, now = taught(noise(3))
    assert baseline.observe(now + 3 * SETTINGS.normal_half_life, {"cpuUsage": 1.0})["cpuUsage"].expected is None


def lived(values: Floats, days: int = 5) -> list[BaselineEstimate]:
    """Return the readings of one sync a slot after some days of noise around 50."""
    baseline, now = taught(noise(days))
    return [
        baseline.observe(now + STEP * place, {"cpuUsage": value})["cpuUsage"]
        for place, value in enumerate(values.tolist())
    ]


def standing(baselines: list[BaselineEstimate]) -> list[int]:
    return [place for place, baseline in enumerate(baselines) if baseline.alarm is not None]


def test_nothing_is_told_before_a_day_is_known() -> None:
    baseline, now = taught(noise(0.9))
    assert baseline.observe(now, {})["cpuUsage"].expected is None
    baseline, now = taught(noise(1.1))
    assert baseline.observe(now, {})["cpuUsage"].expected is not None


def test_band_does_not_follow_what_an_alarm_stands_over() -> None:
    values = noise(0.5, 90.0, seed=7)
    before, *_, after = lived(values)
    assert before.upper is not None
    assert after.upper is not None
    assert after.alarm is not None
    assert after.upper < before.upper + 5 < 90


def test_alarm_of_a_spike_ends_after_a_quarter_of_an_hour() -> None:
    values = noise(0.5, seed=7)
    values[10] += 40
    assert standing(lived(values)) == [11, 12, 13]


def test_alarm_of_a_shift_stands_until_it_is_over() -> None:
    values = noise(0.5, seed=7)
    values[10:58] += 40
    places = standing(lived(values))
    assert places == list(range(11, places[-1] + 1))
    assert 58 <= places[-1] <= 58 + 12


def test_what_comes_back_stands_until_the_hold_off_is_over() -> None:
    """Else the alert of ever larger spikes would come and go with each of them."""
    values = noise(0.5, seed=7)
    values[10::12] += 40 * 1.5 ** np.arange(len(values[10::12]))
    places = standing(lived(values))
    assert places[:3] == [11, 12, 13]
    again = [place for place in places if 13 < place < 10 + SETTINGS.hold_off / STEP]
    assert again == list(range(23, 23 + len(again)))
    assert len(again) > 40


def test_unknown_values_neither_end_an_alarm_nor_lift_it() -> None:
    values = noise(0.5, seed=7)
    values[10:40] += 40
    values[14:26] = np.nan
    assert set(range(11, 40)) <= set(standing(lived(values)))


def test_state_is_small() -> None:
    baseline, _ = taught(daily(7))
    assert baseline.nbytes <= len(baseline.metrics) * 4900


@pytest.mark.parametrize(("least", "clipped"), [(0.0, True), (-1.0, False)])
def test_band_of_what_was_never_below_zero_does_not_go_there(least: float, clipped: bool) -> None:  # noqa: FBT001
    rng = np.random.default_rng(5)
    values: Floats = np.maximum(least, rng.normal(1, 3, 4 * 288)).astype(np.float64)
    baseline = TwinBaseline(["x"], 300.0)
    times: Floats = 300.0 * np.arange(len(values), dtype=np.float64)
    baseline.learn({"x": Series(times, values, 300.0)}, times[-1] + 300)
    found = baseline.observe(times[-1] + 300, {"x": 1.0})["x"]
    assert found.lower is not None
    assert (found.lower >= 0) is clipped
