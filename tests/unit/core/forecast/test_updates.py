"""One step after the other, and many at once: the same figures, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinops.core.forecast import exceedance_online
from twinops.core.forecast.backtest import backtest_members, stride
from twinops.core.forecast.calibration import CalibrationState, Issued, new_state, published
from twinops.core.forecast.config import CONFIG
from twinops.core.forecast.exceedance_batch import backtest_exceedance
from twinops.core.forecast.exceedance_online import OnlineExceedance
from twinops.core.forecast.updates import hold_left, hysteresis, issue, learn_change, learn_sync
from twinops.core.series import Flags, Floats

FIRST = 4_700_000
COUNT = 420
STATE = ("loss", "checks", "steps", "change", "sizes", "quantiles", "figures", "trusted", "hold")

steps = st.sampled_from([60.0, 300.0, 900.0])
horizons = st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True).map(sorted).map(np.array)
holes = st.sampled_from([0.0, 0.05, 0.4])
few = settings(max_examples=10, deadline=None)


def past(seed: int, unknown: float) -> Floats:
    """Two series with spikes, a level shift and holes, shape (2, COUNT)."""
    rng = np.random.default_rng(seed)
    values: Floats = 50 + 20 * np.sin(np.arange(COUNT) / 23) + rng.normal(0, 5, (2, COUNT))
    values += 30 * (rng.random((2, COUNT)) < 0.03)
    values[:, int(rng.integers(1, COUNT)) :] += rng.choice([0.0, 60.0])
    values[rng.random((2, COUNT)) < unknown] = np.nan
    return values


def stretches(rng: np.random.Generator, count: int) -> Flags:
    """Up to ``count`` stretches of up to twenty steps, shape (2, COUNT)."""
    found = np.zeros((2, COUNT), dtype=bool)
    for begin in rng.integers(0, COUNT, count):
        found[rng.integers(0, 2), begin : begin + rng.integers(1, 20)] = True
    return found


@few
@given(seed=st.integers(0, 9999), step=steps, kinds=horizons, unknown=holes)
def test_single_syncs_calibrate_as_a_backtest_does(seed: int, step: float, kinds: np.ndarray, unknown: float) -> None:
    rng = np.random.default_rng(seed)
    values = past(seed, unknown)
    last = np.where(np.isfinite(values), values, 50.0)
    members = last.T[:, :, None, None] + rng.normal(0, 5, (COUNT, 2, len(kinds), 16))
    members[..., 0] = last.T[:, :, None]
    members[: rng.integers(0, 40), 1] = np.nan
    # Nothing is scored where a correction changes the value, or where it is only a lower bound.
    outcomes = np.where(stretches(rng, 3), np.nan, values)
    shifted, climbing = stretches(rng, 2), stretches(rng, 2)
    done = backtest_members(
        members, outcomes, shifted, np.arange(COUNT), FIRST, step, kinds, CONFIG, keep=True, climbing=climbing
    )  # fmt: skip
    assert done.quantiles is not None

    state = new_state(2, len(kinds), 16)
    strides = np.array([stride(int(one), CONFIG) for one in kinds])
    hold, columns = float(np.ceil(CONFIG.hold_seconds / step)), np.arange(len(kinds))
    near, soon = kinds <= hold, kinds * step <= CONFIG.climb_seconds
    for t in range(COUNT):
        if t:
            learn_change(state, outcomes[:, t] - members[t - 1, :, 0, 0], CONFIG)
        rows = np.maximum(t - kinds, 0)
        due = (t >= kinds) & ((FIRST + t - kinds) % strides == 0)
        then = Issued(*(one[rows, :, columns].swapaxes(0, 1) for one in (done.centre, done.scale)))
        known_then = members[rows, :, columns].swapaxes(0, 1).copy()
        learn_sync(state, np.where(due, outcomes[:, t, None], np.nan), known_then, then, strides * step, CONFIG)
        now = issue(state, members[t], shifted[:, t], hold, near, CONFIG, climbing[:, t, None] & soon)
        np.testing.assert_array_equal(now.centre, done.centre[t])
        np.testing.assert_array_equal(now.scale, done.scale[t])
        np.testing.assert_array_equal(published(state, now, kinds, near), done.quantiles[t])
    assert_same(state, done.state)


def assert_same(one: CalibrationState, other: CalibrationState) -> None:
    for name in STATE:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@few
@given(seed=st.integers(0, 9999), step=steps, kinds=horizons, unknown=holes)
def test_single_syncs_give_the_exceedance_of_a_backtest(
    seed: int, step: float, kinds: np.ndarray, unknown: float
) -> None:
    rng = np.random.default_rng(seed)
    values = past(seed, unknown)
    centre = np.where(np.isfinite(values), values, 50.0).T[:, :, None] * (1 + 0.01 * np.arange(len(kinds)))
    limits = rng.uniform(40, 120, 2)[:, None] * np.where(np.arange(COUNT) < rng.integers(1, COUNT), 1.0, 1.5)
    excluded = stretches(rng, 3)
    with pytest.MonkeyPatch.context() as patch:
        # In full precision, so that nothing but rounding can tell them apart.
        patch.setattr(exceedance_online, "STORED", np.float64)
        patch.setattr(exceedance_online, "STORED_SHORT", np.float64)
        online = OnlineExceedance(2, kinds, step, CONFIG)
        found = np.array(
            [
                online.observe(FIRST + t, values[:, t], centre[t], limits[:, t], np.ones(2, bool), excluded[:, t])
                for t in range(COUNT)
            ]
        )
    done = backtest_exceedance(
        values, centre, limits, kinds, step, CONFIG, first=FIRST, calibration_excluded=excluded
    )  # fmt: skip
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], done.exceedance[known], rtol=1e-9, atol=1e-12)
    for name in ("size", "quantiles", "checks", "states", "slots", "brier", "judged"):
        learned = getattr(online._learned, name)
        np.testing.assert_allclose(learned, getattr(done.state, name), rtol=1e-8, atol=1e-10, err_msg=name)


@given(seed=st.integers(0, 9999), hold=st.sampled_from([0.0, 3.0, 24.0]))
def test_hold_and_switch_go_on_from_step_to_step(seed: int, hold: float) -> None:
    rng = np.random.default_rng(seed)
    on, off = rng.random((2, 60, 3)) < 0.1
    left, switch = np.minimum([0.0, 2.0, 30.0], hold), np.array([True, False, True])
    whole, switched = hold_left(left, on, hold), hysteresis(switch, on, off)
    for t in range(len(on)):
        left, switch = hold_left(left, on[t : t + 1], hold)[0], (on[t] | switch) & ~off[t]
        np.testing.assert_array_equal(left, whole[t])
        np.testing.assert_array_equal(switch, switched[t])
