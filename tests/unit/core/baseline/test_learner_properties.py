"""What holds for any series."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.baseline_series import DAY, START, STEP, Floats, bursts, daily, noise
from twinops.core.baseline.learner import Judgement, LearnedBaseline

few = settings(max_examples=15, deadline=None)
HALF = 1e-3
"""Tails are kept at half precision: sizes are the same up to their rounding."""


@st.composite
def series(draw: st.DrawFn) -> Floats:
    """Return a few days of one of several kinds, with holes, spikes and a shift here and there."""
    kinds: list[Callable[..., Floats]] = [noise, daily, bursts]
    values: Floats = draw(st.sampled_from(kinds))(draw(st.floats(2.5, 5)), seed=draw(st.integers(0, 1000)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    values[rng.random(len(values)) < draw(st.sampled_from([0.0, 0.0, 0.2]))] = np.nan
    values[rng.integers(0, len(values), 3)] += draw(st.floats(-100, 100))
    values[rng.integers(0, len(values)) :] += draw(st.floats(-30, 30))
    return values


def judge(values: Floats, cuts: tuple[int, ...] = ()) -> list[Judgement]:
    baseline = LearnedBaseline(1, STEP)
    places = [0, *cuts, len(values)]
    return [
        baseline.advance(START + first, values[first:last, None]) for first, last in pairwise(places) if last > first
    ]


def assert_same(one: Floats, other: Floats, tolerance: float = HALF) -> None:
    """Compare logarithms of sizes; what lies far below its record is nobody's business."""
    np.testing.assert_allclose(np.maximum(one, -1), np.maximum(other, -1), atol=tolerance)


@few
@given(series(), st.floats(0.1, 1))
def test_what_comes_later_changes_nothing(values: Floats, share: float) -> None:
    (whole,) = judge(values)
    size = max(1, int(len(values) * share))
    (prefix,) = judge(values[:size])
    np.testing.assert_array_equal(prefix.expected, whole.expected[:size])
    np.testing.assert_array_equal(prefix.excess, whole.excess[:size])
    np.testing.assert_array_equal(prefix.started, whole.started[:size])
    np.testing.assert_array_equal(prefix.upper, whole.upper[:size])


@few
@given(series(), st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_entries_may_come_in_any_portions(values: Floats, cuts: list[int]) -> None:
    (whole,) = judge(values)
    parts = judge(values, tuple(sorted(set(cuts))))
    np.testing.assert_allclose(np.concatenate([part.expected for part in parts]), whole.expected, rtol=1e-9)
    assert_same(np.concatenate([part.excess for part in parts]), whole.excess)


@pytest.mark.parametrize("seed", [46, 64, 66, 79])
def test_first_entry_may_come_alone_and_unknown(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values: Floats = 20 + rng.normal(0, 1, 700)
    values[300:500] += 40
    values[rng.random(700) < 0.2] = np.nan
    values[0] = np.nan
    (whole,) = judge(values)
    parts = judge(values, (1,))
    assert_same(np.concatenate([part.excess for part in parts]), whole.excess)


def test_entries_may_come_one_by_one() -> None:
    values = daily(4)
    values[900:] += 30
    (whole,) = judge(values)
    parts = judge(values, tuple(range(1, len(values))))
    assert_same(np.concatenate([part.excess for part in parts]), whole.excess)
    np.testing.assert_array_equal(np.concatenate([part.started for part in parts]), whole.started)
    assert whole.started.any()


@few
@given(series(), st.sampled_from([1e-6, 0.5, 1000.0, 1e9]))
def test_scale_does_not_matter(values: Floats, scale: float) -> None:
    (one,), (other,) = judge(values), judge(values * scale)
    np.testing.assert_allclose(other.expected, one.expected * scale, rtol=1e-4, atol=1e-5 * scale)
    assert_same(one.excess, other.excess)


@few
@given(series(), st.sampled_from([-500.0, 10.0, 300.0]))
def test_shift_does_not_matter(values: Floats, shift: float) -> None:
    (one,), (other,) = judge(values), judge(values + shift)
    np.testing.assert_allclose(other.expected, one.expected + shift, atol=1e-2)
    assert_same(one.excess[:, :, :-2], other.excess[:, :, :-2], tolerance=0.05)


@few
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=600))
def test_any_numbers_are_survived(numbers: list[float]) -> None:
    bounded = np.array(numbers)
    bounded[np.abs(bounded) > 1e100] = np.inf
    (judgement,) = judge(bounded)
    assert not np.isnan(judgement.excess).any()
    assert not np.isinf(judgement.expected).any()


def test_infinite_is_unknown() -> None:
    values, holes = noise(4), noise(4)
    values[500:520], holes[500:520] = np.inf, np.nan
    (one,), (other,) = judge(values), judge(holes)
    np.testing.assert_array_equal(one.excess, other.excess)


@pytest.mark.parametrize("make", [noise, daily, bursts])
def test_missing_is_not_zero(make: Callable[..., Floats]) -> None:
    values = make(12)
    values[6 * DAY : 8 * DAY + 50] = np.nan
    (judgement,) = judge(values)
    assert judgement.alarms == ()


@few
@given(st.floats(-1e6, 1e6), st.integers(10, 2000))
def test_constants_raise_nothing(value: float, size: int) -> None:
    (judgement,) = judge(np.full(size, value))
    assert judgement.alarms == ()
    assert judgement.expected[-1, 0] == pytest.approx(value)


@few
@given(series(), st.integers(10, 200))
def test_ten_samples_are_enough_to_expect_something(values: Floats, size: int) -> None:
    values = np.nan_to_num(values[:size], nan=1.0)
    (judgement,) = judge(values)
    assert np.isfinite(judgement.expected[-1, 0])
    assert not judgement.started.any()


def test_memory_does_not_grow() -> None:
    baseline = LearnedBaseline(6, STEP)
    baseline.advance(START, np.stack([noise(1)] * 6, axis=1))
    early = baseline.nbytes
    baseline.advance(START + DAY, np.stack([noise(60)] * 6, axis=1))
    assert baseline.nbytes == early
    assert early <= 6 * 12_000


def test_series_do_not_disturb_each_other() -> None:
    alone = [noise(5), daily(5), bursts(5)]
    together = LearnedBaseline(3, STEP).advance(START, np.stack(alone, axis=1))
    for column, values in enumerate(alone):
        (judgement,) = judge(values)
        np.testing.assert_array_equal(together.excess[:, column], judgement.excess[:, 0])
