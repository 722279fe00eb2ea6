"""Rolling through history: no look ahead, and what is made of warnings, drift and peers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.history import waves
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.config import CONFIG
from twinops.errors import InputError
from twinops.replay import peers
from twinops.replay.incidents import score_risks
from twinops.replay.recording import Recording
from twinops.replay.report import replay, to_json
from twinops.replay.rolling import Replayed, learning_rows, roll
from twinops.replay.scores import Scores, interval_scores, score
from twinops.replay.spec import ReplayOptions, metric_value, replay_spec

WEEK_ROWS = 7 * 96
POINTWISE = ("limits", "quantiles", "calibrated", "exceedance", "warned", "drifting", "expected")


def run(recording: Recording, given: ReplayOptions | None = None) -> tuple[Replayed, Scores]:
    replayed = roll(recording, replay_spec(given or ReplayOptions(), recording.names, recording.step))
    return replayed, score(replayed, keep=True)


def cut(recording: Recording, rows: int) -> Recording:
    return dataclasses.replace(recording, times=recording.times[:rows], values=recording.values[:, :rows])


def spoiled(recording: Recording, rows: int) -> Recording:
    """Return another future after this many rows: a thousand times as large, upside down and with holes."""
    values = recording.values.copy()
    values[:, rows:] = -1000 * values[:, rows:]
    values[:, rows + 3 :: 4] = np.nan
    return dataclasses.replace(recording, values=values)


def assert_same(one: tuple[Replayed, Scores], other: tuple[Replayed, Scores], rows: int) -> None:
    for name in POINTWISE:
        np.testing.assert_array_equal(getattr(one[0], name)[:rows], getattr(other[0], name)[:rows], err_msg=name)
    for name, quantiles in one[1].peer_quantiles.items():
        np.testing.assert_array_equal(quantiles[:rows], other[1].peer_quantiles[name][:rows], err_msg=name)
    raised = [
        [dataclasses.replace(a, until=None) for a in each.alerts if a.until and a.until < rows]
        for each, _ in (one, other)
    ]
    assert raised[0] == raised[1]


@pytest.fixture(scope="module")
def long() -> Recording:
    recording = waves(WEEK_ROWS + 3 * 96, names=("load", "cpuUsage"))
    recording.values[0, 200:230] = np.nan
    recording.values[1, WEEK_ROWS + 120 : WEEK_ROWS + 150] *= 2
    return recording


@pytest.fixture(scope="module")
def whole(long: Recording) -> tuple[Replayed, Scores]:
    return run(long)


@pytest.mark.parametrize(
    "rows", [pytest.param(WEEK_ROWS + 100, id="a day on"), pytest.param(WEEK_ROWS + 141, id="in a shift")]
)
def test_a_prefix_and_the_whole_say_the_same_point_by_point(
    long: Recording, whole: tuple[Replayed, Scores], rows: int
) -> None:
    assert_same(run(cut(long, rows)), whole, rows)


def test_another_future_changes_nothing_before_it(long: Recording, whole: tuple[Replayed, Scores]) -> None:
    rows = WEEK_ROWS + 130
    other = run(spoiled(long, rows))

    assert_same(other, whole, rows)
    assert not np.array_equal(other[0].quantiles[rows + 1 :], whole[0].quantiles[rows + 1 :], equal_nan=True)


def test_a_short_recording_with_given_limits_looks_ahead_as_little() -> None:
    recording = waves(150, 300.0)
    given = ReplayOptions(limits={"load": 60.0}, expected={"load": 40.0})

    assert_same(run(cut(recording, 90), given), run(recording, given), 90)


def test_nothing_is_foreseen_before_ten_samples_and_something_after() -> None:
    replayed, _ = run(waves(60, 300.0), ReplayOptions(limits={"load": 60.0}))

    foreseen = np.isfinite(replayed.quantiles[:, 0, 0, 4])
    assert foreseen.tolist() == [row >= 9 for row in range(60)]
    assert (np.diff(replayed.quantiles[9:], axis=-1) >= 0).all()


def test_learned_limits_are_the_95th_percentile_of_the_first_week_and_hold_from_then_on(
    long: Recording, whole: tuple[Replayed, Scores]
) -> None:
    replayed, _ = whole

    assert replayed.begin == WEEK_ROWS
    assert np.isnan(replayed.limits[:WEEK_ROWS]).all()
    expected = np.nanpercentile(long.values[:, :WEEK_ROWS], 95, axis=1)
    np.testing.assert_allclose(replayed.limits[WEEK_ROWS:], np.tile(expected, (len(long.times) - WEEK_ROWS, 1)))


@pytest.mark.parametrize(
    ("rows", "step", "learning"),
    [
        pytest.param(2016 + 288, 300, 2016, id="eight days"),
        pytest.param(2016, 300, 1008, id="a week"),
        pytest.param(10, 3600, 5, id="ten hours"),
    ],
)
def test_the_first_week_is_for_learning_or_the_first_half(rows: int, step: float, learning: int) -> None:
    assert learning_rows(rows, step) == learning


def test_scores_begin_after_learning_and_stand_beside_peers_on_the_same_origins(
    whole: tuple[Replayed, Scores],
) -> None:
    replayed, scores = whole
    rows = len(replayed.recording.times) - WEEK_ROWS

    for row in scores.table:
        for ahead, one in zip((1, 2, 4), row, strict=True):
            assert one.origins == rows - ahead
            assert one.ours is not None
            assert 0 < one.ours.wis < one.ours.width
            assert set(one.relative) == {"naive", "seasonalNaive", "theta"}
    [load, _] = scores.table
    assert load[2].relative["naive"] < 1, "a daily wave is easy to foresee"


def test_constant_series_has_no_error_to_scale_by() -> None:
    recording = dataclasses.replace(waves(200, 300.0), values=np.full((1, 200), 7.0))

    _, scores = run(recording)

    for one in scores.table[0]:
        assert one.ours is not None
        assert (one.ours.mase, one.ours.wis, one.ours.coverage) == (None, 0.0, 1.0)
        assert one.relative["naive"] == 1.0


def test_interval_score_of_a_known_case() -> None:
    exact = interval_scores(np.full((1, 9), 3.0), np.array([3.0]))
    # Nine equal quantiles 2 too low: twice the mean of level * 2.
    low = interval_scores(np.full((1, 9), 3.0), np.array([5.0]))

    assert exact[0] == 0
    assert low[0] == pytest.approx(2 * 0.5 * 2)


class TestPeers:
    def test_naive_repeats_the_last_value(self) -> None:
        values = np.arange(6.0)[None]

        np.testing.assert_array_equal(peers.naive(values, np.array([1, 3]))[0], [values[0], values[0]])

    def test_seasonal_naive_takes_the_value_of_a_day_before_the_target(self) -> None:
        values = np.arange(20.0)[None]

        found = peers.seasonal_naive(values, np.array([1, 3, 4]), 4)[0]

        # From row 10 on: targets 11, 13 and 14, a day (four rows) before them.
        assert found[:, 10].tolist() == [7, 9, 10]

    def test_theta_follows_a_line(self) -> None:
        values = 3.0 + 2.0 * np.arange(400.0)[None]

        found = peers.theta(values, np.array([1, 2]), 96)[0]

        # Half the slope as drift, on top of a smoothed level that lags: close to the line, never beyond it.
        assert values[0, -1] < found[0, -1] <= values[0, -1] + 2
        assert found[1, -1] - found[0, -1] == pytest.approx(1.0)

    def test_our_intervals_around_a_peer_cover_what_comes(self) -> None:
        values = np.random.default_rng(3).normal(0, 1, (1, 3000)).cumsum(axis=1)
        horizons = np.array([1, 3])

        found = peers.calibrated(peers.naive(values, horizons), values, 0, 300.0, horizons, CONFIG)

        inside = (values[0, 1003:] >= found[1000:-3, 0, 1, 0]) & (values[0, 1003:] <= found[1000:-3, 0, 1, -1])
        assert 0.86 < inside.mean() < 0.94


def told(values: list[float], warned: list[int], *, limit: float = 10, begin: int = 0, seconds: int = 3600) -> Replayed:
    """Return a replay of one metric at 15 min with warnings at these rows."""
    rows = len(values)
    recording = Recording(("m",), 900.0 * np.arange(rows, dtype=np.float64), np.array([values]), 900.0, "made up")
    spec = DigitalTwinSpec.from_wire(
        {"source": {"systemType": "Custom"}, "predictions": {"horizonsSeconds": [seconds]}}
    )
    flags = np.zeros((rows, 1), dtype=bool)
    flags[warned] = True
    return Replayed(
        recording, spec, begin, np.full((rows, 1), limit), np.full((rows, 1, 1, 9), np.nan),
        np.zeros((rows, 1, 1), dtype=bool), np.full((rows, 1, 1), np.nan), flags, np.zeros(rows, dtype=bool), (),
        np.full((rows, 1, 3), np.nan),
    )  # fmt: skip


CALM, OVER = 5.0, 15.0


@pytest.mark.parametrize(
    ("values", "warned", "figures"),
    [
        # (crossings, missed, judged incidents, hits, lead in seconds)
        pytest.param([CALM] * 8 + [OVER] * 3, [6], (1, 0, 1, 1, 1800), id="warned half an hour before"),
        pytest.param([CALM] * 8 + [OVER] * 3, [], (1, 1, 0, 0, None), id="not warned"),
        pytest.param([CALM] * 20, [4], (0, 0, 1, 0, None), id="false alarm"),
        pytest.param([CALM] * 20, [18], (0, 0, 0, 0, None), id="cannot be told before the end"),
        pytest.param([CALM] * 8 + [OVER] * 3, [2], (1, 1, 1, 0, None), id="too early"),
        pytest.param([CALM] * 8 + [OVER] * 3, [1, 5], (1, 0, 1, 1, 6300), id="one incident, warned from its begin"),
        pytest.param([CALM] * 8 + [OVER] * 6, [9], (1, 1, 0, 0, None), id="raised while beyond"),
        pytest.param(([CALM] * 8 + [OVER]) * 3, [6, 15, 20], (3, 1, 3, 2, 1800), id="three crossings"),
        pytest.param(
            [CALM] * 8 + [OVER, CALM, CALM, OVER], [10], (1, 1, 0, 0, None), id="within the hour: one crossing"
        ),
        pytest.param([CALM] * 8 + [float("nan")] * 2 + [OVER], [8], (1, 0, 1, 1, 1800), id="gap before the crossing"),
    ],
)
def test_warnings_against_what_came(
    values: list[float], warned: list[int], figures: tuple[int, int, int, int, float | None]
) -> None:
    found = score_risks(told(values, warned))

    assert (len(found.onsets), found.misses, len(found.judged), found.hits, found.lead_seconds) == figures


def two(first: list[float], second: list[float], warned: list[tuple[int, int]]) -> Replayed:
    """Return a replay of two metrics; warnings are pairs of row and metric."""
    one = told(first, [])
    recording = dataclasses.replace(one.recording, names=("a", "b"), values=np.array([first, second]))
    flags = np.zeros((len(first), 2), dtype=bool)
    for row, metric in warned:
        flags[row, metric] = True
    return dataclasses.replace(one, recording=recording, limits=np.full((len(first), 2), 10.0), warned=flags)


@pytest.mark.parametrize(
    ("first", "second", "warned", "figures"),
    [
        pytest.param(
            [CALM] * 8 + [OVER] * 4, [CALM] * 9 + [OVER] * 3, [(6, 0), (7, 1)], (1, 0, 1, 1), id="one of both"
        ),
        pytest.param([CALM] * 8 + [OVER] * 4, [CALM] * 12, [(6, 1)], (1, 0, 1, 1), id="warned of the other one"),
        pytest.param(
            [OVER] * 2 + [CALM] * 10, [CALM] * 5 + [OVER] * 7, [(3, 1)], (1, 0, 1, 1), id="soon after another"
        ),
        pytest.param(
            [CALM] * 2 + [OVER] * 10, [CALM] * 9 + [OVER] * 3, [(7, 1)], (2, 1, 0, 0), id="while another is over"
        ),
    ],
)
def test_incidents_are_of_the_twin(
    first: list[float], second: list[float], warned: list[tuple[int, int]], figures: tuple[int, int, int, int]
) -> None:
    found = score_risks(two(first, second, warned))

    assert (len(found.onsets), found.misses, len(found.judged), found.hits) == figures


def test_what_comes_while_learning_is_not_counted() -> None:
    found = score_risks(told([CALM] * 8 + [OVER] * 2 + [CALM] * 20, [6, 20], begin=15))

    assert (len(found.onsets), len(found.judged), found.hits) == (0, 1, 0)
    assert found.quiet_alarm_share == pytest.approx(1 / 15)


def test_expected_values_raise_drift_alerts_that_tell_since_when_and_how_far() -> None:
    recording = waves(120, 300.0)
    recording.values[0] = 50.0
    recording.values[0, 60:90] = 90.0

    replayed, _ = run(recording, ReplayOptions(expected={"load": 50.0}))

    [alert] = replayed.alerts
    assert (alert.component, alert.direction, alert.expected, alert.actual) == ("load", "Above", "50", "90")
    assert alert.percent == 80
    assert alert.since == recording.times[60]
    assert (alert.raised, alert.until) == (62, 92)
    assert replayed.drifting[alert.raised : alert.until].all()


class TestTerms:
    def test_a_twin_that_names_limits_has_no_others(self) -> None:
        twin = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom"}, "limits": {"a": 5}})

        assert replay_spec(ReplayOptions(twin=twin), ["a", "b"], 300).learn_limits == ()
        assert replay_spec(ReplayOptions(limits={"a": 5}), ["a", "b"], 300).learn_limits == ("b",)

    def test_what_the_twin_speaks_of_and_nobody_recorded_is_told(self) -> None:
        twin = DigitalTwinSpec.from_wire({"source": {"systemType": "Custom"}, "limits": {"a": 5, "z": 1}})

        assert replay_spec(ReplayOptions(twin=twin), ["a"], 300).notes == (
            "the twin speaks of z, and nothing of that is recorded",
        )

    @pytest.mark.parametrize(
        ("step", "given", "horizons"),
        [
            pytest.param(300, None, [900, 1800, 3600], id="default"),
            pytest.param(1800, None, [1800, 3600], id="those of at least a step"),
            pytest.param(3600, [7200, 3600], [3600, 7200], id="given, in order"),
        ],
    )
    def test_horizons(self, step: float, given: list[int] | None, horizons: list[int]) -> None:
        assert replay_spec(ReplayOptions(horizons=given), ["a"], step).spec.predictions.horizons_seconds == horizons

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            pytest.param(
                ReplayOptions(limits={"b": 1}), "--limit b: no such metric; recorded are a", id="unknown limit"
            ),
            pytest.param(ReplayOptions(expected={"b": 1}), "--expected b: no such metric", id="unknown expected"),
            pytest.param(ReplayOptions(expected={"a": 0}), "percent of 0 has no meaning", id="expected zero"),
            pytest.param(ReplayOptions(horizons=[60]), "between one step", id="shorter than a step"),
            pytest.param(ReplayOptions(horizons=[100_000]), "and a day", id="longer than a day"),
        ],
    )
    def test_refuses(self, given: ReplayOptions, told: str) -> None:
        with pytest.raises(InputError, match=told):
            replay_spec(given, ["a"], 300)

    def test_refuses_more_metrics_than_a_twin_has(self) -> None:
        with pytest.raises(InputError, match="at most 32: name those that matter with --metric"):
            replay_spec(ReplayOptions(), [f"m{k}" for k in range(33)], 300)

    @pytest.mark.parametrize("text", ["a", "a=", "=5", "a=x", "a=nan", "a=1e30"])
    def test_refuses_what_is_no_value(self, text: str) -> None:
        with pytest.raises(InputError, match="write METRIC=VALUE"):
            metric_value(text, "--limit")

    def test_the_last_equals_sign_divides(self) -> None:
        assert metric_value("a=b=5", "--limit") == ("a=b", 5.0)


def test_recorded_replicas_move_limits_and_are_judged_themselves() -> None:
    recording = dataclasses.replace(waves(60, 300.0), replicas=np.repeat([3.0, np.nan, 6.0], 20))
    twin = DigitalTwinSpec.from_wire(
        {
            "source": {"systemType": "Custom"},
            "limitsPerReplica": {"load": 10},
            "expectedState": {"replicas": {"max": 4}, "metrics": {"load": 1000}},
            "thresholds": {"load": 500},
        }
    )
    spec = replay_spec(ReplayOptions(twin=twin), recording.names, 300.0, replicas=True)

    replayed = roll(recording, spec)

    assert replayed.limits[:, 0].tolist() == [30.0] * 40 + [60.0] * 20
    [alert] = [one for one in replayed.alerts if one.component == "replicas"]
    assert (alert.since, alert.expected, alert.actual) == (recording.times[40], "at most 4", "6")


def test_without_recorded_replicas_nothing_that_rests_on_them_is_judged() -> None:
    twin = DigitalTwinSpec.from_wire(
        {"source": {"systemType": "Custom"}, "limitsPerReplica": {"a": 10}, "expectedState": {"replicas": {"max": 4}}}
    )

    spec = replay_spec(ReplayOptions(twin=twin), ["a"], 300.0)

    assert (spec.spec.limits_per_replica, spec.spec.expected_state.replicas) == ({}, None)
    assert spec.learn_limits == ("a",)
    assert spec.notes == ("limitsPerReplica are left out: it is not recorded how many replicas there were",)


VALUES = st.one_of(
    st.just(float("nan")),
    st.just(0.0),
    st.floats(-1e12, 1e12),
    st.floats(0, 1, width=16),
)


@settings(max_examples=20, deadline=None)
@given(values=st.lists(VALUES, min_size=2, max_size=90), step=st.sampled_from([5.0, 300.0, 3600.0]))
def test_whatever_was_recorded_comes_to_a_report_in_finite_figures(values: list[float], step: float) -> None:
    times = step * np.arange(len(values), dtype=np.float64)
    recording = Recording(("m",), times, np.array([values]), step, "made up")

    found = json.loads(to_json(replay(recording, replay_spec(ReplayOptions(), recording.names, step))))

    assert found["rows"] == len(values)
    for one in found["points"]["metrics"]["m"]["forecasts"].values():
        for lower, median, upper in zip(one["lower"], one["median"], one["upper"], strict=True):
            assert (lower is None) == (median is None) == (upper is None)
            assert lower is None or lower <= median <= upper
