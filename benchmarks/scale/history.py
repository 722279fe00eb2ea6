"""The workloads' past, made by promtool from OpenMetrics text, one window of time after the other.

A window is a block of Prometheus: promtool reads its text once, no two blocks overlap, and no text is larger than one
window. Counters begin at zero in each, which `rate` takes for the restart of a container.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.scale.workload import COLUMNS, DAY, PODS, Column, Loads, place
from devcluster.components.prometheus import backfill
from twinops.core.series import Floats

STEP = 60
"""Seconds between two samples: twice the scrape interval, so that a rate over two minutes has its two samples."""

_HOUR = 3600
_BLOCK_HOURS = (18, 6, 2)
"""Lengths of blocks that Prometheus knows, the longest first."""
_MOST_SAMPLES = 12_000_000
"""Of one window, where a shorter block helps: about 1.3 GB of text."""
_WEEK = 7 * DAY


@dataclass(frozen=True)
class Past:
    """How much history there is to make.

    Attributes:
        workloads: how many there are.
        week: how many of them, the first ones, have a week of it.
        seconds: how much the others have.
    """

    workloads: int
    week: int
    seconds: float

    @property
    def loads(self) -> Loads:
        """The waves of all workloads."""
        return Loads.of(self.workloads)

    def age(self, number: int) -> float:
        """Return how much history a workload has, in seconds."""
        return _WEEK if number < self.week else self.seconds

    def known_at(self, age: float) -> int:
        """Return how many workloads, the first ones, have samples that are so old, in seconds."""
        if age <= self.seconds:
            return self.workloads
        return self.week if age <= _WEEK else 0


@dataclass(frozen=True)
class Window:
    """A block to make, from `begin` (seconds since 1970) on; the last one ends now."""

    begin: int
    hours: int

    def times(self, now: float) -> Floats:
        """Return the times of its samples."""
        end = min(self.begin + self.hours * _HOUR, math.floor(now))
        return np.arange(self.begin, end, STEP, dtype=np.float64)


def windows(past: Past, now: float) -> list[Window]:
    """Return the windows of a past, the oldest first."""
    per_hour = past.workloads * len(PODS) * len(COLUMNS) * _HOUR // STEP
    hours = next((hours for hours in _BLOCK_HOURS if hours * per_hour <= _MOST_SAMPLES), _BLOCK_HOURS[-1])
    length = hours * _HOUR
    oldest = now - max(past.age(0), past.seconds)
    return [Window(begin, hours) for begin in range(int(oldest // length * length), math.floor(now), length)]


def make(promtool: Path, data: Path, past: Past) -> int:
    """Write the past into the storage of a Prometheus that does not run yet; return the number of samples.

    Raises:
        CommandError: promtool refused a text.
    """
    data.mkdir(parents=True, exist_ok=True)
    # The last one ends at the time when it is its turn, so that little is missing between it and the first scrape.
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        jobs = [workers.submit(_make_block, promtool, data, past, window) for window in windows(past, time.time())]
        return sum(job.result() for job in jobs)


def _make_block(promtool: Path, data: Path, past: Past, window: Window) -> int:
    """Make one block in a folder of its own, as promtool reads whatever else is in its folder."""
    text, made = data / f"{window.begin}.om", data / f"{window.begin}.blocks"
    with text.open("w") as file:
        samples = write(file, past, window, time.time())
    if samples:
        backfill(promtool, made, text, flags=[f"--max-block-duration={window.hours}h"])
        for block in made.iterdir():
            block.rename(data / block.name)
        made.rmdir()
    text.unlink()
    return samples


def write(file: IO[str], past: Past, window: Window, now: float) -> int:
    """Write what the workloads have in a window as OpenMetrics text; return the number of samples."""
    times = window.times(now)
    known = past.known_at(max(0.0, now - window.begin - len(times) * STEP))
    # A workload whose history begins within the window leaves out what is older.
    first = [int(np.searchsorted(times, now - past.age(number))) for number in range(known) for _ in PODS]
    stamps = [f" {time:.0f}\n" for time in times.tolist()]
    columns = past.loads.first(known).columns(times, np.random.default_rng(window.begin))
    for metric, group in groupby(enumerate(COLUMNS), key=lambda pair: pair[1].metric):
        file.write(f"# TYPE {metric} unknown\n")
        for at, column in group:
            values = columns[at] if column.gauge else np.cumsum(columns[at], axis=1) * STEP
            for head, begin, row in zip(_heads(column, known), first, values, strict=True):
                pairs = zip(row[begin:].tolist(), stamps[begin:], strict=True)
                file.write("".join(f"{head} {value:.9g}{stamp}" for value, stamp in pairs))
    file.write("# EOF\n")
    return len(COLUMNS) * sum(len(stamps) - begin for begin in first)


def _heads(column: Column, count: int) -> Iterator[str]:
    for number in range(count):
        where = place(number)
        yield from (column.head(where, pod) for pod in where.pods)
