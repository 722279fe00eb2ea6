"""Reading a CSV file: the first column is time, every other one a metric. Messages name file, line and column."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from twinops.core.series import Floats
from twinops.errors import InputError
from twinops.printable import printable
from twinops.replay.recording import Rows, mean_by

LONGEST_NAME = 100
LONGEST_LINE = 1024 * 1024
MOST_CELLS = 32_000_000
"""A million rows of as many metrics as a twin may have."""

_MILLISECONDS_FROM = 1e11
"""Epoch figures from here on are milliseconds: as seconds they would lie beyond the year 5000."""
_MICROSECONDS_FROM = 1e14
_NANOSECONDS_FROM = 1e17
_SHOWN = 40
_LAST_TIME = 253_402_300_800.0
"""The year 10000, in Unix seconds."""
_UNKNOWN = ("", "nan")


def read_csv(path: Path, wanted: Sequence[str] = ()) -> Rows:
    """Read a CSV file.

    Rows may be in any order; rows at the same time are averaged over their known values. Empty cells, NaN and Inf are
    unknown, never zero.

    Args:
        path: of the file, UTF-8 with or without a byte order mark.
        wanted: names of the metrics to read; all by default.

    Raises:
        InputError: the file cannot be used; the message says where and how to correct it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _Reader(path, csv.reader(_lines(path, file), strict=True)).read(wanted)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a directory: name one CSV file in it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as CSV in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{path}: line {number} has more than {LONGEST_LINE} characters: is this a CSV file?")
        yield line


class _Reader:
    def __init__(self, path: Path, lines: Iterator[list[str]]) -> None:
        self._path = path
        self._lines = lines

    def read(self, wanted: Sequence[str]) -> Rows:
        header = self._header()
        columns = self._columns(header, wanted)
        times, cells = array("d"), array("d")
        for row in self._rows():
            if len(row) != len(header):
                raise self._error(
                    f"{len(row)} columns where the header has {len(header)}: mend this line, and quote text with commas"
                )
            times.append(self._time(row[0], header[0]))
            cells.extend(self._figure(row[k], header[k]) for k in columns)
            if len(cells) > MOST_CELLS:
                raise self._error(
                    f"more than {MOST_CELLS} figures up to here: choose columns with --metric, or give coarser rows"
                )
        if not times:
            raise InputError(f"{self._path}: there are no rows below the header")
        return self._in_order([header[k] for k in columns], np.array(times), np.array(cells).reshape(len(times), -1))

    def _in_order(self, names: Sequence[str], times: Floats, cells: Floats) -> Rows:
        different, slots = np.unique(times, return_inverse=True)
        notes = []
        if len(different) < len(times):
            twice = len(times) - len(different)
            notes.append(f"{twice} rows have the time of another one: their mean is taken")
            cells = np.stack([mean_by(slots, column, len(different)) for column in cells.T], axis=1)
        else:
            cells = cells[np.argsort(times, kind="stable")]
        empty = [name for name, column in zip(names, cells.T, strict=True) if not np.isfinite(column).any()]
        if len(empty) == len(names):
            raise InputError(f"{self._path}: no cell below the header holds a number")
        notes += [f"column {name} is empty and left out" for name in empty]
        keep = [k for k, name in enumerate(names) if name not in empty]
        return Rows(tuple(names[k] for k in keep), different, cells[:, keep], str(self._path), tuple(notes))

    def _rows(self) -> Iterator[list[str]]:
        while True:
            try:
                row = next(self._lines)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._error(f"this is not CSV ({error})") from error
            if any(cell.strip() for cell in row):
                yield row

    def _header(self) -> list[str]:
        first = next(self._rows(), [])
        if not first:
            raise InputError(f"{self._path} is empty: a header line and rows are needed")
        if len(first) == 1:
            other = any(sign in first[0] for sign in ";\t|")
            mend = "separate columns by commas" if other else "add at least one column with a metric"
            raise self._error(f"only one column: the first is time, every other one a metric; {mend}")
        header = [printable(name.strip()) for name in first]
        if self._is_data(header):
            raise self._error("this must be a header with the columns' names, and holds figures")
        seen: set[str] = set()
        for k, name in enumerate(header[1:], 2):
            if not name:
                raise self._error(f"column {k} has no name: name it, or take it away")
            if len(name) > LONGEST_NAME:
                raise self._error(f"the name of column {k} has more than {LONGEST_NAME} characters: shorten it")
            if name in seen:
                raise self._error(f"two columns are named {name!r}: names must differ")
            seen.add(name)
        return header

    def _is_data(self, header: Sequence[str]) -> bool:
        try:
            return parse_time(header[0]) is not None and all(math.isfinite(float(cell or "0")) for cell in header[1:])
        except ValueError:
            return False

    def _columns(self, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
        for name in wanted:
            if name not in header[1:]:
                raise InputError(f"{self._path} has no column {name!r}; it has {_listed(header[1:])}")
        chosen = set(wanted or header)
        return [k for k, name in enumerate(header) if k and name in chosen]

    def _time(self, text: str, column: str) -> float:
        time = parse_time(text)
        if time is None:
            raise self._error(
                f"{_shown(text)} is no time: write for example 2026-05-01T12:00:00Z, or Unix seconds", column or "1"
            )
        return time

    def _figure(self, text: str, column: str) -> float:
        try:
            value = float(text)
        except ValueError:
            text = text.strip()
            if text.lower() in _UNKNOWN:
                return math.nan
            raise self._error(
                f"{_shown(text)} is no number: write one like 1234.5, or leave the cell empty where nothing is known",
                column,
            ) from None
        if "_" in text:
            raise self._error(f"{_shown(text)} is no number: write it without _", column)
        return value if math.isfinite(value) else math.nan

    def _error(self, what: str, column: str | None = None) -> InputError:
        line = getattr(self._lines, "line_num", 1)
        where = f"{self._path}: line {line}" + ("" if column is None else f", column {column}")
        return InputError(f"{where}: {what}")


def parse_time(text: str) -> float | None:
    """Return Unix seconds, None for a text that is not a time.

    ISO 8601 (UTC unless it says otherwise), or an epoch figure: seconds, or by its magnitude a finer unit.
    """
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(number) or number < 0 or "_" in text:
        return None
    for least, per_second in ((_NANOSECONDS_FROM, 1e9), (_MICROSECONDS_FROM, 1e6), (_MILLISECONDS_FROM, 1e3)):
        if number >= least:
            number /= per_second
            break
    return number if number < _LAST_TIME else None


def _shown(text: str) -> str:
    text = printable(text)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")  # noqa: PLR2004 - enough to see the form
