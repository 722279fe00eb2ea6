"""Horizons that are no whole number of steps: what stands there lies between the two steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.interpolation import ahead
from twinops.core.forecast.recorded import Recorded
from twinops.core.series import Series
from twinops.replay.scores import targets

DAY = 86_400
TEN_MINUTES = 600
START = 1_700_000_400.0 // TEN_MINUTES * TEN_MINUTES


@pytest.mark.parametrize(
    ("horizons", "step", "steps", "before", "after", "share"),
    [
        pytest.param([900, 1800, 3600], 60, [15, 30, 60], [15, 30, 60], [15, 30, 60], [0, 0, 0], id="all even"),
        pytest.param([900], 600, [1, 2], [1], [2], [0.5], id="half way"),
        pytest.param([600, 900, 1200], 600, [1, 2], [1, 1, 2], [1, 2, 2], [0, 0.5, 0], id="even beside odd"),
        pytest.param([900, 600], 600, [1, 2], [1, 1], [2, 1], [0.5, 0], id="in their own order"),
        pytest.param([15], 60, [1], [0], [1], [0.25], id="within the first step"),
        pytest.param([DAY], 420, [205, 206], [205], [206], [5 / 7], id="a day of no whole number of steps"),
        pytest.param([900], 900.0000001, [1], [1], [1], [0], id="rounding"),
        pytest.param([100], 2 * DAY, [1], [0], [1], [100 / (2 * DAY)], id="steps longer than a day"),
    ],
)
def test_places_among_steps(
    horizons: list[int], step: float, steps: list[int], before: list[int], after: list[int], share: list[float]
) -> None:
    found = ahead(horizons, step)

    assert (found.steps.tolist(), found.before.tolist(), found.after.tolist()) == (steps, before, after)
    assert found.share == pytest.approx(share)


def memory(horizons: list[int], values: np.ndarray, step: float = TEN_MINUTES) -> Forecaster:
    found = Forecaster(["load"], step, horizons)
    times = START // step * step + np.arange(len(values), dtype=np.float64) * step
    found.learn({"load": Recorded(Series(times, values, step))}, limits={"load": float(values.max()) + 20})
    return found


RAMP = np.arange(600.0)
WAVE = 50 + 30 * np.sin(np.arange(600) / 144 * 2 * math.pi)


@pytest.mark.parametrize("values", [pytest.param(RAMP, id="ramp"), pytest.param(WAVE, id="wave")])
def test_forecast_between_two_steps_is_the_mean_of_both(values: np.ndarray) -> None:
    ten, fifteen, twenty, quarter = memory([600, 900, 1200, 1050], values).forecast_result().forecasts["load"]

    means = [(a + b) / 2 for a, b in zip(ten.quantiles, twenty.quantiles, strict=True)]
    assert fifteen.quantiles == pytest.approx(means)
    assert quarter.quantiles == pytest.approx(
        [0.25 * a + 0.75 * b for a, b in zip(ten.quantiles, twenty.quantiles, strict=True)]
    )
    assert fifteen.horizon_seconds == 900
    assert fifteen.checks == min(ten.checks, twenty.checks)
    assert fifteen.confidence == pytest.approx(((ten.confidence or 0) + (twenty.confidence or 0)) / 2)


def test_ramp_goes_on_by_the_time_that_is_named() -> None:
    [fifteen] = memory([900], RAMP).forecast_result().forecasts["load"]

    assert fifteen.median == pytest.approx(RAMP[-1] + 1.5, abs=0.1)


def test_within_the_first_step_the_forecast_begins_at_the_last_value() -> None:
    quarter, first = memory([150, 600], WAVE).forecast_result().forecasts["load"]

    assert quarter.quantiles == pytest.approx([WAVE[-1] + (one - WAVE[-1]) / 4 for one in first.quantiles], rel=1e-5)


def test_chance_between_two_steps_lies_between_theirs() -> None:
    ten, fifteen, twenty, soon = memory([600, 900, 1200, 300], WAVE).forecast_result().exceedance["load"]

    assert fifteen == pytest.approx((ten + twenty) / 2)
    # Of a crossing within the first step nothing is known but that it comes until then.
    assert soon == ten


def test_horizons_of_whole_steps_are_as_they_were_without_the_others() -> None:
    alone = memory([600, 1200], WAVE).forecast_result().forecasts["load"]
    beside = memory([600, 900, 1200], WAVE).forecast_result().forecasts["load"]

    assert [one.quantiles for one in beside[::2]] == [one.quantiles for one in alone]


@pytest.mark.parametrize("step", [420.0, 7000.0])
def test_a_day_ahead_is_a_day_whatever_the_step(step: float) -> None:
    count = int(4 * DAY / step)
    [ahead_of_it] = memory([DAY], np.arange(count) * step, step).forecast_result().forecasts["load"]

    assert all(math.isfinite(value) for value in ahead_of_it.quantiles)
    assert ahead_of_it.lower <= ahead_of_it.median <= ahead_of_it.upper


def test_state_of_the_most_odd_horizons_fits_into_status() -> None:
    found = memory([900, 1500, 2100, 2700, 3300, 3900], WAVE).forecast_result()

    [skill] = found.skills
    assert len(skill.state) <= 1536 - 4
    assert len(found.forecasts["load"]) == 6


def test_what_came_between_two_rows_lies_between_them() -> None:
    values = np.array([0, 1, 5, np.nan, 4, 6])

    found = targets(values, ahead([300, 900, 1200], TEN_MINUTES))

    nan = math.nan
    np.testing.assert_array_equal(
        found, [[0.5, 3, nan, nan, 5, nan], [3, nan, nan, 5, nan, nan], [5, nan, 4, 6, nan, nan]]
    )
