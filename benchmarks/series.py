"""The real series: read in place by the reader of ``twinops replay``, put on an even grid, divided into two halves."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinops.replay.csv_file import read_csv
from twinops.replay.recording import Rows, mean_by, usual_step

Floats = npt.NDArray[np.float64]

DAY = 86_400
MIN_ROWS = 2_400
"""AWS files with fewer rows are too short to be scored after a week."""
_FEWEST_MINUTES = 3
_DAYS = {"wc98_min": (38, 60), "nasa_min": (0, 27)}
WHERE = """No series in {folder}. The public originals:
  nab/           https://github.com/numenta/NAB (its data/ and labels/combined_windows.json)
  wc98_min.csv   https://github.com/nimamahmoudi/worldcup98-dataset (requests per minute)
  nasa_min.csv   https://github.com/PasanBhanu/time-series-forecasting-with-facebook-prophet-lstm-hybrid-model
Put them there, or name their folder with DATA=folder or TWINOPS_BENCH_DATA=folder; one that holds CSVs of your own will
do, too: the first column is time, every other one a metric."""


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

    @property
    def first(self) -> int:
        """Number of the first step: Unix seconds over the step, rounded down."""
        return int(self.start // self.step)

    def steps(self, seconds: float) -> int:
        """Return how many steps a time takes, at least one."""
        return max(1, round(seconds / self.step))


def half_of(name: str) -> str:
    """Return ``even`` (tuned on) or ``odd`` (only reported), by a file's base name with its extension."""
    return "odd" if zlib.crc32(name.encode()) % 2 else "even"


def read(path: Path) -> Rows:
    """Read a file; what a person should know goes to standard error.

    Raises:
        InputError: names file, line and column.
    """
    rows = read_csv(path)
    for note in rows.notes:
        sys.stderr.write(f"{path.name}: {note}\n")
    return rows


def on_grid(times: Floats, values: Floats, step: float) -> Floats:
    """Put values on a grid that begins at the first time; those that fall into one slot give their mean.

    Args:
        times: shape (n,), increasing.
        values: shape (n,).
        step: seconds.

    Returns:
        Shape (m,), NaN in empty slots.
    """
    places = np.rint((times - times[0]) / step).astype(np.int64)
    return mean_by(places, values, int(places[-1]) + 1)


def calendar_days(times: Floats, values: Floats, first: int, last: int) -> tuple[float, Floats]:
    """Return the minutes of calendar days ``first``..``last`` (day 0 = that of the first row), shape (days * 1440,)."""
    start = times[0] // DAY * DAY + first * DAY
    minutes = (last - first + 1) * 1440
    places = np.rint((times - start) / 60).astype(np.int64)
    inside = (places >= 0) & (places < minutes)
    return float(start), mean_by(places[inside], values[inside], minutes)


def five_minutes(minutes: Floats) -> Floats:
    """Return the mean of every five minutes, NaN where fewer than three are known."""
    count = len(minutes) // 5
    return mean_by(np.repeat(np.arange(count), 5), minutes[: count * 5], count, _FEWEST_MINUTES)


def series_in(folder: Path) -> list[BenchSeries]:
    """Return the series of the forecast benchmark: of the known tree, else of every CSV in a folder of one's own.

    Of the latter all rows are used, at their median gap; what is shorter than eight days is left out, and told.
    """
    if (folder / "nab").is_dir():
        return forecast_set(folder)
    found = []
    for one in own_set(folder):
        if len(one.values) > one.steps(8 * DAY):
            found.append(one)
        else:
            sys.stderr.write(f"{one.name}: shorter than eight days, left out\n")
    return found


def forecast_set(folder: Path) -> list[BenchSeries]:
    """Return the 18 series of the forecast benchmark; a file that another tree does not have is left out."""
    found = []
    for path in sorted((folder / "nab/data/realAWSCloudwatch").glob("*.csv")):
        rows = read(path)
        step = usual_step(rows.times)
        if len(rows.times) >= MIN_ROWS:
            values = on_grid(rows.times, rows.values[:, 0], step)
            found.append(BenchSeries(path.stem, half_of(path.name), float(rows.times[0]), values, step))
    found += [
        BenchSeries(minute.name.removesuffix("_min"), minute.half, minute.start, five_minutes(minute.values), 300.0)
        for minute in minute_set(folder)
    ]
    return found


def minute_set(folder: Path) -> list[BenchSeries]:
    """Return the two series of one minute, on the days that the benchmark takes."""
    found = []
    for name, (first, last) in _DAYS.items():
        path = folder / f"{name}.csv"
        if path.is_file():
            rows = read(path)
            start, minutes = calendar_days(rows.times, rows.values[:, 0], first, last)
            found.append(BenchSeries(name, half_of(path.name), start, minutes, 60.0))
    return found


def outage_set(folder: Path) -> list[BenchSeries]:
    """Return all of NASA on five minutes; the 82 hours of its outage are NaN."""
    path = folder / "nasa_min.csv"
    if not path.is_file():
        return []
    rows = read(path)
    days = int((rows.times[-1] // DAY) - (rows.times[0] // DAY))
    start, minutes = calendar_days(rows.times, rows.values[:, 0], 0, days)
    return [BenchSeries("nasa_outage", half_of(path.name), start, five_minutes(minutes), 300.0)]


def own_set(folder: Path) -> Iterator[BenchSeries]:
    """Yield every metric of the CSVs in a folder and below; the step is the median gap."""
    for path in sorted(folder.rglob("*.csv")):
        rows = read(path)
        step = usual_step(rows.times) if len(rows.times) > 1 else 300.0
        for name, values in zip(rows.names, rows.values.T, strict=True):
            label = path.stem if len(rows.names) == 1 else f"{path.stem}:{name}"
            grid = on_grid(rows.times, values, step)
            yield BenchSeries(label, half_of(path.name), float(rows.times[0]), grid, step)
