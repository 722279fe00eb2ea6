"""A twin's memory: what it learns, what it must not learn, and what it says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from twinops.core.forecast.config import CONFIG, DAY
from twinops.core.forecast.forecaster import QUICK_ORIGINS, RECENT_STEPS, Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.forecast.result import ForecastResult
from twinops.core.series import Series

STEP = 60.0
LAST = 30_000_000
NAMES = ("cpuUsage", "latencyMs")
HORIZONS = (900, 300)


def wave(times: np.ndarray, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 2, len(times))
    return 50 + 20 * np.sin(times * 2 * np.pi / DAY) + noise


def recorded(count: int = RECENT_STEPS, *, older_days: int = 0, step: float = STEP, factor: float = 1.0) -> Recorded:
    times = step * np.arange(LAST - count + 1, LAST + 1, dtype=np.float64)
    older = None
    if older_days:
        before = np.arange(times[0] // 300 * 300 - older_days * DAY, times[0], 300.0)
        older = Series(before, factor * wave(before, 2), 300.0)
    return Recorded(Series(times, factor * wave(times), step), older)


def learned(**options: object) -> Forecaster:
    memory = Forecaster(NAMES, STEP, HORIZONS)
    memory.learn(dict.fromkeys(NAMES, recorded()), limits={"cpuUsage": 72.0}, **options)  # type: ignore[arg-type]
    return memory


def observe(memory: Forecaster, later: int, value: float | None = 50.0, **options: object) -> ForecastResult:
    values = dict.fromkeys(NAMES, value)
    return memory.observe((LAST + later) * STEP, values, limits={"cpuUsage": 72.0}, **options)  # type: ignore[arg-type]


def medians(forecast_result: ForecastResult, name: str = "latencyMs") -> list[float]:
    return [one.median for one in forecast_result.forecasts[name]]


def test_what_is_recorded_gives_forecasts_in_the_order_that_was_asked_for() -> None:
    forecast_result = learned().forecast_result()
    assert [one.horizon_seconds for one in forecast_result.forecasts["cpuUsage"]] == [900, 300]
    assert forecast_result.samples == dict.fromkeys(NAMES, RECENT_STEPS)
    assert all(skill.error is not None and skill.checks >= 30 for skill in forecast_result.skills)


def test_only_a_metric_with_a_limit_has_a_chance() -> None:
    exceedance = observe(learned(), 1).exceedance
    assert set(exceedance) == {"cpuUsage"}
    assert all(0 <= chance <= 1 for chance in exceedance["cpuUsage"])


def test_a_first_answer_waits_for_the_full_backtest() -> None:
    memory = learned(origins=QUICK_ORIGINS)
    assert memory.warming
    assert memory.forecast_result().warming
    assert not learned().warming


def test_an_older_past_counts_as_the_same_past_at_the_twins_step_does() -> None:
    whole, parts = Forecaster(NAMES, STEP, HORIZONS), Forecaster(NAMES, STEP, HORIZONS)
    count = 10 * DAY // 60
    times = STEP * np.arange(LAST - count + 1, LAST + 1, dtype=np.float64)
    values = wave(times)
    begin = count - RECENT_STEPS
    cells = times[: begin + 5] // 300
    numbers = np.unique(cells)[:-1].astype(np.float64)
    older = Series(numbers * 300.0, np.array([values[: begin + 5][cells == one].mean() for one in numbers]), 300.0)
    whole.learn(dict.fromkeys(NAMES, Recorded(Series(times, values, STEP))), limits={})
    recent = Series(times[begin:], values[begin:], STEP)
    parts.learn(dict.fromkeys(NAMES, Recorded(recent, older)), limits={})
    for name in NAMES:
        np.testing.assert_allclose(
            medians(parts.forecast_result(), name), medians(whole.forecast_result(), name), rtol=1e-3
        )


def test_nothing_recorded_and_ten_values_give_the_width_of_a_random_walk() -> None:
    memory = Forecaster(["value"], 300.0, [900])
    for k in range(10):
        forecast_result = memory.observe(300.0 * k, {"value": 1.0 + k % 2}, limits={})
        assert bool(forecast_result.forecasts) == (k == 9)
    (one,) = forecast_result.forecasts["value"]
    assert not one.calibrated
    assert one.confidence is None
    assert one.median == 2.0
    assert one.upper - one.median == pytest.approx(1.6449 * math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize(
    "later",
    [pytest.param(0, id="in the same slot"), pytest.param(-5, id="back in time"), pytest.param(0.5, id="early")],
)
def test_a_sync_that_is_not_later_teaches_nothing(later: float) -> None:
    memory = learned()
    observe(memory, 1)
    before = medians(memory.forecast_result()), memory.forecast_result().samples, memory.newest
    forecast_result = memory.observe((LAST + 1 + later) * STEP, dict.fromkeys(NAMES, 1e6), limits={})
    assert (medians(forecast_result), forecast_result.samples, memory.newest) == before


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="none"),
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="infinite"),
        pytest.param(-1e200, id="huge"),
    ],
)
def test_what_is_no_measurement_is_unknown(value: float | None) -> None:
    with_it, without = learned(), learned()
    forecast_result, other = observe(with_it, 1, value), without.observe((LAST + 1) * STEP, {}, limits={})
    assert medians(forecast_result) == medians(other)
    assert forecast_result.samples == dict.fromkeys(NAMES, RECENT_STEPS)


def test_a_gap_is_passed_over_at_once_and_what_fell_into_it_is_not_checked() -> None:
    memory = learned()
    before = {skill.metric: skill.checks for skill in memory.forecast_result().skills}
    forecast_result = observe(memory, 500)
    assert {skill.metric: skill.checks for skill in forecast_result.skills} == before
    assert all(np.isfinite(one.quantiles).all() for each in forecast_result.forecasts.values() for one in each)


def test_a_value_that_is_not_scored_is_known_but_teaches_nothing() -> None:
    memory = learned()
    before = memory.forecast_result().skills
    forecast_result = observe(memory, 1, 500.0, calibration_excluded=NAMES)
    assert [(one.error, one.checks) for one in forecast_result.skills] == [(one.error, one.checks) for one in before]
    assert medians(forecast_result) != medians(learned().forecast_result())


@pytest.mark.parametrize(
    ("value", "known"), [pytest.param(1.0, False, id="below the forecast"), pytest.param(500.0, True, id="above it")]
)
def test_a_lower_bound_counts_only_where_it_says_something(value: float, *, known: bool) -> None:
    forecast_result = observe(learned(), 1, value, censored=NAMES)
    assert forecast_result.samples["latencyMs"] == RECENT_STEPS + known


def test_more_replicas_lower_a_pods_share_of_the_same_total() -> None:
    counts = Recorded(Series(recorded().recent.times, np.full(RECENT_STEPS, 2.0), STEP))
    memory = learned(replicas=counts)
    two = medians(observe(memory, 1, replicas=2), "cpuUsage")
    four = medians(observe(memory, 1, replicas=4), "cpuUsage")
    np.testing.assert_allclose(four, np.array(two) / 2)
    assert medians(observe(memory, 1, replicas=4)) == medians(observe(memory, 1, replicas=2))


def test_replicas_that_are_known_only_now_are_taken_to_have_been_the_same() -> None:
    known, unknown = learned(), learned()
    np.testing.assert_allclose(
        medians(observe(known, 1, replicas=5), "cpuUsage"), medians(observe(unknown, 1), "cpuUsage")
    )


def test_a_forecast_stays_in_its_metrics_range() -> None:
    memory = Forecaster(["errorRate"], STEP, [300])
    rng = np.random.default_rng(3)
    for k in range(60):
        forecast_result = memory.observe(k * STEP, {"errorRate": float(rng.integers(0, 2))}, limits={})
    assert all(0 <= value <= 1 for value in forecast_result.forecasts["errorRate"][0].quantiles)


def test_a_restart_resumes_what_was_learned() -> None:
    full = learned().forecast_result()
    states = {skill.metric: skill.state for skill in full.skills}
    assert all(len(state) <= 300 for state in states.values())
    resumed = learned(origins=QUICK_ORIGINS, states=states).forecast_result()
    for before, after in zip(full.skills, resumed.skills, strict=True):
        assert after.error == pytest.approx(before.error, rel=1e-2)
        assert (after.checks, after.trusted) == (before.checks, before.trusted)


def of_another_shape() -> str:
    memory = Forecaster(NAMES, STEP, (300, 1200))
    memory.learn(dict.fromkeys(NAMES, recorded()), limits={})
    return memory.forecast_result().skills[0].state


def of_another_configuration() -> str:
    memory = Forecaster(NAMES, STEP, HORIZONS, config=dataclasses.replace(CONFIG, fast=0.31))
    memory.learn(dict.fromkeys(NAMES, recorded()), limits={})
    return memory.forecast_result().skills[0].state


def with_figures_that_nothing_has() -> str:
    text = learned().forecast_result().skills[0].state
    return text[:8] + "////" * (len(text) // 4 - 2)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(str, id="empty"),
        pytest.param(lambda: "no base64!", id="other text"),
        pytest.param(lambda: "ä" * 200, id="not ASCII"),
        pytest.param(of_another_shape, id="other horizons"),
        pytest.param(of_another_configuration, id="another configuration"),
        pytest.param(with_figures_that_nothing_has, id="NaN inside"),
    ],
)
def test_a_stored_state_that_does_not_fit_is_ignored(make: object) -> None:
    text = make()  # type: ignore[operator]
    plain = learned(origins=QUICK_ORIGINS)
    resumed = learned(origins=QUICK_ORIGINS, states=dict.fromkeys(NAMES, text))
    assert resumed.forecast_result().skills == plain.forecast_result().skills


def test_the_learned_baseline_reads_along() -> None:
    memory = Forecaster(NAMES, STEP, HORIZONS, learned=True)
    memory.learn(dict.fromkeys(NAMES, recorded(older_days=6)), limits={})
    baseline = observe(memory, 1).baselines["latencyMs"]
    assert baseline.expected is not None


@pytest.mark.parametrize(
    ("step", "horizons"),
    [
        pytest.param(5.0, (60, 120, 5), id="five seconds"),
        pytest.param(17.0, (17, 900), id="seventeen seconds"),
        pytest.param(420.0, (420, 3600), id="seven minutes"),
        pytest.param(900.0, (900, DAY), id="a quarter of an hour"),
        pytest.param(5.0, (DAY,), id="a day in steps of five seconds"),
    ],
)
def test_every_step_and_horizon_that_is_allowed_works(step: float, horizons: tuple[int, ...]) -> None:
    memory = Forecaster(NAMES, step, horizons)
    older = recorded(older_days=3).older if step < 300 else None
    times = step * np.arange(int(LAST * STEP / step) - 499, int(LAST * STEP / step) + 1, dtype=np.float64)
    memory.learn(dict.fromkeys(NAMES, Recorded(Series(times, wave(times), step), older)), limits={"latencyMs": 60.0})
    for k in range(1, 200):
        forecast_result = memory.observe(
            times[-1] + k * step, dict.fromkeys(NAMES, 50.0 + k % 3), limits={"latencyMs": 60.0}
        )
    found = [one for each in forecast_result.forecasts.values() for one in each]
    assert [one.horizon_seconds for one in found] == [*horizons] * 2
    assert all(np.isfinite(one.quantiles).all() for one in found)


@pytest.mark.parametrize("climb", [pytest.param(180, id="in three minutes"), pytest.param(300, id="in five minutes")])
def test_a_steady_climb_is_foreseen(climb: int) -> None:
    rng = np.random.default_rng(4)
    times = 5.0 * np.arange((1800 + climb) // 5)
    values = (40 + 160 * np.clip((times - 1800) / climb, 0, 1)) * (1 + rng.normal(0, 0.02, len(times)))
    memory = Forecaster(["throughputRps"], 5.0, [60])
    ours = naive = 0.0
    for k, (time, value) in enumerate(zip(times, values, strict=True)):
        forecast_result = memory.observe(time, {"throughputRps": value}, limits={})
        if 1845 <= time < 1800 + climb - 60:
            ours += abs(forecast_result.forecasts["throughputRps"][0].median - values[k + 12])
            naive += abs(value - values[k + 12])
    assert ours < 0.75 * naive


@pytest.mark.parametrize(
    ("days", "most"), [pytest.param(7, 25_600, id="a week"), pytest.param(21, 46_000, id="three weeks")]
)
def test_six_metrics_take_few_bytes(days: int, most: int) -> None:
    names = [f"metric{k}" for k in range(6)]
    memory = Forecaster(names, STEP, (900, 1800, 3600))
    limits = {"metric0": 70.0, "metric1": 70.0}
    memory.learn(dict.fromkeys(names, recorded(older_days=days - 1)), limits=limits)
    memory.observe((LAST + 1) * STEP, dict.fromkeys(names, 50.0), limits=limits)
    assert memory.nbytes <= most


def test_what_is_normal_is_known_at_once_from_the_past() -> None:
    memory = Forecaster(NAMES, STEP, HORIZONS, learned=True)
    past = dict.fromkeys(NAMES, recorded(older_days=7))
    memory.learn(past, limits={})
    for name in NAMES:
        baseline = memory.forecast_result().baselines[name]
        assert baseline.expected == pytest.approx(wave(np.array([LAST * STEP]))[0], abs=6)


_HOSTILE: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "huge and close together": lambda rng, n: 1e17 + rng.normal(0, 1, n),
    "of every size": lambda rng, n: 10.0 ** rng.uniform(-30, 17, n),
    "rare spikes": lambda rng, n: np.where(rng.random(n) < 0.02, 1e6, 1.0),
    "tiny": lambda rng, n: -np.abs(rng.normal(0, 1e-12, n)),
    "a jump": lambda _, n: np.where(np.arange(n) > n // 2, 100.0, 1.0),
    "heavy tails": lambda rng, n: rng.lognormal(0, 3, n),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", _HOSTILE)
@pytest.mark.parametrize("step", [5.0, 60.0, 900.0])
def test_hostile_values_leave_the_result_finite(kind: str, step: float) -> None:
    rng = np.random.default_rng(11)
    count, last = 500, LAST
    values = _HOSTILE[kind](rng, count + 60)
    values[rng.random(len(values)) < 0.2] = np.nan
    times = step * np.arange(last - count + 1, last + 1, dtype=np.float64)
    memory = Forecaster(NAMES, step, [900, 60, 3600], learned=True)
    past = dict.fromkeys(NAMES, Recorded(Series(times, values[:count], step)))
    limits = {"cpuUsage": 50.0, "latencyMs": float(np.nanmedian(values))}
    memory.learn(past, limits=limits)
    for k, value in enumerate(values[count:].tolist(), start=1):
        known = dict.fromkeys(NAMES, value if math.isfinite(value) else None)
        forecast_result = memory.observe((last + k) * step, known, limits=limits, replicas=1 + k % 3)
        for forecasts in forecast_result.forecasts.values():
            for one in forecasts:
                assert all(map(math.isfinite, one.quantiles))
                assert list(one.quantiles) == sorted(one.quantiles)
        for exceedance in forecast_result.exceedance.values():
            assert all(math.isnan(chance) or 0 <= chance <= 1 for chance in exceedance)
