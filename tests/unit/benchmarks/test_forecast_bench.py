"""The forecast bench: what its figures mean, on made series; and end to end on a folder of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import series as data
from benchmarks.forecast.__main__ import main
from benchmarks.forecast.parts import shift_hours
from benchmarks.forecast.risk import all_risk
from benchmarks.forecast.scored import Scored
from benchmarks.forecast.warnings import judge
from benchmarks.series import BenchSeries, series_in
from twinops.core.forecast.config import CONFIG

WEEK = 2016


def scored(values: np.ndarray, chance: np.ndarray, onsets: list[int], step: float = 300.0) -> Scored:
    one = BenchSeries("made", "even", 0.0, values, step)
    exceedance = np.repeat(chance[:, None], 3, axis=1)
    return Scored(
        one, 1.0, values > 1, exceedance, np.zeros((3, len(values))), np.array(onsets, dtype=int), len(onsets)
    )


def spikes(count: int, at: list[int]) -> np.ndarray:
    values = np.zeros(count)
    values[at] = 2.0
    return values


def raised(count: int, *spans: tuple[int, int]) -> np.ndarray:
    chance = np.zeros(count)
    for begin, end in spans:
        chance[begin:end] = 0.9
    return chance


COUNT, ONSET = WEEK + 288, WEEK + 100


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param(
            [(ONSET - 6, ONSET)],
            {"warned": 1.0, "lead_min": 30.0, "precision": 1.0, "quiet_alarm_share": 0.0},
            id="hit",
        ),
        pytest.param([], {"warned": 0.0, "precision": 0.0, "false_per_metric_day": 0.0}, id="missed"),
        pytest.param(
            [(ONSET + 50, ONSET + 60)],
            {"warned": 0.0, "precision": 0.0, "false_per_metric_day": 1.0, "quiet_alarm_share": round(10 / 275, 4)},
            id="false",
        ),
        pytest.param(
            [(ONSET - 20, ONSET - 19), (ONSET - 8, ONSET - 7)],
            {"warned": 1.0, "lead_min": 100.0, "precision": 1.0},
            id="an hour apart is one episode, which leads from its begin",
        ),
        pytest.param([(ONSET, ONSET + 5)], {"warned": 0.0, "precision": 0.0}, id="begun above is no episode"),
        pytest.param([(10, 50)], {"warned": 0.0, "false_per_metric_day": 0.0}, id="the first week does not count"),
    ],
)
def test_warnings(spans: list[tuple[int, int]], expected: dict[str, float]) -> None:
    figures = judge([scored(spikes(COUNT, [ONSET]), raised(COUNT, *spans), [ONSET])], 0.5)
    assert {key: figures[key] for key in expected} == expected


def test_after_a_crossing_a_warning_needs_a_calm_hour() -> None:
    one = scored(spikes(COUNT, [ONSET]), raised(COUNT, (ONSET + 1, ONSET + 14)), [ONSET])
    assert judge([one], 0.5)["quiet_alarm_share"] == round(13 / 275, 4)
    assert judge([one], 0.5, calm=True)["quiet_alarm_share"] == round(1 / 275, 4)


def wave(count: int, step: float, seed: int = 1) -> BenchSeries:
    rng = np.random.default_rng(seed)
    times = np.arange(count) * step
    values = 100 + 30 * np.sin(times * 2 * np.pi / 86_400) + rng.normal(0, 8, count)
    return BenchSeries(f"wave{seed}", "even", 0.0, values, step)


@pytest.mark.parametrize("step", [pytest.param(300.0, id="five minutes"), pytest.param(1200.0, id="twenty minutes")])
def test_risk_of_a_wave_is_foreseen(step: float) -> None:
    chosen = [wave(round(12 * 86_400 / step), step)]
    summary, per_series, kept = all_risk(chosen, CONFIG)
    found = per_series["wave1"]["p95"]
    assert set(found["brier_skill"]) == {"3", "6", "12"}
    assert all(skill > 0 for skill in found["brier_skill"].values())
    assert found["onsets"] == len(kept["p95"][0].onsets) if kept["p95"] else found["onsets"] < 20
    assert summary["p95"]["series"] + len(summary["p95"]["not_scored"]) == 1


def test_a_shift_takes_a_window_to_be_over() -> None:
    rng = np.random.default_rng(3)
    back = shift_hours(BenchSeries("level", "odd", 0.0, 100 + rng.normal(0, 1, 3000), 300.0), CONFIG)
    assert (back.coverage_ahead <= back.coverage).all()
    assert ((back.coverage >= 0) & (back.coverage <= 4)).all()


def test_series_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    below = tmp_path / "more"
    below.mkdir()
    rows = "".join(f"{600 * k},{k},{k % 7}\n" for k in range(1300))
    (below / "two.csv").write_text("time,a,b\n" + rows)
    (tmp_path / "short.csv").write_text("time,a\n0,1\n300,2\n")
    found = series_in(tmp_path)
    assert [(one.name, one.step, len(one.values)) for one in found] == [("two:a", 600.0, 1300), ("two:b", 600.0, 1300)]
    assert {one.half for one in found} == {data.half_of("two.csv")}
    assert "short" in capsys.readouterr().err


def test_five_minutes_need_three_known_ones() -> None:
    nan = np.nan
    minutes = np.array([1, 2, 3, nan, nan, 1, 2, nan, nan, nan, 5, 5, 5, 5, 10.0])
    np.testing.assert_array_equal(data.five_minutes(minutes), [2.0, nan, 6.0])


def test_bench_on_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, step in ((1, 900.0), (2, 1800.0)):
        one = wave(round(10 * 86_400 / step), step, seed)
        rows = "".join(f"{time:.0f},{value:.3f}\n" for time, value in zip(one.times, one.values, strict=True))
        (tmp_path / f"{one.name}.csv").write_text("time,load\n" + rows)
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.setenv("JSON", str(tmp_path / "out.json"))
    monkeypatch.setenv("PLOTS", str(tmp_path / "plots"))
    assert main() == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found["series"]) == {"wave1", "wave2"}
    assert found["config"] == CONFIG.digest
    assert all(0 < found["summary"]["wis_own"][h] < 1.2 for h in ("3", "6", "12"))
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "bands.png", "bands.svg", "reliability.png", "reliability.svg",
    }  # fmt: skip
    assert "BENCHMARKS.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "github.com/numenta/NAB", id="no file"),
        pytest.param("time,a\n0,1\n300,x\n", "bad.csv: line 3, column a", id="no number"),
    ],
)
def test_what_cannot_be_used_is_told(
    text: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if text:
        (tmp_path / "bad.csv").write_text(text)
    monkeypatch.setenv("DATA", str(tmp_path))
    assert main() == 2
    assert told in capsys.readouterr().err
