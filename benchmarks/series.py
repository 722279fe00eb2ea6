"""The real series: read in place, put on an even grid, divided into two halves by their names."""

from __future__ import annotations

import csv
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAY = 86_400
MIN_ROWS = 2_400
"""AWS files with fewer rows are too short to be scored after a week."""
_MILLISECONDS_FROM = 1e11
_FEWEST_MINUTES = 3


class BadData(Exception):
    """A file that can't be read; the message names file, line and column."""


@dataclass(frozen=True, slots=True, eq=False)
class BenchSeries:
    """One metric on an even grid.

    Attributes:
        name: what the tables call it.
        half: ``even`` or ``odd``, by the CRC32 of the file's base name with its extension.
        start: Unix seconds of the first entry.
        values: shape (n,), NaN where nothing is known.
        step: seconds between two entries.
    """

    name: str
    half: str
    start: float
    values: Floats
    step: float

    @property
    def times(self) -> Floats:
        """Unix seconds of the entries."""
        return self.start + self.step * np.arange(len(self.values), dtype=np.float64)


def half_of(path: Path) -> str:
    """Return ``even`` (tuned on) or ``odd`` (only reported), by the file's base name."""
    return "odd" if zlib.crc32(path.name.encode()) % 2 else "even"


def read_csv(path: Path) -> tuple[list[str], Floats, Floats]:
    """Read a CSV whose first column is time.

    Returns:
        Names of the other columns; Unix seconds, shape (n,), increasing; values, shape (n, columns). Rows at
        the same time are one row, their mean.

    Raises:
        BadData: names file, line and column.
    """
    times: list[float] = []
    rows: list[list[float]] = []
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if len(header) < 2:  # noqa: PLR2004 - time and one metric
            raise BadData(f"{path}: line 1: a time column and at least one metric are needed")
        for row in lines:
            if not row:
                continue
            if len(row) != len(header):
                raise BadData(f"{path}: line {lines.line_num}: {len(row)} columns, {len(header)} expected")
            times.append(_time(row[0], path, lines.line_num, header[0]))
            rows.append([_figure(text, path, lines.line_num, header[1 + k]) for k, text in enumerate(row[1:])])
    if not times:
        raise BadData(f"{path}: no rows")
    unique, places = np.unique(np.array(times), return_inverse=True)
    if len(unique) < len(times):
        print(
            f"{path.name}: {len(times) - len(unique)} rows at the time of another; their mean is taken", file=sys.stderr
        )
    return header[1:], unique, _mean_by(places, np.array(rows), len(unique))


def _mean_by(places: npt.NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Return the mean of the known values that fall into each place, NaN where there is none."""
    known = np.isfinite(values)
    total, number = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(total, places, np.where(known, values, 0.0))
    np.add.at(number, places, known)
    with np.errstate(invalid="ignore"):
        mean: Floats = total / number
    return mean


def _time(text: str, path: Path, line: int, column: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadData(f"{path}: line {line}, column {column}: {text!r} is no time") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds


def _figure(text: str, path: Path, line: int, column: str) -> float:
    if not text.strip():
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise BadData(f"{path}: line {line}, column {column}: {text!r} is no number") from None


def on_grid(times: Floats, values: Floats, step: float) -> tuple[float, Floats]:
    """Put values on a grid that begins at the first time; two that fall into one slot give their mean.

    Args:
        times: shape (n,), increasing.
        values: shape (n,).
        step: seconds.

    Returns:
        The grid's first time, and shape (m,), NaN in empty slots.
    """
    places = np.rint((times - times[0]) / step).astype(np.intp)
    return float(times[0]), _mean_by(places, values[:, None], int(places[-1]) + 1)[:, 0]


def calendar_days(times: Floats, values: Floats, first: int, last: int) -> tuple[float, Floats]:
    """Return the minutes of calendar days ``first``..``last`` (day 0 = that of the first row), shape (days * 1440,)."""
    start = times[0] // DAY * DAY + first * DAY
    minutes = (last - first + 1) * 1440
    places = np.rint((times - start) / 60).astype(np.intp)
    inside = (places >= 0) & (places < minutes)
    return float(start), _mean_by(places[inside], values[inside][:, None], minutes)[:, 0]


def five_minutes(minutes: Floats) -> Floats:
    """Return the mean of every five minutes, NaN where fewer than three are known."""
    groups = minutes.reshape(-1, 5)
    known = np.isfinite(groups)
    number = known.sum(axis=1)
    total: Floats = np.where(known, groups, 0.0).sum(axis=1)
    return np.where(number >= _FEWEST_MINUTES, total / np.maximum(number, 1), np.nan)


def forecast_set(folder: Path) -> list[BenchSeries]:
    """Return the 18 series of the forecast benchmark, on a grid of five minutes."""
    found = []
    for path in sorted((folder / "nab/data/realAWSCloudwatch").glob("*.csv")):
        _, times, values = read_csv(path)
        if len(times) >= MIN_ROWS:
            start, grid = on_grid(times, values[:, 0], 300)
            found.append(BenchSeries(path.stem, half_of(path), start, grid, 300))
    found += [
        BenchSeries(minute.name.removesuffix("_min"), minute.half, minute.start, five_minutes(minute.values), 300)
        for minute in minute_set(folder)
    ]
    return found


_DAYS = {"wc98_min": (38, 60), "nasa_min": (0, 27)}


def minute_set(folder: Path) -> list[BenchSeries]:
    """Return the two series of one minute, on the days that the benchmark takes."""
    found = []
    for name, (first, last) in _DAYS.items():
        path = folder / f"{name}.csv"
        _, times, values = read_csv(path)
        start, minutes = calendar_days(times, values[:, 0], first, last)
        found.append(BenchSeries(name, half_of(path), start, minutes, 60))
    return found


def nasa_whole(folder: Path) -> BenchSeries:
    """Return all of NASA on five minutes; the 82 hours of its outage are NaN."""
    path = folder / "nasa_min.csv"
    _, times, values = read_csv(path)
    days = int((times[-1] // DAY) - (times[0] // DAY))
    start, minutes = calendar_days(times, values[:, 0], 0, days)
    return BenchSeries("nasa_outage", half_of(path), start, five_minutes(minutes), 300)


def flat_set(folder: Path) -> Iterator[BenchSeries]:
    """Yield every metric of the CSVs in a folder; the step is the median gap."""
    for path in sorted(folder.glob("*.csv")):
        names, times, values = read_csv(path)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 300.0
        for k, name in enumerate(names):
            start, grid = on_grid(times, values[:, k], step)
            label = path.stem if len(names) == 1 else f"{path.stem}:{name}"
            yield BenchSeries(label, half_of(path), start, grid, step)
