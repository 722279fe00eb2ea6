"""What raises an alarm, what does not, and what the alarm says."""

from __future__ import annotations

import numpy as np
import pytest

from support.baseline_series import DAY, START, STEP, Floats, bursts, daily, noise
from twinops.core.baseline.learner import Alarm, LearnedBaseline
from twinops.core.baseline.settings import SETTINGS
from twinops.core.baseline.statistics import AnomalyKind

AT = 8 * DAY + 100
HOURS = 12


def alarms(values: Floats, step: float = STEP) -> tuple[Alarm, ...]:
    return LearnedBaseline(1, step).advance(START, values[:, None]).alarms


def spiked(values: Floats, size: float) -> Floats:
    values[AT] += size
    return values


def shifted(values: Floats, size: float) -> Floats:
    values[AT:] += size
    return values


def restless(values: Floats, times: float) -> Floats:
    values[AT:] = values.mean() + times * (values[AT:] - values.mean())
    return values


def still(values: Floats) -> Floats:
    values[AT : AT + DAY] = values[AT - 1]
    return values


def without_a_day(values: Floats) -> Floats:
    values[8 * DAY : 9 * DAY] = noise(1, 20.0, 1.0, seed=9)
    return values


def silent(values: Floats) -> Floats:
    values[AT : AT + 2 * DAY] = 1.0
    return values


@pytest.mark.parametrize(
    ("values", "kinds", "within_hours"),
    [
        pytest.param(spiked(noise(10), 30), {AnomalyKind.SPIKE}, 0, id="spike up"),
        pytest.param(spiked(noise(10), -30), {AnomalyKind.SPIKE}, 0, id="spike down"),
        pytest.param(spiked(daily(10), 25), {AnomalyKind.SPIKE}, 0, id="spike by night that would be low by day"),
        pytest.param(shifted(noise(10), 5), {AnomalyKind.SPIKE, AnomalyKind.SHIFT}, 3, id="level shift up"),
        pytest.param(shifted(noise(10), -5), {AnomalyKind.SPIKE, AnomalyKind.SHIFT}, 3, id="level shift down"),
        pytest.param(
            shifted(bursts(10) + noise(10, 0, 0.1), 1.5),
            {AnomalyKind.SHIFT},
            6,
            id="level shift smaller than daily bursts",
        ),
        pytest.param(restless(noise(10), 4), {AnomalyKind.SPIKE, AnomalyKind.VARIANCE}, 2, id="increased variance"),
        pytest.param(still(noise(10)), {AnomalyKind.FLAT}, 2, id="flat line"),
        pytest.param(silent(bursts(12)), {AnomalyKind.SILENCE, AnomalyKind.FLAT}, 24, id="bursts cease"),
        pytest.param(
            without_a_day(daily(10)),
            {AnomalyKind.SPIKE, AnomalyKind.SHIFT},
            12,
            id="changed shape: a workday is missing",
        ),
    ],
)
def test_anomaly_raises_its_alarm(values: Floats, kinds: set[AnomalyKind], within_hours: float) -> None:
    raised = alarms(values)
    assert raised
    first = raised[0]
    assert first.detector.kind in kinds
    assert START + 8 * DAY <= first.index <= START + AT + within_hours * 12
    assert first.since <= first.index
    assert first.ratio > SETTINGS.least_ratio


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(14 * DAY, 45.0), id="constant"),
        pytest.param(np.zeros(14 * DAY), id="zeros"),
        pytest.param(daily(14), id="daily shape"),
        pytest.param(np.round(daily(14) / 40) * 40, id="square wave without noise"),
        pytest.param(noise(14), id="Gaussian noise"),
        pytest.param(np.random.default_rng(1).uniform(8, 19, 14 * DAY), id="uniform noise"),
        pytest.param(bursts(14), id="regular bursts"),
        pytest.param(noise(14) + np.linspace(0, 10, 14 * DAY), id="slow trend"),
    ],
)
def test_what_is_normal_raises_none(values: Floats) -> None:
    assert alarms(values) == ()


def test_weekend_is_expected_from_the_third_week_on() -> None:
    values = daily(35)
    weekday = (START // DAY + np.arange(35)) % 7
    for day in np.flatnonzero(weekday >= 5):
        values[day * DAY : (day + 1) * DAY] = noise(1, 20.0, 1.0, seed=int(day))
    judgement = LearnedBaseline(1, STEP).advance(START, values[:, None])
    noon = np.arange(35) * DAY + 12 * 12
    late = np.arange(35) >= 28
    error = np.abs(judgement.expected[noon, 0] - values[noon])
    assert error[late].max() < 15


def test_alarm_says_what_was_expected_and_how_far_outside() -> None:
    (alarm,) = alarms(spiked(noise(9), 30))
    assert alarm.expected == pytest.approx(50, abs=1)
    assert alarm.actual == pytest.approx(80, abs=6)
    assert alarm.since == alarm.index == START + AT
    assert alarm.ratio == pytest.approx(alarm.size / alarm.record)


def test_alarm_of_a_shift_began_with_its_window() -> None:
    values = shifted(bursts(10) + noise(10, 0, 0.1), 1.5)
    first = alarms(values)[0]
    assert first.since == first.index - first.detector.width + 1


def test_alarm_of_a_rest_began_with_the_rest() -> None:
    first = alarms(still(noise(10)))[0]
    assert first.since == pytest.approx(START + AT, abs=1)


def test_shift_is_the_new_normal_after_a_day() -> None:
    judgement = LearnedBaseline(1, STEP).advance(START, shifted(noise(12), 20)[:, None])
    assert judgement.expected[AT + DAY, 0] == pytest.approx(70, abs=2)
    assert judgement.active[AT, 0]
    assert not judgement.active[AT + DAY, 0]


def test_hold_off_keeps_alarms_apart() -> None:
    values = noise(14)
    values[AT:] += np.random.default_rng(2).standard_cauchy(len(values) - AT) * 50
    begun = [alarm.index for alarm in alarms(values)]
    assert len(begun) > 1
    assert np.diff(begun).min() >= SETTINGS.hold_off / STEP


def test_noisy_series_keeps_to_the_budget() -> None:
    """Ever larger spikes, one every eight hours: each of them a record that would be an alarm of its own."""
    values = noise(40)
    places = np.arange(2 * DAY, len(values), DAY // 3)
    values[places] += 20 * 1.3 ** np.arange(len(places)).clip(0, 60)
    by_week = np.bincount([(alarm.index - START) // (7 * DAY) for alarm in alarms(values)])
    assert by_week[-2] < by_week[0]


def test_grid_of_half_an_hour_works_too() -> None:
    values = noise(40)[: 30 * 48]
    values[20 * 48] += 40
    raised = alarms(values, step=1800.0)
    assert [alarm.index - START for alarm in raised] == [20 * 48]
