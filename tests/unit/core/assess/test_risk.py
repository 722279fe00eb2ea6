"""Which risks are listed, how likely, and in which words."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from twinops.api.base import utc
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.core.assess.predictions import predictions_for_status
from twinops.core.assess.risk import assess_risks, duration, probability_beyond
from twinops.core.forecast.forecaster import Forecaster
from twinops.core.forecast.horizon import QUANTILES, HorizonForecast
from twinops.core.observation import Sample
from twinops.core.series import Floats

NOW = 1_700_000_000.0
CPU = "cpuUsage"


def forecast(
    middle: float, spread: float = 10.0, horizon: int = 1800, *, calibrated: bool = True, confidence: float | None = 0.5
) -> HorizonForecast:
    """Return a normal forecast whose standard deviation is ``spread``."""
    values = tuple(middle + spread * NormalDist().inv_cdf(level) for level in QUANTILES)
    return HorizonForecast(horizon, values, confidence if calibrated else None, 100 if calibrated else 3, calibrated)


def likely(probability: float, horizon: int = 1800, *, limit: float = 95.0, calibrated: bool = True) -> HorizonForecast:
    """Return a forecast that lies above the limit with about this probability (exact at the quantile levels)."""
    return forecast(limit + 10 * NormalDist().inv_cdf(probability), horizon=horizon, calibrated=calibrated)


def sample(value: float | None, quality: Quality = Quality.GOOD, metric: str = CPU) -> Sample:
    return Sample(metric, quality, value)


def assess(
    *forecasts: HorizonForecast,
    exceedance: tuple[float, ...] = (),
    now_at: Sample | None = None,
    previous: tuple[Risk, ...] = (),
    at: float = NOW,
) -> Risk | None:
    values = {CPU: now_at or sample(60.0)}
    found = assess_risks({CPU: 95.0}, {CPU: forecasts}, {CPU: exceedance}, values, previous, at, interval=60)
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("limit", "above", "below"),
    [
        pytest.param(forecast(50).median, 0.5, 0.5, id="at the median"),
        pytest.param(forecast(50).upper, 0.05, 0.95, id="at the upper quantile"),
        pytest.param(forecast(50).lower, 0.95, 0.05, id="at the lower quantile"),
        pytest.param(forecast(50).quantiles[6], 0.25, 0.75, id="at an inner quantile"),
        pytest.param(50 + 16.45 * 2, 0.005, 0.995, id="twice as far out: a tenth of the tail"),
        pytest.param(50 - 16.45 * 2, 0.995, 0.005, id="twice as far below"),
        pytest.param(1e300, 0, 1, id="never"),
        pytest.param(-1e300, 1, 0, id="always"),
    ],
)
def test_probability(limit: float, above: float, below: float) -> None:
    assert probability_beyond(forecast(50), limit) == pytest.approx(above, abs=1e-3)
    assert probability_beyond(forecast(50), limit, above=False) == pytest.approx(below, abs=1e-3)


@pytest.mark.parametrize(
    ("limit", "above", "below"),
    [
        pytest.param(50.0, 0.0, 0.0, id="the very value is not beyond"),
        pytest.param(50.1, 0.0, 1.0, id="over it"),
        pytest.param(49.9, 1.0, 0.0, id="under it"),
    ],
)
def test_probability_of_a_constant(limit: float, above: float, below: float) -> None:
    constant = forecast(50, spread=0)
    assert probability_beyond(constant, limit) == pytest.approx(above)
    assert probability_beyond(constant, limit, above=False) == pytest.approx(below)


def test_probability_falls_as_the_limit_rises() -> None:
    exceedance = [probability_beyond(forecast(50), limit) for limit in np.linspace(0, 100, 401)]
    assert all(later <= before for before, later in pairwise(exceedance))


@pytest.mark.parametrize(
    ("forecasts", "horizon"),
    [
        pytest.param([likely(0.1), likely(0.2, 3600)], None, id="nothing likely enough"),
        pytest.param([likely(0.1, 900), likely(0.3, 1800), likely(0.4, 3600)], 1800, id="the earliest that is listed"),
        pytest.param(
            [likely(0.3, 900), likely(0.6, 1800), likely(0.9, 3600)], 1800, id="more likely than not goes first"
        ),
        pytest.param([likely(0.9, 3600), likely(0.6, 900)], 900, id="whatever their order"),
        pytest.param([likely(0.9, 900, calibrated=False), likely(0.6, 1800)], 1800, id="calibrated goes first"),
        pytest.param([likely(0.9, 900, calibrated=False)], 900, id="uncalibrated is listed"),
        pytest.param([], None, id="no forecast"),
        pytest.param([HorizonForecast(900, (math.nan,) * 9, None, 0, calibrated=False)], None, id="not a number"),
    ],
)
def test_which_horizon_is_named(forecasts: list[HorizonForecast], horizon: int | None) -> None:
    found = assess(*forecasts)
    assert (found.horizon_seconds if found else None) == horizon


@pytest.mark.parametrize(
    ("forecasts", "exceedance", "named"),
    [
        pytest.param([likely(0.1)], (0.6,), (1800, 0.6), id="of any step until then"),
        pytest.param([likely(0.9)], (0.1,), None, id="even where the last step alone seems likelier"),
        pytest.param([likely(0.1), likely(0.1, 3600)], (0.3, 0.7), (3600, 0.7), id="the nearest that is likely"),
        pytest.param([likely(0.1, 3600), likely(0.1)], (0.7, 0.3), (3600, 0.7), id="each by its own horizon"),
        pytest.param([likely(0.4), likely(0.1, 3600)], (math.nan, 0.3), (1800, 0.4), id="of one horizon only"),
        pytest.param([likely(0.1), likely(0.4, 3600)], (0.2,), (3600, 0.4), id="fewer than horizons"),
        pytest.param([], (0.9,), None, id="without a forecast"),
        pytest.param([likely(0.1, calibrated=False)], (0.9,), (1800, 0.9), id="an uncalibrated forecast"),
    ],
)
def test_which_probability_counts(
    forecasts: list[HorizonForecast], exceedance: tuple[float, ...], named: tuple[int, float] | None
) -> None:
    found = assess(*forecasts, exceedance=exceedance)
    assert (None if found is None else (found.horizon_seconds, found.probability)) == named


def test_words_of_a_risk() -> None:
    found = assess(likely(0.75), likely(0.9, 3600))
    assert found is not None
    assert found.message == "CPU may reach 95% in 30 minutes (75 %)"
    assert (found.probability, found.limit, found.calibrated, found.current) == (0.75, 95.0, True, False)


def test_words_when_it_is_all_but_certain() -> None:
    found = assess(forecast(500))
    assert found is not None
    assert found.message == "CPU may reach 95% in 30 minutes (over 99 %)"


@pytest.mark.parametrize(
    ("metric", "limit", "message"),
    [
        pytest.param("latencyMs", 500.0, "Latency may reach 500 ms in 30 minutes (90 %)", id="latency"),
        pytest.param("memoryUsage", 90.0, "Memory may reach 90% in 30 minutes (90 %)", id="memory"),
        pytest.param("throughputRps", 1500.0, "Throughput may reach 1500 req/s in 30 minutes (90 %)", id="capacity"),
        pytest.param("queueDepth", 12.0, "queueDepth may reach 12 in 30 minutes (90 %)", id="a name users gave"),
    ],
)
def test_words_by_metric(metric: str, limit: float, message: str) -> None:
    values = {metric: sample(0.0, metric=metric)}
    (found,) = assess_risks({metric: limit}, {metric: (likely(0.9, limit=limit),)}, {}, values, (), NOW, interval=60)
    assert found.message == message


def test_beyond_its_limit_already() -> None:
    found = assess(likely(0.4, 900), likely(0.3), now_at=sample(97.0))
    assert found is not None
    assert found.message == "CPU is at 97%, beyond its limit of 95%"
    assert (found.current, found.probability, found.horizon_seconds, found.recent) == (True, 1.0, 900, "1")


def test_beyond_its_limit_without_a_forecast() -> None:
    found = assess(now_at=sample(97.0))
    assert found is not None
    assert (found.current, found.calibrated, found.upper, found.recent) == (True, False, 97.0, "1")


@pytest.mark.parametrize(
    "stand_in",
    [
        pytest.param(sample(97.0, Quality.HELD), id="held"),
        pytest.param(sample(97.0, Quality.STALE), id="stale"),
        pytest.param(sample(None, Quality.MISSING), id="missing"),
    ],
)
def test_a_stand_in_is_not_beyond_anything(stand_in: Sample) -> None:
    assert assess(now_at=stand_in) is None


def rounds(*syncs: tuple[HorizonForecast, Sample]) -> list[Risk | None]:
    """Take one metric through these syncs, a minute apart."""
    previous: tuple[Risk, ...] = ()
    seen = []
    for number, (ahead, value) in enumerate(syncs):
        found = assess(ahead, now_at=value, previous=previous, at=NOW + 60 * number)
        previous = () if found is None else (found,)
        seen.append(found)
    return seen


@pytest.mark.parametrize(
    ("exceedance", "lasting"),
    [
        pytest.param([0.6] * 4, [False, False, True, True], id="third sync"),
        pytest.param([0.6, 0.3, 0.6, 0.3, 0.6], [False] * 4 + [True], id="three of five"),
        pytest.param([0.4] * 5, [False] * 5, id="listed, but less likely than not"),
        pytest.param([0.6] * 3 + [0.45] * 6, [False, False] + [True] * 7, id="just below is not well back"),
        pytest.param([0.6] * 3 + [0.3] * 3, [False, False, True, True, True, False], id="well back"),
        pytest.param([0.6, 0.6, 0.15, 0.6], [False, False, False, True], id="one calm sync forgets nothing"),
        pytest.param([0.6, 0.6, 0.05, 0.6], [False, False, None, False], id="one without any risk does"),
    ],
)
def test_persistence(exceedance: list[float], lasting: list[bool | None]) -> None:
    seen = rounds(*((likely(chance), sample(60.0)) for chance in exceedance))
    assert [None if risk is None else risk.persistent for risk in seen] == lasting


def test_since_is_kept_while_listed() -> None:
    seen = rounds(*((likely(chance), sample(60.0)) for chance in (0.3, 0.6, 0.15, 0.05, 0.3)))
    assert [risk and risk.since for risk in seen] == [utc(NOW), utc(NOW), utc(NOW), None, utc(NOW + 240)]


def test_low_chances_do_not_enter_the_list() -> None:
    assert rounds(*[(likely(0.2), sample(60.0))] * 3) == [None] * 3


def test_uncalibrated_is_never_persistent() -> None:
    seen = rounds(*[(likely(0.9, calibrated=False), sample(60.0))] * 6)
    assert [(risk.persistent, risk.calibrated, risk.recent[-1]) for risk in seen if risk] == [(False, False, "0")] * 6


def test_persistent_stops_while_the_forecast_is_uncalibrated() -> None:
    seen = rounds(*[(likely(0.9), sample(60.0))] * 3, (likely(0.9, calibrated=False), sample(60.0)))
    assert [risk.persistent for risk in seen if risk] == [False, False, True, False]


def test_without_a_fresh_value_nothing_counts() -> None:
    good, stale = (likely(0.9), sample(60.0)), (likely(0.9), sample(60.0, Quality.STALE))
    seen = rounds(good, good, stale, good, stale, good)
    assert [(risk.recent, risk.persistent) for risk in seen if risk] == [
        ("1", False),
        ("11", False),
        ("11", False),
        ("111", True),
        ("111", False),
        ("1111", True),
    ]


def test_one_sample_counts_once_however_often_it_is_looked_at() -> None:
    good = (likely(0.9), Sample(CPU, Quality.GOOD, 60.0, time=NOW))
    assert [risk.recent for risk in rounds(good, good, good, good) if risk] == ["1"] * 4


def test_after_a_gap_the_window_begins_anew() -> None:
    before = rounds(*[(likely(0.9), sample(60.0))] * 3)[-1]
    assert before is not None
    found = assess(likely(0.9), previous=(before,), at=NOW + 120 + 601)
    assert found is not None
    assert (found.recent, found.since, found.persistent) == ("1", utc(NOW + 721), False)


def test_beyond_now_is_persistent_without_calibration() -> None:
    seen = rounds(*[(likely(0.9, calibrated=False), sample(97.0))] * 3)
    assert [risk.persistent for risk in seen if risk] == [False, False, True]


@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_a_limit_that_is_no_number_is_left_alone(limit: float) -> None:
    assert assess_risks({CPU: limit}, {CPU: (forecast(500),)}, {}, {CPU: sample(97.0)}, (), NOW, interval=60) == ()


def test_risks_come_by_name_and_only_where_there_is_a_limit() -> None:
    ahead = {name: (forecast(500),) for name in ("latencyMs", CPU, "memoryUsage")}
    found = assess_risks({"latencyMs": 200.0, CPU: 95.0}, ahead, {}, {}, (), NOW, interval=60)
    assert [risk.metric for risk in found] == [CPU, "latencyMs"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (45, "45 seconds"),
        (60, "1 minute"),
        (90, "1 minute 30 seconds"),
        (1800, "30 minutes"),
        (3600, "1 hour"),
        (4500, "75 minutes"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (9000, "2 hours 30 minutes"),
        (3605, "1 hour 5 seconds"),
        (86_400, "1 day"),
        (90_061, "1 day 1 hour"),
    ],
)
def test_duration(seconds: int, words: str) -> None:
    assert duration(seconds) == words


def test_predictions() -> None:
    forecasts = {
        CPU: (forecast(61.23456, horizon=900, confidence=0.41234), forecast(95, horizon=1800)),
        "latencyMs": (forecast(123.456, horizon=900, calibrated=False),),
        "errorRate": (HorizonForecast(900, (math.nan,) * 9, None, 0, calibrated=False),),
    }
    risks = assess_risks({CPU: 95.0}, forecasts, {}, {}, (), NOW, interval=60)
    near, far = predictions_for_status(forecasts, risks, NOW)
    assert (near.horizon_seconds, near.time, near.confidence, near.risk_factors) == (900, utc(NOW + 900), 0.41, [])
    assert {name: median for name, (_, median, _) in near.quantiles.items()} == {CPU: 61.2, "latencyMs": 123.0}
    assert all(lower <= median <= upper for lower, median, upper in near.quantiles.values())
    assert (far.horizon_seconds, far.risk_factors) == (1800, ["CPU may reach 95% in 30 minutes (50 %)"])


def test_no_forecast_no_prediction() -> None:
    assert predictions_for_status({}, (), NOW) == []
    assert predictions_for_status({CPU: ()}, (), NOW) == []


def play_load(load: Floats, first: int) -> list[Risk | None]:
    """Sync every 5 s over a load from its entry ``first`` on, with horizons of half a minute to two."""
    previous: tuple[Risk, ...] = ()
    memory, limits = Forecaster([CPU], 5.0, [30, 60, 120]), {CPU: 95.0}
    seen = []
    for step, value in enumerate(load):
        now = NOW + 5.0 * step
        forecast_result = memory.observe(now, {CPU: float(value)}, limits=limits)
        if step < first - 1:
            continue
        previous = assess_risks(
            limits,
            forecast_result.forecasts,
            forecast_result.exceedance,
            {CPU: sample(float(value))},
            previous,
            now,
            interval=5,
        )
        seen.append(previous[0] if previous else None)
    return seen


@pytest.mark.parametrize("quiet", [pytest.param(40, id="little history"), pytest.param(720, id="an hour of history")])
@pytest.mark.parametrize("seconds", [pytest.param(180, id="three minutes"), pytest.param(300, id="five minutes")])
@pytest.mark.parametrize("seed", range(3))
def test_a_ramp_is_foreseen_before_it_crosses(seed: int, seconds: int, quiet: int) -> None:
    mean = np.concatenate([np.full(quiet, 55.0), np.linspace(55, 110, seconds // 5)])
    load = mean + np.random.default_rng(seed).normal(0, 1.5, len(mean))
    crossing = int(np.flatnonzero(mean >= 95)[0])
    seen = play_load(load[: crossing + 1], quiet)
    listed = next(at for at, risk in enumerate(seen, quiet - 1) if risk and not risk.current)
    acted_on = next(at for at, risk in enumerate(seen, quiet - 1) if risk and risk.persistent)
    assert quiet < listed <= crossing - 8
    assert acted_on < crossing


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_flat_load_well_below_its_limit_is_no_risk(seed: int) -> None:
    load = 57 + np.random.default_rng(seed).normal(0, 3, 460)
    assert play_load(load, 60) == [None] * 401
