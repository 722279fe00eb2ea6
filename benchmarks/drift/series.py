"""Recorded series with their labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.drift.nab import Window
from benchmarks.series import Floats, half_of, read
from twinops.replay.csv_file import parse_time
from twinops.replay.recording import usual_step

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
        return usual_step(self.times)

    @property
    def half(self) -> str:
        """Tuning happens on the even half only. The file's name alone decides."""
        return half_of(self.name.split(":")[0])


def read_all(folder: Path) -> list[Labelled]:
    """Read every CSV of a data folder, of its ``nab`` tree, or of a flat folder; sorted by name.

    Raises:
        FileNotFoundError: there is no CSV.
        InputError: a CSV cannot be used; names file, line and column.
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
    rows = read(path)
    windows = tuple(
        (
            int(np.searchsorted(rows.times, moment(first))),
            int(np.searchsorted(rows.times, moment(last), side="right")) - 1,
        )
        for first, last in spans or []
    )
    for column, values in zip(rows.names, rows.values.T, strict=True):
        name = path.name if len(rows.names) == 1 else f"{path.name}:{column}"
        yield Labelled(name, path.parent.name, rows.times, values, windows, spans is not None)


def moment(text: str) -> float:
    """Return the Unix seconds of a time in a label: ISO 8601 (UTC unless it says otherwise), or an epoch figure."""
    time = parse_time(text)
    if time is None:
        raise ValueError(f"{text!r} is no time")
    return time
