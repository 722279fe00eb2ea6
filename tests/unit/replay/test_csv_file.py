"""Reading CSV files for a replay: what is taken, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twinops.errors import InputError
from twinops.replay.csv_file import parse_time, read_csv
from twinops.replay.recording import Recording, on_grid

NAN = float("nan")


def read(folder: Path, text: str | bytes, step: float | None = None) -> Recording:
    file = folder / "history.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return on_grid(read_csv(file), step)


@pytest.mark.parametrize(
    ("text", "names", "start", "step", "values"),
    [
        pytest.param(
            "time,cpu\n2026-05-01T00:00:00Z,1\n2026-05-01T00:05:00Z,2\n", ["cpu"], 1777593600, 300, [[1, 2]], id="ISO"
        ),
        pytest.param("when,a\n2026-05-01 00:00:00,1\n2026-05-01 00:05,2\n", ["a"], 1777593600, 300, [[1, 2]], id="UTC"),
        pytest.param("t,a\n2026-05-01T02:00+02:00,1\n1777593900,2\n", ["a"], 1777593600, 300, [[1, 2]], id="zone"),
        pytest.param("t,a\n1777593600000,1\n1777593900000,2\n", ["a"], 1777593600, 300, [[1, 2]], id="milliseconds"),
        pytest.param("t,a\n600,1\n900,2\n1200,3\n", ["a"], 600, 300, [[1, 2, 3]], id="seconds"),
        pytest.param("\ufefft,a\r\n600,1\r\n900,2\r\n", ["a"], 600, 300, [[1, 2]], id="BOM and CRLF"),
        pytest.param("t,a\n900,2\n1200,3\n600,1\n", ["a"], 600, 300, [[1, 2, 3]], id="unordered rows"),
        pytest.param("t,a\n600,1\n900,\n1200,3\n", ["a"], 600, 300, [[1, NAN, 3]], id="empty cell is not zero"),
        pytest.param("t,a\n600,1\n900,NaN\n1200,inf\n1500,4\n", ["a"], 600, 300, [[1, NAN, NAN, 4]], id="NaN and Inf"),
        pytest.param(
            "t,a\n600,1\n900,2\n1500,4\n1800,5\n", ["a"], 600, 300, [[1, 2, NAN, 4, 5]], id="hole is not zero"
        ),
        pytest.param("t,a\n600,1\n897,2\n1203,3\n1500,4\n", ["a"], 600, 297, [[1, 2, 3, 4]], id="irregular step"),
        pytest.param("t,a,b\n600,1,5\n\n900,2,\n,,\n", ["a", "b"], 600, 300, [[1, 2], [5, NAN]], id="blank lines"),
        pytest.param('t,"a, b"\n600,1\n900,2\n', ["a, b"], 600, 300, [[1, 2]], id="quoted name"),
        pytest.param("t,a\x1b[31m\n600,1\n900,2\n", ["a\ufffd[31m"], 600, 300, [[1, 2]], id="name that steers"),
        pytest.param("t,a\n0,1\n1,2\n2,3\n3,4\n4,5\n5,9\n", ["a"], 0, 5, [[3]], id="denser than any twin"),
    ],
)
def test_reads(tmp_path: Path, text: str, names: list[str], start: float, step: float, values: list[float]) -> None:
    found = read(tmp_path, text)

    assert list(found.names) == names
    assert (found.times[0], found.step) == (start, step)
    np.testing.assert_array_equal(found.values, values)


def test_rows_at_the_same_time_give_their_mean_and_one_note(tmp_path: Path) -> None:
    found = read(tmp_path, "t,a\n600,1\n600,3\n600,\n900,5\n900,7\n")

    np.testing.assert_array_equal(found.values, [[2, 6]])
    assert found.notes == ("3 rows have the time of another one: their mean is taken",)


def test_dense_rows_are_averaged_over_the_step_and_unknown_with_fewer_than_half(tmp_path: Path) -> None:
    minutes = [*range(10), 12, 13, 14, 15, 16]
    rows = "".join(f"{60 * m},{m}\n" for m in minutes)

    found = read(tmp_path, f"t,a\n{rows}", 300)

    np.testing.assert_array_equal(found.values, [[2, 7, 13]])


def test_a_step_that_has_not_ended_is_left_out_so_that_more_rows_change_nothing(tmp_path: Path) -> None:
    rows = [f"{60 * m},{m}\n" for m in range(20)]

    values = [read(tmp_path, "t,a\n" + "".join(rows[:count]), 300).values[0].tolist() for count in range(5, 21)]

    assert all(one == values[-1][: len(one)] for one in values)
    assert [len(one) for one in values] == [count // 5 for count in range(5, 21)]


def test_wanted_columns_only(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("t,a,note,b\n600,1,hello,5\n900,2,you,6\n")

    found = read_csv(file, ["b", "a"])

    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.values, [[1, 5], [2, 6]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            "t,a\n600,1\n900,two\n", ["history.csv: line 3, column a: 'two' is no number", "empty"], id="text"
        ),
        pytest.param(
            "t,a\n600,1\nyesterday,2\n", ["line 3, column t: 'yesterday' is no time", "2026-05-01T"], id="time"
        ),
        pytest.param("t,a\n600,1\n,2\n", ["line 3, column t: '' is no time"], id="no time"),
        pytest.param("t,a\n600,1\nnan,2\n", ["line 3, column t: 'nan' is no time"], id="time NaN"),
        pytest.param("t,a\n600,1_000\n", ["line 2, column a: '1_000' is no number"], id="underscore"),
        pytest.param('t,a\n600,"1,5"\n', ["line 2, column a: '1,5' is no number"], id="decimal comma"),
        pytest.param("t,a\n600,1,2\n", ["line 2: 3 columns where the header has 2"], id="too many cells"),
        pytest.param("t,a,b\n600,1\n", ["line 2: 2 columns where the header has 3"], id="too few cells"),
        pytest.param("t,a,b,a\n600,1,2,3\n", ["line 1: two columns are named 'a'"], id="same name twice"),
        pytest.param("t,a,\n600,1,\n", ["line 1: column 3 has no name"], id="no name"),
        pytest.param("t,a\n", ["there are no rows"], id="no rows"),
        pytest.param("", ["is empty"], id="empty"),
        pytest.param("\n\n", ["is empty"], id="only blank lines"),
        pytest.param("t\n600\n", ["line 1: only one column", "add at least one"], id="one column"),
        pytest.param("t;a\n600;1\n", ["only one column", "separate columns by commas"], id="semicolons"),
        pytest.param("600,1\n900,2\n", ["line 1: this must be a header"], id="no header"),
        pytest.param("t,a\n600,\n900,\n", ["no cell below the header holds a number"], id="nothing known"),
        pytest.param("t,a\n600,1\n", ["only one row"], id="one row"),
        pytest.param("t,a\n0,1\n86400,2\n172800,3\n", ["rows are 24 h apart", "finer data"], id="a day apart"),
        pytest.param(
            "t,a\n0,1\n300,2\n1777593600,3\n1777593900,4\n", ["is a time wrong?", "1970-01-01"], id="far apart"
        ),
        pytest.param('t,a\n600,"1\n', ["this is not CSV"], id="open quote"),
        pytest.param("t,a\n600,1\n".encode("utf-16"), ["is not UTF-8", "save it as CSV in UTF-8"], id="UTF-16"),
        pytest.param("t,größe\n600,1\n".encode("latin-1"), ["is not UTF-8"], id="Latin-1"),
        pytest.param(f"t,{'a' * 101}\n600,1\n", ["column 2 has more than 100 characters"], id="long name"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, text: str | bytes, told: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)

    assert "history.csv" in str(caught.value)
    for words in told:
        assert words in str(caught.value)


@pytest.mark.parametrize("step", [pytest.param(60, id="finer than its rows"), pytest.param(3600, id="longer than all")])
def test_steps_that_the_rows_cannot_fill(tmp_path: Path, step: float) -> None:
    with pytest.raises(InputError, match="nothing to"):
        read(tmp_path, "t,a\n300,1\n600,2\n900,3\n", step)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_csv(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_csv(tmp_path)


def test_unknown_wanted_column(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("t,a,b\n600,1,2\n")

    with pytest.raises(InputError, match=r"no column 'c'; it has a, b"):
        read_csv(file, ["c"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1777593600.5", 1777593600.5, id="fraction"),
        pytest.param("1777593600000000", 1777593600, id="microseconds"),
        pytest.param("1777593600000000000", 1777593600, id="nanoseconds"),
        pytest.param(" 2026-05-01 ", 1777593600, id="a date"),
        pytest.param("-5", None, id="negative"),
        pytest.param("05/01/2026", None, id="day or month"),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds
