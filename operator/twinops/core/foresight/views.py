"""A past laid out for reading: steps, cells of five minutes over a day, cells of a quarter of an hour over weeks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from twinops.core.foresight.config import DAY, HOUR
from twinops.core.observation import Floats

Indices = npt.NDArray[np.intp]

FINE_CELL = 300
"""Seconds of a cell of the last day; longer where the step is."""
COARSE_CELL = 900
"""Seconds of a cell of the weeks before."""
_PROFILE_DAYS = 7
_WEEKLY_FROM_DAYS = 15
_WEEKLY = ((7, 1.0), (14, 0.7))
_DAILY_DECAY = 0.7
_DAILY_DAYS = 14
_HOURS = 24


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Means of even spans of wall-clock time, of several series.

    Attributes:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first cell: its start in Unix seconds over ``seconds``.
        seconds: length of a cell.
    """

    values: Floats
    first: int
    seconds: float


@dataclass(frozen=True, eq=False)
class View:
    """The past of several series with one grid, as the members read it.

    Attributes:
        steps: newest values at the twin's step, shape (series, n), without holes (the last known value stands);
            at least one.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        fine: cells of the last day or more, only complete ones count at an origin.
        coarse: cells of the last weeks.
        since: first step whose profiles are wanted; earlier ones are not computed.
    """

    steps: Floats
    first: int
    step: float
    fine: Cells
    coarse: Cells
    since: int = 0

    @cached_property
    def day(self) -> Floats:
        """Daily profile per coarse cell, up to a day past the newest one, shape (series, cells + a day).

        The median over the same and both neighbouring cells of the seven days before: one odd day or spike
        leaves it as it is.
        """
        return self._day_profile(1)

    @cached_property
    def day_without_last(self) -> Floats:
        """The same without yesterday, for horizons so long that yesterday's cells are not over yet."""
        return self._day_profile(2)

    def _day_profile(self, newest: int) -> Floats:
        begin = self._begin(self.coarse)
        lags = [(day, near) for day in range(newest, _PROFILE_DAYS + 1) for near in (-1, 0, 1)]
        return _from(begin, _median(_lagged(self.coarse, lags, begin).astype(np.float32)))

    def _begin(self, cells: Cells) -> int:
        """Return the first cell whose profile is wanted."""
        place = float(self.place(np.array([self.since]), cells)[0])
        return int(np.clip(np.floor(place) - 1, 0, cells.values.shape[1]))

    @cached_property
    def week(self) -> Floats:
        """Weekly profile per coarse cell from fifteen days on, before that a daily mean."""
        return self._week_profile(1)

    @cached_property
    def week_without_last(self) -> Floats:
        """The same without yesterday."""
        return self._week_profile(2)

    def _week_profile(self, newest: int) -> Floats:
        begin = self._begin(self.coarse)
        daily = _mean_of(self.coarse, [(d, _DAILY_DECAY ** (d - 1)) for d in range(newest, _DAILY_DAYS + 1)], begin)
        per_day = DAY // COARSE_CELL
        if self.coarse.values.shape[1] <= (_WEEKLY_FROM_DAYS - 1) * per_day:
            return daily
        weekly = _mean_of(self.coarse, list(_WEEKLY), begin)
        age = np.arange(daily.shape[1])[None, :] - _first_known(self.coarse.values)[:, None]
        use = (age >= _WEEKLY_FROM_DAYS * per_day) & np.isfinite(weekly)
        return np.where(use, weekly, daily)

    @cached_property
    def hour(self) -> Floats:
        """Hourly profile per fine cell, up to an hour past the newest: median of the last 24 hours there."""
        per_hour = self.per_hour
        known = filled(self.fine.values)
        begin, count = self._begin(self.fine), known.shape[1] + per_hour
        places = np.arange(begin, count) - per_hour * np.arange(1, _HOURS + 1)[:, None]
        seen = known.astype(np.float32)[:, np.maximum(places, 0)].transpose(1, 0, 2)
        return _from(begin, _median(np.where(places[:, None] >= 0, seen, np.float32(np.nan))))

    @property
    def per_hour(self) -> int:
        """Fine cells in an hour, at least one."""
        return max(1, round(HOUR / self.fine.seconds))

    def fine_at(self, steps: Indices) -> Indices:
        """Return the index in ``fine`` of the newest cell that is complete at the end of these steps."""
        numbers = self.first + steps + 1
        cells = np.floor(numbers * self.step / self.fine.seconds + 1e-9).astype(np.intp) - 1
        within: Indices = np.minimum(np.maximum(cells - self.fine.first, 0), self.fine.values.shape[1] - 1)
        return within

    def place(self, steps: Indices, cells: Cells) -> Floats:
        """Return where the middle of these steps lies among the middles of the cells, in cells."""
        middles = np.asarray(self.first + steps + 0.5, dtype=np.float64)
        places: Floats = middles * self.step / cells.seconds - cells.first - 0.5
        return places


