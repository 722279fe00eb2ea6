"""Reading recorded series and their labels."""

from __future__ import annotations

import csv
import json
import math
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.drift.nab import Window

Floats = npt.NDArray[np.float64]

_MILLISECONDS_FROM = 1e11
"""Epoch figures from here on are milliseconds: as seconds they would lie beyond the year 5000."""
WHERE = """\
Series and labels of the Numenta Anomaly Benchmark are public: https://github.com/numenta/NAB
Put its data/ and labels/combined_windows.json into a folder `nab` and name the folder above it:
  make bench-drift DATA=folder        (or set TWINOPS_BENCH_DATA)"""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One series with its labels.

    Attributes:
        name: base name of its file, with the column where the file has several.
        folder: name of the folder that the file lies in.
        times: shape (n,), Unix seconds, increasing.
        values: shape (n,), NaN where the file holds none.
        windows: labelled windows, as rows.
        labelled: whether anything is known about the series; a series known to have no anomaly is labelled.
    """

    name: str
    folder: str
    times: Floats
    values: Floats
    windows: tuple[Window, ...]
    labelled: bool

    @property
    def step(self) -> float:
        """Seconds between rows, by the median."""
        return float(np.median(np.diff(self.times)))

    @property
    def half(self) -> str:
        """Tuning happens on the even half only. The file's name alone decides."""
        return "odd" if zlib.crc32(self.name.split(":")[0].encode()) % 2 else "even"


def read_all(folder: Path) -> list[Labelled]:
    """Read every CSV of a data folder, of its ``nab`` tree, or of a flat folder; sorted by name.

    Raises:
        FileNotFoundError: there is no CSV.
    """
    root = folder / "nab" if (folder / "nab").is_dir() else folder
    labels_file = root / "labels" / "combined_windows.json"
    labels = json.loads(labels_file.read_text()) if labels_file.is_file() else {}
    top = root / "data" if (root / "data").is_dir() else root
    paths = sorted(top.rglob("*.csv"), key=lambda path: path.name)
    if not paths:
        raise FileNotFoundError(f"there is no CSV under {top}\n{WHERE}")
    by_name = {Path(key).name: spans for key, spans in labels.items()}
    series: list[Labelled] = []
    for path in paths:
        spans = labels.get(path.relative_to(top).as_posix(), by_name.get(path.name))
        series += _read(path, spans)
    return series


def _read(path: Path, spans: list[list[str]] | None) -> Iterator[Labelled]:
    """Yield the series of one file: a time and any number of metrics."""
    with path.open(newline="") as file:
        header, *rows = [row for row in csv.reader(file) if row]
    stamps = np.array([moment(row[0]) for row in rows])
    times, where = np.unique(stamps, return_inverse=True)
    if len(times) < len(stamps):
        sys.stderr.write(f"{path.name}: {len(stamps) - len(times)} rows share their time with others: mean taken\n")
    ends = [(moment(first), moment(last)) for first, last in spans or []]
    windows = tuple(
        (int(np.searchsorted(times, first)), int(np.searchsorted(times, last, side="right")) - 1)
        for first, last in ends
    )
    for column in range(1, len(header)):
        values = np.array([_number(row[column]) if column < len(row) else math.nan for row in rows])
        known = np.isfinite(values)
        counts = np.bincount(where[known], minlength=len(times))
        total = np.bincount(where[known], weights=values[known], minlength=len(times))
        means = np.divide(total, counts, out=np.full(len(times), np.nan), where=counts > 0)
        name = path.name if len(header) <= 2 else f"{path.name}:{header[column]}"  # noqa: PLR2004 - time and one value
        yield Labelled(name, path.parent.name, times, means, windows, spans is not None)


def moment(text: str) -> float:
    """Return the Unix seconds of a time: ISO 8601 (UTC unless it says otherwise), epoch seconds or milliseconds."""
    try:
        number = float(text)
    except ValueError:
        stamp = datetime.fromisoformat(text.strip())
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    return number / 1000 if abs(number) >= _MILLISECONDS_FROM else number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
