"""Risk at each sync is the risk of a backtest, whatever is missing, censored or changed on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinops.core.forecast import exceedance_online as online_module
from twinops.core.forecast.config import CONFIG
from twinops.core.forecast.exceedance_batch import backtest_exceedance
from twinops.core.forecast.exceedance_online import OnlineExceedance
from twinops.core.forecast.exceedance_updates import decayed_sums

FIRST = 4_700_000
COUNT = 900
CUT = 700
NO = np.zeros(2, dtype=bool)
UP = np.ones(2, dtype=bool)


def past(holes: float = 0.0, count: int = COUNT, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave = 50 + 20 * np.sin(np.arange(count) * 2 * np.pi / 144)
    values = wave + rng.normal(0, 5, (2, count)) + 30 * (rng.random((2, count)) < 0.03)
    values[rng.random((2, count)) < holes] = np.nan
    return values


def centres(values: np.ndarray, kinds: int) -> np.ndarray:
    """Naive, a little trend: shape (n, s, h)."""
    filled = np.where(np.isfinite(values), values, 50.0)
    centre: np.ndarray = filled.T[:, :, None] * (1 + 0.01 * np.arange(kinds))
    return centre


def walk(online: OnlineExceedance, values: np.ndarray, centre: np.ndarray, limit: np.ndarray, begin: int) -> np.ndarray:
    return np.array(
        [online.observe(FIRST + t, values[:, t], centre[t], limit, UP, NO) for t in range(begin, values.shape[1])]
    )


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing but rounding can tell online from backtest in use."""
    monkeypatch.setattr(online_module, "STORED", np.float64)
    monkeypatch.setattr(online_module, "STORED_SHORT", np.float64)


@pytest.mark.parametrize(
    ("step", "horizons"),
    [
        pytest.param(300.0, [3, 6, 12], id="five minutes"),
        pytest.param(60.0, [15, 30, 60], id="a minute, longer horizons checked more rarely"),
        pytest.param(900.0, [1], id="one step"),
    ],
)
@pytest.mark.parametrize("holes", [pytest.param(0.0, id="whole"), pytest.param(0.1, id="with holes")])
@pytest.mark.parametrize("begin", [pytest.param(CUT, id="after a backtest"), pytest.param(0, id="from nothing")])
def test_step_by_step_gives_what_the_backtest_gives(step: float, horizons: list[int], holes: float, begin: int) -> None:
    values, kinds = past(holes), np.array(horizons)
    centre, limit = centres(values, len(kinds)), np.array([75.0, 80.0])
    online = OnlineExceedance(2, kinds, step, CONFIG)
    if begin:
        online.learn(values[:, :begin], centre[:begin], limit, UP, first=FIRST)
    found = walk(online, values, centre, limit, begin)
    expected = backtest_exceedance(values, centre, limit, kinds, step, CONFIG, first=FIRST).exceedance
    known = np.isfinite(found)
    assert known[CUT - begin :].all()
    np.testing.assert_allclose(found[known], expected[begin:][known], rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 1000), cut=st.integers(50, COUNT), holes=st.sampled_from([0.0, 0.1]))
@settings(max_examples=15, deadline=None)
def test_the_probability_sees_nothing_of_what_comes(seed: int, cut: int, holes: float) -> None:
    values, kinds, limit = past(holes, seed=seed), np.array([3, 6, 12]), np.array([75.0, 200.0])
    centre = centres(values, 3)
    whole = backtest_exceedance(values, centre, limit, kinds, 300.0, CONFIG).exceedance
    prefix = backtest_exceedance(values[:, :cut], centre[:cut], limit, kinds, 300.0, CONFIG).exceedance
    np.testing.assert_allclose(prefix, whole[:cut], rtol=1e-9, atol=1e-12)
    assert ((whole >= 0) & (whole <= 1)).all()
    assert (np.diff(whole, axis=-1) >= 0).all()


def test_what_has_never_crossed_may_yet_do_so() -> None:
    rng = np.random.default_rng(1)
    level = np.concatenate([np.full(COUNT - 20, 50.0), np.linspace(50, 79, 20)])
    values, kinds, limit = (level + rng.normal(0, 1, COUNT))[None], np.array([3, 6, 12]), np.array([80.0])
    centre = np.repeat(values.T[:, :, None], 3, axis=2)
    found = backtest_exceedance(values, centre, limit, kinds, 300.0, CONFIG).exceedance[:, 0]
    assert found[100 : COUNT - 20].max() < 0.02
    assert (found[-1] > 0.4).all()


