"""Properties of a twin's memory whatever comes: no look-ahead, equivariance, no harm from what is no measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinops.core.forecast.backtest import backtest
from twinops.core.forecast.config import CONFIG
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.forecast.result import ForecastResult
from twinops.core.series import Floats, Series

HORIZONS = np.array([3, 6, 12])
FIRST = 100_000
SECONDS = (900, 1800, 3600)


def series(seed: int, count: int, holes: float = 0.0, begin: int = 0) -> Floats:
    """A wave with noise, spikes and holes, unknown before ``begin``."""
    rng = np.random.default_rng(seed)
    values = 100 + 30 * np.sin(np.arange(count) * 2 * np.pi / 288) + rng.normal(0, 3, count)
    values += rng.gamma(0.2, 20, count)
    values[rng.random(count) < holes] = np.nan
    values[:begin] = np.nan
    return values


def remembered(values: Sequence[float] | np.ndarray, step: float = 300.0) -> Forecaster:
    memory = Forecaster(["value"], step, SECONDS)
    times = step * (FIRST + np.arange(len(values), dtype=np.float64))
    past = Recorded(Series(times, np.asarray(values, dtype=float), step))
    memory.learn({"value": past}, limits={"value": 130.0})
    return memory


def fed(values: Sequence[float] | np.ndarray, step: float = 300.0) -> list[ForecastResult]:
    memory = Forecaster(["value"], step, SECONDS)
    return [
        memory.observe((FIRST + k) * step, {"value": value}, limits={"value": 130.0}) for k, value in enumerate(values)
    ]


def quantiles(forecast_result: ForecastResult) -> Floats:
    return np.array([one.quantiles for one in forecast_result.forecasts.get("value", ())])


@given(seed=st.integers(0, 9999), cut=st.integers(1, 80), begin=st.integers(0, 40), step=st.sampled_from([60.0, 300.0]))
@settings(max_examples=25, deadline=None)
def test_the_first_values_are_forecast_without_what_comes(seed: int, cut: int, begin: int, step: float) -> None:
    values = np.stack([series(seed, 120), series(seed + 1, 120, 0.3, begin)])
    whole = backtest(values, FIRST, step, HORIZONS, CONFIG, keep=True).quantiles
    part = backtest(values[:, :cut], FIRST, step, HORIZONS, CONFIG, keep=True).quantiles
    assert whole is not None
    assert part is not None
    np.testing.assert_allclose(part, whole[:cut], rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 9999), cut=st.integers(400, 690), step=st.sampled_from([5.0, 60.0, 300.0, 900.0]))
@settings(max_examples=12, deadline=None)
def test_what_is_learned_from_the_past_is_what_syncs_would_have_taught(seed: int, cut: int, step: float) -> None:
    values = series(seed, 700, 0.05)
    values[0] = 100.0
    memory = remembered(values[:cut], step)
    for k in range(cut, 700):
        forecast_result = memory.observe((FIRST + k) * step, {"value": values[k]}, limits={"value": 130.0})
    expected = remembered(values, step).forecast_result()
    spread = float(np.nanstd(values))
    # What waits between two syncs is kept in half and in single precision.
    np.testing.assert_allclose(quantiles(forecast_result), quantiles(expected), atol=0.1 * spread)
    assert forecast_result.skills[0].checks == expected.skills[0].checks


@given(seed=st.integers(0, 9999), scale=st.sampled_from([1e-4, 0.5, 1e6]), move=st.sampled_from([0.0, 300.0, -1000.0]))
@settings(max_examples=10, deadline=None)
def test_a_scaled_and_moved_series_is_forecast_scaled_and_moved(seed: int, scale: float, move: float) -> None:
    values = series(seed, 600, 0.05)
    expected = (quantiles(remembered(values).forecast_result()) + move) * scale
    np.testing.assert_allclose(
        quantiles(remembered((values + move) * scale).forecast_result()), expected, atol=2.0 * scale
    )


STRANGE = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, 1.0, -1e29, 1e29, 1e-320]),
)


@given(values=st.lists(STRANGE, min_size=1, max_size=60), gaps=st.lists(st.integers(-2, 400), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("error")
def test_whatever_comes_the_answer_is_finite_and_in_order(values: list[float | None], gaps: list[int]) -> None:
    memory = Forecaster(["value", "errorRate"], 60.0, (60, 900))
    slot = FIRST
    for k, value in enumerate(values):
        slot += gaps[k % len(gaps)] if k % 3 == 0 else 1
        forecast_result = memory.observe(slot * 60.0, {"value": value, "errorRate": value}, limits={"value": 1.0})
        for forecasts in forecast_result.forecasts.values():
            found = np.array([one.quantiles for one in forecasts])
            assert np.isfinite(found).all()
            assert (np.diff(found, axis=1) >= 0).all()
        for exceedance in forecast_result.exceedance.values():
            assert all(0 <= chance <= 1 for chance in exceedance if not math.isnan(chance))


@pytest.mark.parametrize(
    "value", [pytest.param(0.0, id="zeros"), pytest.param(7.5, id="a figure"), pytest.param(-1e9, id="a large one")]
)
def test_a_constant_series_stays_where_it_is(value: float) -> None:
    forecast_result = fed([value] * 120)[-1]
    np.testing.assert_allclose(quantiles(forecast_result), value, rtol=1e-6)
    assert forecast_result.skills[0].error == 1.0


@given(seed=st.integers(0, 9999), known=st.integers(0, 14))
@settings(max_examples=15, deadline=None)
def test_there_is_a_forecast_from_the_tenth_known_value_on(seed: int, known: int) -> None:
    values = np.full(30, np.nan)
    values[np.random.default_rng(seed).permutation(30)[:known]] = 1.0
    assert bool(fed(values)[-1].forecasts) == (known >= 10)


@given(text=st.text(max_size=400))
@settings(max_examples=30, deadline=None)
def test_no_text_in_status_can_break_a_restart(text: str) -> None:
    memory = Forecaster(["value"], 300.0, SECONDS)
    past = Recorded(Series(300.0 * np.arange(60, dtype=np.float64), series(1, 60), 300.0))
    memory.learn({"value": past}, limits={}, states={"value": text})
    assert np.isfinite(quantiles(memory.forecast_result())).all()
