"""One series with one limit, its exceedance probabilities and their outcomes."""

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
        exceedance: probability at each of the horizons, shape (n, 3).
        event: whether the limit was crossed up to the horizon, shape (3, n), NaN where unknown.
        onsets: steps after the first week that are the first above after an hour at or below.
        rises: number of steps after the first week that lie above and follow one that does not.
    """

    series: BenchSeries
    limit: float
    above: np.ndarray
    exceedance: Floats
    event: Floats
    onsets: np.ndarray
    rises: int
