"""One series with one limit, and what was told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.series import BenchSeries, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One series with one limit.

    Attributes:
        series: as recorded.
        limit: its percentile.
        above: whether each value lies above the limit, shape (n,).
        chance: probability at each of the horizons, shape (n, 3).
        event: what came, shape (3, n), NaN where unknown.
        onsets: steps after the first week that are the first above after an hour at or below.
        rises: number of steps after the first week that lie above and follow one that does not.
    """

    series: BenchSeries
    limit: float
    above: np.ndarray
    chance: Floats
    event: Floats
    onsets: np.ndarray
    rises: int