@pytest.mark.parametrize("decay", [pytest.param(0.9, id="ends a block early"), pytest.param(0.999, id="one block")])
def test_decayed_sums(decay: float) -> None:
    rng = np.random.default_rng(2)
    values, counted = rng.normal(size=(10_000, 2)), rng.random((10_000, 2)) < 0.7
    found, total = decayed_sums(values, counted, decay), np.zeros(2)
    for t in range(len(values)):
        total = np.where(counted[t], total * decay + values[t], total)
        np.testing.assert_allclose(found[t], total, rtol=1e-6, atol=1e-9)


def test_steps_that_were_missed_are_unknown() -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    centre = centres(values, 3)
    for gap in (1, 5, 40):
        holed = values.copy()
        holed[:, CUT : CUT + gap] = np.nan
        one, other = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
        for online in (one, other):
            online.learn(values[:, :CUT], centre[:CUT], limit, UP, first=FIRST)
        jumped = walk(one, values, centre, limit, CUT + gap)
        # Walked over the gap, forecasts are made in it too: compare what follows once those are done.
        stepped = walk(other, holed, centre, limit, CUT)[gap:]
        np.testing.assert_allclose(jumped, stepped, atol=0.2)
        assert np.isfinite(jumped).all()


def test_without_limit_there_is_no_probability_and_no_memory() -> None:
    values, kinds = past(), np.array([3, 6, 12])
    centre = centres(values, 3)
    online = OnlineExceedance(2, kinds, 300.0, CONFIG)
    empty = online.nbytes
    online.learn(values, centre, np.array([np.nan, np.nan]), UP, first=FIRST)
    assert online.nbytes == empty
    online.learn(values, centre, np.array([75.0, np.nan]), UP, first=FIRST)
    found = online.observe(FIRST + COUNT, values[:, -1], centre[-1], np.array([75.0, np.nan]), UP, NO)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_a_limit_that_comes_and_goes_leaves_the_other_metric_alone() -> None:
    values, kinds = past(), np.array([3, 6, 12])
    centre, both = centres(values, 3), np.array([75.0, 80.0])
    steady, changing = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
    for t in range(COUNT):
        at = (FIRST + t, values[:, t], centre[t])
        first = steady.observe(*at, np.array([np.nan, 80.0]), UP, NO)
        second = changing.observe(*at, both if t % 200 < 100 else np.array([np.nan, 80.0]), UP, NO)
        np.testing.assert_array_equal(first[1], second[1])
    assert np.isfinite(second[0]).all()


def test_what_was_learned_outlasts_a_limit_that_is_gone_for_a_while() -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    centre, none = centres(values, 3), np.array([np.nan, 80.0])
    online, steady = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
    for one in (online, steady):
        one.learn(values[:, :CUT], centre[:CUT], limit, UP, first=FIRST)
    for t in range(CUT, CUT + 3):
        found = online.observe(FIRST + t, values[:, t], centre[t], none, UP, NO)
        expected = steady.observe(FIRST + t, values[:, t], centre[t], limit, UP, NO)
        assert np.isnan(found[0]).all()
        np.testing.assert_array_equal(found[1], expected[1])
    at = (FIRST + CUT + 3, values[:, CUT + 3], centre[CUT + 3], limit, UP, NO)
    np.testing.assert_allclose(online.observe(*at)[0], steady.observe(*at)[0], atol=0.1)


def test_steps_without_a_forecast_do_no_harm() -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    centre = centres(values, 3)
    centre[:50] = centre[CUT : CUT + 5] = np.nan
    online = OnlineExceedance(2, kinds, 300.0, CONFIG)
    online.learn(values[:, :CUT], centre[:CUT], limit, UP, first=FIRST)
    found = walk(online, values, centre, limit, CUT)
    assert np.isnan(found[:5]).all()
    assert np.isfinite(found[5:]).all()
    expected = backtest_exceedance(values, centre, limit, kinds, 300.0, CONFIG, first=FIRST).exceedance
    np.testing.assert_allclose(found, expected[CUT:], rtol=1e-9, atol=1e-12)


