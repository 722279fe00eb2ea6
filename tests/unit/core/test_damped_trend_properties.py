"""What holds of the forecaster on any series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from twinops.core.damped_trend import DampedTrend, _combined, _scale
from twinops.core.forecast import MIN_CHECKS, MIN_SAMPLES, QUANTILES
from twinops.core.observation import Floats, Series
from twinops.core.past import prepare

ANY = st.one_of(st.floats(), st.floats(-100, 100), st.just(np.nan))


def series(values: Floats, step: float = 60.0) -> Series:
    return Series(np.asarray(step * np.arange(len(values)), dtype=np.float64), values, step)


def rolling(seed: int, kind: str, count: int) -> Floats:
    """Return a series of this kind; continuous draws, so that no two past errors tie."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, count)
    return {
        "walk": np.cumsum(noise),
        "level": 5 + noise,
        "ramp": 0.5 * np.arange(count) + noise,
        "gaps": np.where(rng.random(count) < 0.3, np.nan, np.cumsum(noise)),
        "shift": np.where(np.arange(count) < count // 2, 0, 40) + noise,
    }[kind]


SEEDS = st.integers(0, 10_000)
KINDS = st.sampled_from(["walk", "level", "ramp", "gaps", "shift"])


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(np.float64, st.integers(0, 120), elements=ANY),
    st.lists(st.integers(1, 10_000), max_size=4),
    st.sampled_from([0.5, 5.0, 60.0, 900.0]),
)
def test_any_input_gives_ordered_finite_answers_or_none(values: Floats, horizons: list[int], step: float) -> None:
    found = DampedTrend().forecast(series(values, step), horizons)
    known = int((np.abs(values) < 1e100).sum())
    assert len(found) == (len(horizons) if known >= MIN_SAMPLES else 0)
    for one in found:
        assert len(one.quantiles) == len(QUANTILES)
        assert np.isfinite(one.quantiles).all()
        assert list(one.quantiles) == sorted(one.quantiles)
        assert one.calibrated == (one.checks >= MIN_CHECKS)
        assert (one.confidence is None) == (not one.calibrated)
        assert one.confidence is None or 0 <= one.confidence <= 1


@settings(max_examples=60, deadline=None)
@given(SEEDS, KINDS, st.integers(60, 300), st.integers(1, 20))
def test_what_is_scored_was_foreseen_without_looking_ahead(seed: int, kind: str, count: int, ahead: int) -> None:
    # The backtest runs over the whole at once. What it holds for an origin must be what was known then.
    values = rolling(seed, kind, count)
    known = np.flatnonzero(np.isfinite(values))
    whole = prepare(values[known[0] : known[-1] + 1])
    points, risen = _combined(whole, ahead)
    sizes = whole.unit * _scale(whole, points, risen, ahead)
    for end in known[20 :: len(known) // 8]:
        then = prepare(values[known[0] : end + 1])
        points_then, risen_then = _combined(then, ahead)
        sizes_then = then.unit * _scale(then, points_then, risen_then, ahead)
        at = len(points_then) - 1
        assert then.unit * points_then[-1] == pytest.approx(whole.unit * points[at], rel=1e-6, abs=1e-6)
        assert sizes_then[-1] == pytest.approx(sizes[at], rel=1e-6, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(SEEDS, KINDS, st.sampled_from([1e-6, 0.37, 8.0, 1e6]), st.sampled_from([0.0, -3.0, 1000.0]))
def test_scaling_and_shifting_carry_over(seed: int, kind: str, scale: float, shift: float) -> None:
    values = rolling(seed, kind, 250)
    plain = DampedTrend().forecast(series(values), [60, 900, 12_000])
    moved = DampedTrend().forecast(series(scale * (values + shift)), [60, 900, 12_000])
    for before, after in zip(plain, moved, strict=True):
        expected = scale * (np.array(before.quantiles) + shift)
        assert np.array(after.quantiles) == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)
        assert after.confidence == (None if before.confidence is None else pytest.approx(before.confidence, abs=1e-6))


@settings(max_examples=40, deadline=None)
@given(SEEDS, KINDS)
def test_the_range_is_kept(seed: int, kind: str) -> None:
    values = rolling(seed, kind, 200)
    for one in DampedTrend().forecast(series(values), [60, 1800], minimum=-1.0, maximum=2.0):
        assert min(one.quantiles) >= -1
        assert max(one.quantiles) <= 2
