"""Daily and weekly profiles: the usual value by time of day, and by time of the week."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.cells import Cells, cells_ahead
from twinops.core.forecast.config import DAY, LAYOUT
from twinops.core.series import Floats, Indices

NOT_OVER = 23 * 3600
"""Horizons longer than this cannot use yesterday's cells: some of them are still incomplete."""


@dataclass(frozen=True, slots=True, eq=False)
class Seasons:
    """Profiles of the coarse cells of a span; all of shape (series, n).

    Attributes:
        day: the median over the same and both neighbouring cells of the seven days before, which is robust against one
            unusual day or spike.
        week: weekly from fifteen days on, before that a daily mean.
        late: both of them without yesterday, for horizons so long that yesterday's cells are incomplete; None
            where there is no such horizon.
        first: number of the first cell.
        seconds: length of a cell.
    """

    day: Floats
    week: Floats
    late: tuple[Floats, Floats] | None
    first: int
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(int(part.nbytes) for part in (self.day, self.week, *(self.late or ())))

    def as_type(self, kind: type[np.floating]) -> Seasons:
        """Return the same in another precision."""
        late = self.late and (self.late[0].astype(kind), self.late[1].astype(kind))
        return Seasons(self.day.astype(kind), self.week.astype(kind), late, self.first, self.seconds)


def seasons_of(coarse: Cells, first_known: Indices, begin: int, reach_seconds: float) -> Seasons:
    """Return the profiles from a cell on, up to a reach past the newest one.

    Args:
        coarse: cells of the last weeks.
        first_known: number of the first one with a known value, shape (series,).
        begin: number of the first cell of the profiles.
        reach_seconds: how far ahead forecasts read.
    """
    count = coarse.values.shape[1]
    start = min(max(begin - coarse.first, 0), count)
    end = count + min(cells_ahead(reach_seconds, coarse.seconds), round(DAY / coarse.seconds))

    def day(newest: int) -> Floats:
        lags = [(days, near) for days in range(newest, LAYOUT.median_days + 1) for near in (-1, 0, 1)]
        return median(_lagged(coarse, lags, start, end))

    def week(newest: int) -> Floats:
        lags = [(days, LAYOUT.mean_decay ** (days - 1)) for days in range(newest, LAYOUT.mean_days + 1)]
        daily = _mean_of(coarse, lags, start, end)
        age = coarse.first + np.arange(start, end) - first_known[:, None]
        old = age >= LAYOUT.weekly_from * DAY / coarse.seconds
        if not old.any():
            return daily
        weekly = _mean_of(coarse, list(LAYOUT.weekly), start, end)
        return np.where(old & np.isfinite(weekly), weekly, daily)

    late = (day(2), week(2)) if reach_seconds > NOT_OVER else None
    return Seasons(day(1), week(1), late, coarse.first + start, coarse.seconds)


def read_profile(profile: Floats, places: Floats) -> Floats:
    """Interpolate a profile linearly between the middles of its cells; NaN where it is unknown.

    Args:
        profile: shape (series, n).
        places: shape (m,), in cells; outside, the nearest cell counts.
    """
    last = profile.shape[1] - 1
    within = np.minimum(np.maximum(places, 0.0), last)
    left = within.astype(np.intp)
    share = within - left
    a, b = profile[:, left], profile[:, np.minimum(left + 1, last)]
    mixed: Floats = a + (b - a) * share
    known = np.isfinite(mixed)
    if known.all():
        return mixed
    return np.where(known, mixed, np.where(np.isfinite(a), a, b))


def _lagged(cells: Cells, lags: list[tuple[int, int]], begin: int, end: int) -> Floats:
    """Return cells of some days before, shifted by some cells.

    Args:
        cells: of the past.
        lags: pairs of days back and cells ahead of the same time of day.
        begin: first cell.
        end: the cell after the last one.

    Returns:
        Shape (lags, series, end - begin), NaN where unknown.
    """
    per_day = round(DAY / cells.seconds)
    back = np.array([per_day * days - near for days, near in lags])
    places = np.arange(begin, end) - back[:, None]
    outside = (places < 0) | (places >= cells.values.shape[1])
    places[outside] = 0
    seen = cells.values[:, places].transpose(1, 0, 2)
    if outside.any():
        seen = np.where(outside[:, None], np.nan, seen)
    return seen


def _mean_of(cells: Cells, lags: list[tuple[int, float]], begin: int, end: int) -> Floats:
    seen = _lagged(cells, [(days, 0) for days, _ in lags], begin, end)
    known = np.isfinite(seen)
    share = np.where(known, np.array([share for _, share in lags])[:, None, None], 0.0)
    weight = share.sum(axis=0)
    total = (share * np.where(known, seen, 0.0)).sum(axis=0)
    return np.where(weight > 0, total / np.maximum(weight, 1e-12), np.nan)


def median(gathered: Floats) -> Floats:
    """Return the median of the known values over the first axis, in single precision; NaN without any."""
    ordered = np.sort(gathered.astype(np.float32), axis=0)  # NaN goes to the end
    if np.isfinite(ordered[-1]).all():
        both = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        whole: Floats = (both[0].astype(float) + both[1]) / 2
        return whole
    count = np.isfinite(ordered).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(ordered) - 1)[None], axis=0)[0]
    middle: Floats = np.where(count > 0, (low.astype(float) + high) / 2, np.nan)
    return middle
