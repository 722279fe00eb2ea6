"""Properties that hold whatever the series is: no look-ahead, equivariance, no harm from missing data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinops.core.forecast import ensemble as live
from twinops.core.forecast import history
from twinops.core.forecast.backtest import backtest
from twinops.core.forecast.config import CONFIG
from twinops.core.forecast.ensemble import advance, start

HORIZONS = np.array([3, 6, 12])
FIRST = 4_700_000


def series(seed: int, count: int = 700, *, holes: float = 0.0, daily: bool = True) -> np.ndarray:
    """A positive series with spikes, a daily wave and holes, shape (1, count)."""
    rng = np.random.default_rng(seed)
    values = 100 + rng.normal(0, 3, count).cumsum() + rng.gamma(0.3, 30, count)
    if daily:
        values += 40 * np.sin(np.arange(count) * 2 * np.pi / 288)
    values[rng.random(count) < holes] = np.nan
    values[0] = 100.0
    return values[None]


def published(values: np.ndarray, step: float = 300.0) -> np.ndarray:
    done = backtest(values, FIRST, step, HORIZONS, CONFIG, keep=True)
    assert done.quantiles is not None
    return done.quantiles[:, 0]


@given(seed=st.integers(0, 10_000), cut=st.integers(20, 690), holes=st.sampled_from([0.0, 0.2]))
@settings(max_examples=15, deadline=None)
def test_a_prefix_gives_the_same_forecasts_as_the_whole(seed: int, cut: int, holes: float) -> None:
    values = series(seed, holes=holes)
    np.testing.assert_allclose(published(values[:, :cut]), published(values)[:cut], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("step", [pytest.param(60.0, id="a minute"), pytest.param(900.0, id="a quarter of an hour")])
@given(seed=st.integers(0, 10_000), cut=st.integers(20, 690))
@settings(max_examples=8, deadline=None)
def test_a_prefix_gives_the_same_at_other_steps(step: float, seed: int, cut: int) -> None:
    values = series(seed, holes=0.1)
    np.testing.assert_allclose(published(values[:, :cut], step), published(values, step)[:cut], rtol=1e-6, atol=1e-6)


@given(
    seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 0.5, 1024.0]), move=st.sampled_from([0.0, 500.0, -2000.0])
)
@settings(max_examples=15, deadline=None)
def test_scaling_and_shifting_the_series_does_the_same_to_the_forecast(seed: int, scale: float, move: float) -> None:
    values = series(seed)
    expected = (published(values) + move) * scale
    np.testing.assert_allclose(published((values + move) * scale), expected, rtol=0, atol=0.02 * scale * 100)


@given(seed=st.integers(0, 10_000), holes=st.sampled_from([0.3, 0.9]))
@settings(max_examples=10, deadline=None)
def test_quantiles_are_finite_and_do_not_decrease(seed: int, holes: float) -> None:
    found = published(series(seed, holes=holes))
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()


@pytest.mark.parametrize(
    "value", [pytest.param(0.0, id="zeros"), pytest.param(7.0, id="seven"), pytest.param(-1e9, id="large")]
)
def test_a_constant_series_is_forecast_as_it_is(value: float) -> None:
    found = published(np.full((1, 600), value))
    np.testing.assert_allclose(found[100:], value, rtol=1e-6, atol=1e-9)


def test_ten_values_give_the_width_of_a_random_walk() -> None:
    values = np.array([[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]])
    found = published(values)[-1]
    assert found[0, 4] == 2.0
    np.testing.assert_allclose(found[:, -1] - 2.0, 1.6449 * np.sqrt(HORIZONS), rtol=1e-3)


@pytest.mark.parametrize("step", [pytest.param(300.0, id="five minutes"), pytest.param(60.0, id="a minute")])
def test_step_by_step_gives_what_the_backtest_gives(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # In full precision, so that nothing but rounding can tell them apart in use.
    monkeypatch.setattr(history, "STORED", np.float64)
    monkeypatch.setattr(history, "STORED_OLD", np.float64)
    monkeypatch.setattr(live, "STORED_ROOTS", np.float64)
    values = np.concatenate([series(seed, 2500, holes=0.02) for seed in (1, 2, 3)])
    values[0, 2400:] += 5000  # a level shift while it runs
    cut = 2300
    found, _ = start(values[:, :cut], FIRST, step, HORIZONS, CONFIG)
    steps = []
    for t in range(cut, 2500):
        advance(found, FIRST + t, values[:, t], CONFIG)
        steps.append(found.quantiles(CONFIG))
    done = backtest(values, FIRST, step, HORIZONS, CONFIG, keep=True)
    assert done.quantiles is not None
    np.testing.assert_allclose(np.array(steps), done.quantiles[cut:], rtol=1e-6, atol=1e-6)


def test_a_level_shift_hands_over_to_naive() -> None:
    values = series(5, 1200, daily=False)
    values[:, 900:] += 5000
    done = backtest(values, FIRST, 300.0, HORIZONS, CONFIG, keep=True)
    assert done.quantiles is not None
    np.testing.assert_array_equal(done.centre[902, 0, :, 0], done.centre[902, 0, :, 1])
    # Steps with spikes are skewed, so tracked medians lie off zero; what is published is naive all the same.
    np.testing.assert_array_equal(done.quantiles[902:920, 0, :, 4], np.repeat(values[0, 902:920, None], 3, axis=1))


def test_a_censored_value_changes_no_calibration() -> None:
    values = series(6)
    censored = np.zeros(values.shape, dtype=bool)
    censored[:, -1] = True
    with_it = backtest(values, FIRST, 300.0, HORIZONS, CONFIG, calibration_excluded=censored).state
    without = backtest(values[:, :-1], FIRST, 300.0, HORIZONS, CONFIG).state
    np.testing.assert_array_equal(with_it.quantiles, without.quantiles)
    np.testing.assert_array_equal(with_it.loss, without.loss)