def filled(values: Floats) -> Floats:
    """Return the values with each hole filled by the last known one, the beginning by the first known one."""
    known = np.isfinite(values)
    if known.all():
        return values
    places = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), 0), axis=1)
    carried = np.take_along_axis(values, places, axis=1)
    first = np.take_along_axis(values, _first_known(values)[:, None], axis=1)
    return np.where(np.isfinite(carried), carried, np.where(np.isfinite(first), first, 0.0))


def _first_known(values: Floats) -> Indices:
    first: Indices = np.argmax(np.isfinite(values), axis=1)
    return first


def into_cells(values: Floats, first: int, step: float, seconds: float) -> Cells:
    """Return the means of the known values per cell; a cell with none is NaN.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step.
        step: seconds.
        seconds: length of a cell, at least ``step``.
    """
    numbers = np.floor((first + np.arange(values.shape[1])) * step / seconds + 1e-9).astype(np.intp)
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0.0), begins, axis=1)
    count = np.add.reduceat(known.astype(float), begins, axis=1)
    means = np.full((values.shape[0], int(numbers[-1] - numbers[0]) + 1), np.nan)
    means[:, numbers[begins] - numbers[0]] = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    return Cells(means, int(numbers[0]), seconds)


def coarser(fine: Cells) -> Cells:
    """Return coarse cells as means of fine ones."""
    return into_cells(fine.values, fine.first, fine.seconds, COARSE_CELL) if fine.seconds < COARSE_CELL else fine


def view(values: Floats, first: int, step: float) -> View:
    """Lay out a whole past.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
    """
    fine_seconds = max(float(FINE_CELL), step)
    fine = Cells(values, first, step) if fine_seconds == step else into_cells(values, first, step, fine_seconds)
    coarse = coarser(fine)
    return View(filled(values), first, step, fine, coarse)


def read_profile(profile: Floats, places: Floats) -> Floats:
    """Read a profile between the middles of its cells, linearly; NaN where it is unknown.

    Args:
        profile: shape (series, n).
        places: shape (m,), in cells; outside, the nearest cell counts.
    """
    left = np.minimum(np.maximum(np.floor(places).astype(np.intp), 0), profile.shape[1] - 1)
    right = np.minimum(left + 1, profile.shape[1] - 1)
    share = np.minimum(np.maximum(places - left, 0.0), 1.0)
    a, b = profile[:, left], profile[:, right]
    mixed = a * (1 - share) + b * share
    return np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(a), a, b))


def _lagged(cells: Cells, lags: list[tuple[int, int]], begin: int) -> Floats:
    """Return the cells as seen some days later, some cells beside, from ``begin`` to a day past the newest.

    Args:
        cells: of the past.
        lags: days, and cells beside.
        begin: first cell that is wanted.

    Returns:
        Shape (lags, series, cells), NaN where nothing is known.
    """
    per_day = round(DAY / cells.seconds)
    back = np.array([per_day * days - near for days, near in lags])
    places = np.arange(begin, cells.values.shape[1] + per_day) - back[:, None]
    outside = (places < 0) | (places >= cells.values.shape[1])
    places[outside] = 0
    seen = cells.values[:, places].transpose(1, 0, 2)
    return np.where(outside[:, None], np.nan, seen)


def _from(begin: int, profile: Floats) -> Floats:
    """Return the profile with NaN for what was left out before it."""
    if not begin:
        return profile
    return np.concatenate([np.full((len(profile), begin), np.nan), profile], axis=1)


def _mean_of(cells: Cells, lags: list[tuple[int, float]], begin: int) -> Floats:
    seen = _lagged(cells, [(days, 0) for days, _ in lags], begin)
    known = np.isfinite(seen)
    share = np.where(known, np.array([share for _, share in lags])[:, None, None], 0.0)
    weight = share.sum(axis=0)
    total = (share * np.where(known, seen, 0.0)).sum(axis=0)
    return _from(begin, np.where(weight > 0, total / np.maximum(weight, 1e-12), np.nan))


def _median(gathered: npt.NDArray[np.float32]) -> Floats:
    """Return the median over the first axis of what is known, NaN where nothing is."""
    ordered = np.sort(gathered, axis=0)  # NaN goes to the end
    count = np.isfinite(gathered).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(ordered) - 1)[None], axis=0)[0]
    middle: Floats = np.where(count > 0, (low.astype(float) + high) / 2, np.nan)
    return middle
