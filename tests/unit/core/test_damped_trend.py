"""The forecaster on series whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from twinops.core.damped_trend import DampedTrend
from twinops.core.forecast import MIN_CHECKS, QUANTILES, HorizonForecast
from twinops.core.holt import Smoother, smooth
from twinops.core.observation import Floats, Series

Make = Callable[[np.random.Generator, int], Floats]


def series(values: npt.ArrayLike, step: float = 60.0) -> Series:
    array = np.asarray(values, dtype=np.float64)
    times = np.asarray(1_700_000_000 + step * np.arange(len(array)), dtype=np.float64)
    return Series(times, array, step)


def foresee(values: npt.ArrayLike, *steps: int, **limits: float) -> tuple[HorizonForecast, ...]:
    return DampedTrend().forecast(series(values), [60 * step for step in steps], **limits)


def white(rng: np.random.Generator, count: int) -> Floats:
    return 50 + rng.normal(0, 1, count)


def random_walk(rng: np.random.Generator, count: int) -> Floats:
    return np.cumsum(rng.normal(0, 1, count))


def autoregressive(rng: np.random.Generator, count: int) -> Floats:
    values = rng.normal(0, 1, count)
    for at in range(1, count):
        values[at] += 0.8 * values[at - 1]
    return values


def noisy_sine(rng: np.random.Generator, count: int) -> Floats:
    return 50 + 20 * np.sin(2 * np.pi * np.arange(count) / 240) + rng.normal(0, 2, count)


def noisy_trend(rng: np.random.Generator, count: int) -> Floats:
    return 0.3 * np.arange(count) + rng.normal(0, 2, count)


def test_smoothers_follow_the_recursion_of_gardner_and_mckenzie() -> None:
    values = np.random.default_rng(1).normal(0, 1, 173)
    values[0] = 0
    kinds = (Smoother(1.0), Smoother(0.3), Smoother(0.5, 0.2, 0.9))
    levels, slopes = smooth(values, kinds)
    for k, one in enumerate(kinds):
        level = slope = 0.0
        for at, value in enumerate(values):
            error = value - (level + one.phi * slope)
            level, slope = (
                level + one.phi * slope + one.alpha * error,
                one.phi * slope + one.alpha * one.beta * error,
            )
            assert (levels[at, k], slopes[at, k]) == pytest.approx((level, slope), abs=1e-9)


def test_reach_is_the_damped_sum() -> None:
    assert Smoother(0.5, 0.1, 0.9).reach(3) == pytest.approx(0.9 + 0.81 + 0.729)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="empty"),
        pytest.param([1.0] * 9, id="nine"),
        pytest.param([1.0] * 9 + [np.nan] * 50, id="nine known of many"),
        pytest.param([np.inf, -np.inf] * 30, id="infinite"),
        pytest.param([1e200] * 30, id="beyond any measurement"),
    ],
)
def test_fewer_than_ten_known_values_give_nothing(values: list[float]) -> None:
    assert foresee(values, 1, 5) == ()


def test_no_horizons_give_nothing() -> None:
    assert foresee([1.0] * 50) == ()


def test_ten_values_give_a_wide_random_walk() -> None:
    values = [1.0, 3.0, 2.0, 4.0, 3.0, 5.0, 4.0, 6.0, 5.0, 7.0]
    (found,) = foresee(values, 4)
    sigma = np.sqrt(np.mean(np.diff(values) ** 2))
    assert (found.median, found.confidence, found.checks, found.calibrated) == (7.0, None, 0, False)
    assert (found.lower, found.upper) == pytest.approx((7 - 1.645 * sigma * 2, 7 + 1.645 * sigma * 2), rel=1e-3)


@pytest.mark.parametrize("count", [pytest.param(10, id="ten"), pytest.param(600, id="many")])
@pytest.mark.parametrize("value", [0.0, -3.5, 1e12, 1e-12])
def test_a_constant_stays(value: float, count: int) -> None:
    for found in foresee([value] * count, 1, 15):
        assert found.quantiles == (value,) * len(QUANTILES)
    assert found.confidence == (1.0 if found.calibrated else None)


def test_calibrated_from_thirty_checks_on() -> None:
    values = white(np.random.default_rng(2), 200)
    # The first scored origin is the tenth value; each of n values has n - h - 9 checks at h steps.
    before, after = foresee(values[: MIN_CHECKS + 13], 5)[0], foresee(values[: MIN_CHECKS + 14], 5)[0]
    assert (before.checks, before.calibrated, before.confidence) == (29, False, None)
    assert (after.checks, after.calibrated) == (30, True)
    assert after.confidence is not None


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        pytest.param(1, 60, id="shorter than a step"),
        pytest.param(90, 120, id="between steps"),
        pytest.param(120, 120, id="whole steps"),
    ],
)
def test_horizons_round_up_to_steps(seconds: int, steps: int) -> None:
    values = series(noisy_trend(np.random.default_rng(3), 300))
    (found,) = DampedTrend().forecast(values, [seconds])
    (whole,) = DampedTrend().forecast(values, [steps])
    assert found.horizon_seconds == seconds
    assert found.quantiles == whole.quantiles


def test_a_step_that_is_no_whole_number_is_no_trouble() -> None:
    (found,) = DampedTrend().forecast(series(white(np.random.default_rng(3), 300), step=0.1), [1])
    assert found.checks == 300 - 10 - 9


@pytest.mark.parametrize("count", [pytest.param(40, id="40 values"), pytest.param(800, id="800 values")])
def test_a_horizon_longer_than_the_history_is_uncalibrated_and_wide(count: int) -> None:
    near, far = foresee(white(np.random.default_rng(4), count), 1, 1440)
    assert not far.calibrated
    assert far.confidence is None
    assert far.upper - far.lower > 5 * (near.upper - near.lower)


def test_forecasts_keep_the_order_of_the_horizons() -> None:
    found = foresee(white(np.random.default_rng(5), 300), 15, 1, 5)
    assert [one.horizon_seconds for one in found] == [900, 60, 300]


def test_values_stay_in_their_range() -> None:
    values = np.abs(np.random.default_rng(6).normal(0, 0.01, 300))
    (found,) = foresee(values, 5, minimum=0.0, maximum=0.02)
    assert min(found.quantiles) >= 0
    assert max(found.quantiles) <= 0.02


def test_a_trend_is_carried_on() -> None:
    (found,) = foresee(noisy_trend(np.random.default_rng(7), 600), 15)
    assert found.median == pytest.approx(0.3 * 614, abs=3)
    assert found.confidence is not None
    assert found.confidence > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_gives_hardly_any_confidence(seed: int) -> None:
    for found in foresee(random_walk(np.random.default_rng(seed), 900), 1, 5, 15):
        assert found.confidence == pytest.approx(0, abs=0.05)


def test_noise_around_a_level_is_foreseen_better_than_by_naive() -> None:
    for found in foresee(white(np.random.default_rng(8), 600), 1, 15):
        assert found.confidence == pytest.approx(0.25, abs=0.1)


def test_a_level_shift_is_followed() -> None:
    values = 20 + np.random.default_rng(9).normal(0, 1, 400)
    values[-10:] += 50
    for found in foresee(values, 1, 5):
        assert found.median == pytest.approx(70, abs=3)


@pytest.mark.parametrize("spike", [pytest.param(1e3, id="large"), pytest.param(1e90, id="absurd")])
@pytest.mark.parametrize("at", [pytest.param(200, id="long ago"), pytest.param(-1, id="just now")])
def test_one_spike_moves_nothing(spike: float, at: int) -> None:
    values = white(np.random.default_rng(10), 400)
    (calm,) = foresee(values, 5)
    values[at] = spike
    (found,) = foresee(values, 5)
    assert found.median == pytest.approx(calm.median, abs=3)
    assert found.upper == pytest.approx(calm.upper, abs=6)


def test_unknown_values_count_as_unknown_whatever_they_are() -> None:
    values = noisy_sine(np.random.default_rng(11), 500)
    values[100:180] = np.nan
    (gaps,) = foresee(values, 5)
    values[100:180] = np.resize([np.inf, -np.inf, 1e300, -1e300], 80)
    assert foresee(values, 5) == (gaps,)
    assert gaps.median == pytest.approx(50 + 20 * np.sin(2 * np.pi * 504 / 240), abs=6)


def test_a_gap_is_not_a_fall_to_zero() -> None:
    values = white(np.random.default_rng(12), 400)
    values[300:390] = np.nan
    (found,) = foresee(values, 5)
    assert found.lower > 40


def test_silence_at_the_end_reaches_further_from_the_last_known_value() -> None:
    values = random_walk(np.random.default_rng(13), 600)
    (reached,) = foresee(values, 25)
    (silent,) = foresee([*values, *[np.nan] * 20], 5)
    assert silent.quantiles == reached.quantiles


def test_half_the_values_missing_at_random() -> None:
    rng = np.random.default_rng(14)
    values = white(rng, 600)
    values[rng.random(600) < 0.5] = np.nan
    (found,) = foresee(values, 5)
    assert found.calibrated
    assert 46 < found.lower < 49.5 < found.upper < 54


def test_a_gap_where_the_tail_begins() -> None:
    values = white(np.random.default_rng(15), 2000)
    values[1000:1600] = np.nan
    (found,) = foresee(values, 5)
    assert found.calibrated
    assert 46 < found.lower < 50 < found.upper < 54


@pytest.mark.parametrize(
    ("step", "horizons", "depth"),
    [
        pytest.param(60.0, [900, 1800, 3600], 820, id="the farthest horizon counts"),
        pytest.param(60.0, [3600, 900], 820, id="in any order"),
        pytest.param(60.0, [61], 704, id="begun steps count in full"),
        pytest.param(900.0, [60], 702, id="at least one step"),
        pytest.param(5.0, [3600], 2140, id="short steps"),
        pytest.param(60.0, [], 700, id="no horizon"),
    ],
)
def test_no_more_than_its_depth_is_read(step: float, horizons: list[int], depth: int) -> None:
    values = white(np.random.default_rng(16), 3000)
    recent = DampedTrend().forecast(series(values[-depth:], step), horizons)
    values[:-depth] = 1e6

    assert DampedTrend().depth(step, horizons) == depth
    assert DampedTrend().forecast(series(values, step), horizons) == recent


def test_a_shock_after_a_long_calm_is_bounded_by_what_was_seen() -> None:
    values = np.full(600, 50.0)
    values[300:590] = 70
    values[590:] = 20
    for found in foresee(values, 6, 12, 24):
        assert -100 <= found.lower <= found.median <= found.upper <= 140


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3])
def test_single_bursts_are_within_the_interval_when_they_are_frequent(rate: float) -> None:
    bursts = (np.random.default_rng(17).random(900) < rate).astype(np.float64)
    (found,) = foresee(bursts, 5, minimum=0.0, maximum=1.0)
    assert found.lower == 0
    assert found.upper > 0.5


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(white, id="white noise"),
        pytest.param(random_walk, id="random walk"),
        pytest.param(autoregressive, id="AR(1)"),
        pytest.param(noisy_sine, id="noisy sine"),
        pytest.param(noisy_trend, id="noisy trend"),
    ],
)
@pytest.mark.parametrize("count", [pytest.param(80, id="80 values"), pytest.param(500, id="500 values")])
def test_nine_of_ten_values_come_within_the_interval(make: Make, count: int) -> None:
    inside = total = 0
    for seed in range(12):
        values = make(np.random.default_rng(seed), count + 130)
        for end in range(count, count + 115, 23):
            for found, steps in zip(foresee(values[:end], 1, 5, 15), (1, 5, 15), strict=True):
                inside += found.lower <= values[end - 1 + steps] <= found.upper
                total += 1
    assert 0.82 <= inside / total <= 0.98
