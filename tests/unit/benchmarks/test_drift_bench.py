"""Reading series, and the bench from end to end on made ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift.__main__ import main
from benchmarks.drift.series import moment, read_all


def write(path: Path, values: list[float], step: int = 300, start: int = 1_400_000_100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{start + step * place},{value}" for place, value in enumerate(values)]
    path.write_text("\n".join(["timestamp,value", *rows]) + "\n")


def spiky(seed: int) -> list[float]:
    values = np.random.default_rng(seed).normal(50, 2, 2000)
    values[1500] += 60
    numbers: list[float] = values.tolist()
    return numbers


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    labels = {}
    for seed, name in enumerate(["a.csv", "b.csv", "c.csv", "d.csv"]):
        write(tmp_path / "data" / "real" / name, spiky(seed))
        labels[f"real/{name}"] = [["2014-05-18 00:00:00", "2014-05-18 23:00:00"]]
    write(tmp_path / "data" / "artificialNoAnomaly" / "flat.csv", [45.0] * 2000)
    labels["artificialNoAnomaly/flat.csv"] = []
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("2014-04-01 00:00:00", 1396310400.0, id="naive is UTC"),
        pytest.param("2014-04-01T02:00:00+02:00", 1396310400.0, id="with an offset"),
        pytest.param("1396310400", 1396310400.0, id="epoch seconds"),
        pytest.param("1396310400000", 1396310400.0, id="epoch milliseconds"),
    ],
)
def test_moment(text: str, seconds: float) -> None:
    assert moment(text) == seconds


def test_rows_at_one_time_are_their_mean_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_text("time,cpu,mem\n0,1,\n300,2,5\n300,4,7\n600,nan,9\n")
    cpu, mem = read_all(tmp_path)
    assert (cpu.name, mem.name) == ("x.csv:cpu", "x.csv:mem")
    np.testing.assert_array_equal(cpu.values, [1, 3, np.nan])
    np.testing.assert_array_equal(mem.values, [np.nan, 6, 9])
    assert capsys.readouterr().err.count("their mean is taken") == 1


def test_bench_writes_table_and_figures(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.json"
    assert main([f"DATA={tree}", f"JSON={target}"]) == 0
    figures = json.loads(target.read_text())
    assert figures["summary"]["windows_found_at_threshold"] == 4
    assert figures["summary"]["alarms_on_quiet_files"] == 0
    assert figures["summary"]["standard"] > 50
    assert set(figures["series"]) == {"a.csv", "b.csv", "c.csv", "d.csv", "flat.csv"}
    assert figures["config"]
    assert "blind periodic alarm" in capsys.readouterr().out


def test_flat_folder_without_labels_reports_alarms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.csv", spiky(1))
    write(tmp_path / "b.csv", spiky(2))
    target = tmp_path / "out.json"
    assert main([f"DATA={tmp_path}", f"JSON={target}"]) == 0
    assert json.loads(target.read_text())["series"]["a.csv"]["alarms"] >= 1
    assert "no labels" in capsys.readouterr().err


def test_missing_data_says_where_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"DATA={tmp_path}"]) == 1
    assert "github.com/numenta/NAB" in capsys.readouterr().err


def test_wrong_argument_is_told() -> None:
    assert main(["data"]) == 2