def test_harmful_below_is_harmful_above_upside_down() -> None:
    values, kinds = past(), np.array([3, 6, 12])
    centre, limit = centres(values, 3), np.array([75.0, 80.0])
    one, other = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
    one.learn(values[:, :CUT], centre[:CUT], limit, UP, first=FIRST)
    other.learn(-values[:, :CUT], -centre[:CUT], -limit, ~UP, first=FIRST)
    for t in range(CUT, COUNT):
        found = one.observe(FIRST + t, values[:, t], centre[t], limit, UP, NO)
        np.testing.assert_allclose(found, other.observe(FIRST + t, -values[:, t], -centre[t], -limit, ~UP, NO))


def test_windows_touched_by_a_correction_teach_nothing() -> None:
    values, kinds = past(), np.array([3, 6, 12])
    centre, limit = centres(values, 3), np.array([75.0, 80.0])
    plain, touched = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
    for online in (plain, touched):
        online.learn(values[:, :CUT], centre[:CUT], limit, UP, first=FIRST)
    high = np.full(2, 1000.0)
    before = plain.observe(FIRST + CUT, values[:, CUT], centre[CUT], limit, UP, NO)
    touched.observe(FIRST + CUT, values[:, CUT], centre[CUT], limit, UP, NO)
    for t in range(CUT + 1, CUT + 40):
        touched.observe(FIRST + t, high, centre[CUT], limit, UP, ~NO)
    quiet = touched._learned
    np.testing.assert_array_equal(quiet.quantiles, plain._learned.quantiles)
    np.testing.assert_array_equal(quiet.states, plain._learned.states)
    assert np.isfinite(before).all()


def test_values_are_judged_by_the_limit_of_their_own_step() -> None:
    values, kinds = past(), np.array([3, 6, 12])
    scale = np.where(np.arange(COUNT) < COUNT // 2, 1.0, 3.0)
    limit = np.array([75.0, 80.0])
    centre = centres(values, 3)
    online, scaled = (OnlineExceedance(2, kinds, 300.0, CONFIG) for _ in range(2))
    for t in range(COUNT // 2 + 12):
        k = scale[t]
        online.observe(FIRST + t, values[:, t], centre[t], limit, UP, NO)
        scaled.observe(FIRST + t, values[:, t] * k, centre[t] * k, limit * k, UP, NO)
    np.testing.assert_allclose(online._learned.states, scaled._learned.states)


def test_an_older_step_is_not_learned_from() -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    centre = centres(values, 3)
    online = OnlineExceedance(2, kinds, 300.0, CONFIG)
    online.learn(values, centre, limit, UP, first=FIRST)
    first = online.observe(FIRST + COUNT - 1, values[:, -1], centre[-1], limit, UP, NO)
    np.testing.assert_array_equal(
        online.observe(FIRST + COUNT - 1, values[:, -1] + 100, centre[-1], limit, UP, NO), first
    )


def test_fewer_than_thirty_checks_give_no_probability() -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    found = walk(OnlineExceedance(2, kinds, 300.0, CONFIG), values[:, :60], centres(values, 3), limit, 0)
    assert np.isnan(found[:32]).all()
    known = np.isfinite(found).all(axis=1)
    assert [int(np.argmax(np.isfinite(found[:, 0, h]))) for h in range(3)] == [32, 35, 41]
    assert known[41:].all()


def test_what_is_kept_in_short_makes_no_difference_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    values, kinds, limit = past(), np.array([3, 6, 12]), np.array([75.0, 80.0])
    centre = centres(values, 3)
    exact = walk(OnlineExceedance(2, kinds, 300.0, CONFIG), values, centre, limit, 0)
    monkeypatch.setattr(online_module, "STORED", np.float32)
    monkeypatch.setattr(online_module, "STORED_SHORT", np.float16)
    found = walk(OnlineExceedance(2, kinds, 300.0, CONFIG), values, centre, limit, 0)
    np.testing.assert_allclose(found, exact, atol=0.01)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_module, "STORED", np.float32)
    monkeypatch.setattr(online_module, "STORED_SHORT", np.float16)
    values, kinds = past(), np.array([3, 6, 12])
    online = OnlineExceedance(2, kinds, 300.0, CONFIG)
    online.learn(values, centres(values, 3), np.array([75.0, 80.0]), UP, first=FIRST)
    size = online.nbytes
    walk(online, values, centres(values, 3), np.array([75.0, 80.0]), COUNT - 1)
    assert online.nbytes == size <= 2200
