"""A past laid out for reading: steps, cells of five minutes over a day, cells of a quarter of an hour over weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.config import DAY, HOUR, LAYOUT
from twinops.core.series import Floats, Indices

NOT_OVER = 23 * 3600
"""Horizons longer than this can't read yesterday's profile cells: some of them are not over yet."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Seasons:
    """Profiles of the coarse cells of a span; all of shape (series, n).

    Attributes:
        day: the median over the same and both neighbouring cells of the seven days before: one odd day or spike
            leaves it as it is.
        week: weekly from fifteen days on, before that a daily mean.
        late: both of them without yesterday, for horizons so long that yesterday's cells are not over yet; None
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


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The past of several series with one grid, as the members read it.

    Attributes:
        steps: newest values at the twin's step, shape (series, n), without holes (the last known value stands);
            at least one.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        fine: cells of the last day or more, only complete ones count at an origin.
        seasons: profiles of the last weeks.
        since: first step whose profiles are wanted; earlier ones are not computed.
        reach: steps past the newest one whose profiles are wanted.
    """

    steps: Floats
    first: int
    step: float
    fine: Cells
    seasons: Seasons
    since: int
    reach: int

    def hour(self) -> tuple[Floats, int]:
        """Return the hourly profile per fine cell, and the index in ``fine`` of the first cell that it is of.

        It is the median of the last 24 hours there, up to an hour past the newest cell.
        """
        per_hour = self.per_hour
        known = carried(self.fine.values)
        begin = first_cell(self.first + self.since, self.step, self.fine.seconds) - self.fine.first
        begin = min(max(begin, 0), known.shape[1])
        end = known.shape[1] + cells_ahead(min(self.reach * self.step, HOUR), self.fine.seconds)
        places = (
            np.arange(begin, min(end, known.shape[1] + per_hour)) - per_hour * np.arange(1, LAYOUT.hours + 1)[:, None]
        )
        seen = known[:, np.minimum(np.maximum(places, 0), known.shape[1] - 1)].transpose(1, 0, 2)
        if begin < per_hour * LAYOUT.hours:
            seen = np.where(places[:, None] >= 0, seen, np.nan)
        return median(seen), begin

    @property
    def per_hour(self) -> int:
        """Fine cells in an hour, at least one."""
        return max(1, round(HOUR / self.fine.seconds))

    def fine_at(self, steps: Indices) -> Indices:
        """Return the index in ``fine`` of the newest cell that is complete at the end of these steps, -1 for none."""
        if len(steps) == 1:  # A sync asks for one step, several times.
            cell = math.floor((self.first + int(steps[0]) + 1) * self.step / self.fine.seconds + 1e-9) - 1
            return np.array([min(max(cell - self.fine.first, -1), self.fine.values.shape[1] - 1)])
        numbers = self.first + steps + 1
        cells = np.floor(numbers * self.step / self.fine.seconds + 1e-9).astype(np.intp) - 1
        within: Indices = np.minimum(np.maximum(cells - self.fine.first, -1), self.fine.values.shape[1] - 1)
        return within

    def place(self, steps: Indices, first: int, seconds: float) -> Floats:
        """Return where the middle of these steps lies among the middles of cells, the first of which has a number."""
        middles = steps.astype(np.float64) + (self.first + 0.5)
        places: Floats = middles * (self.step / seconds) - (first + 0.5)
        return places


def first_cell(step_number: int, step: float, seconds: float) -> int:
    """Return the number of the cell before the one whose middle lies before this step's."""
    return math.floor((step_number + 0.5) * step / seconds - 0.5) - 1


def cells_ahead(ahead: float, seconds: float) -> int:
    """Return how many cells past the newest one a reading so many seconds ahead needs."""
    return math.ceil(ahead / seconds) + 1


def seasons_of(coarse: Cells, begun: Indices, begin: int, reach_seconds: float) -> Seasons:
    """Return the profiles from a cell on, as far past the newest one as is wanted.

    Args:
        coarse: cells of the last weeks.
        begun: number of the first one with a known value, of each series.
        begin: number of the first cell that is wanted.
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
        age = coarse.first + np.arange(start, end) - begun[:, None]
        old = age >= LAYOUT.weekly_from * DAY / coarse.seconds
        if not old.any():
            return daily
        weekly = _mean_of(coarse, list(LAYOUT.weekly), start, end)
        return np.where(old & np.isfinite(weekly), weekly, daily)

    late = (day(2), week(2)) if reach_seconds > NOT_OVER else None
    return Seasons(day(1), week(1), late, coarse.first + start, coarse.seconds)


def filled(values: Floats) -> Floats:
    """Return the values with each hole filled by the last known one, the beginning by the first known one."""
    known = np.isfinite(values)
    if known.all():
        return values
    known = carried(values)
    first = np.take_along_axis(values, _first_known(values)[:, None], axis=1)
    return np.where(np.isfinite(known), known, np.where(np.isfinite(first), first, 0.0))


def carried(values: Floats) -> Floats:
    """Return the values with each hole filled by the last known one; NaN before the first."""
    known = np.isfinite(values)
    if known.all():
        return values
    places = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), 0), axis=1)
    return np.take_along_axis(values, places, axis=1)


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
    return (
        into_cells(fine.values, fine.first, fine.seconds, LAYOUT.coarse_cell)
        if fine.seconds < LAYOUT.coarse_cell
        else fine
    )


def begun(cells: Cells) -> Indices:
    """Return the number of each series' first cell with a known value; of one without, that after the last."""
    known = np.isfinite(cells.values)
    found: Indices = cells.first + np.where(known.any(axis=1), known.argmax(axis=1), cells.values.shape[1])
    return found


def fine_cells(values: Floats, first: int, step: float, older: Cells | None = None) -> Cells:
    """Return the fine cells of a past.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        older: fine cells of the time before; where both know of a cell, as where the steps begin, these count.
    """
    seconds = fine_seconds(step)
    recent = Cells(values, first, step) if seconds == step else into_cells(values, first, step, seconds)
    if older is None or older.first >= recent.first + recent.values.shape[1]:
        return recent
    begin = min(older.first, recent.first)
    joined = np.full((len(values), recent.first + recent.values.shape[1] - begin), np.nan)
    joined[:, recent.first - begin :] = recent.values
    # Past the first cell, which may be there in part only, the steps know best.
    count = min(older.values.shape[1], recent.first + 1 - older.first)
    known = older.values[:, : max(count, 0)]
    place = slice(older.first - begin, older.first - begin + known.shape[1])
    joined[:, place] = np.where(np.isfinite(known), known, joined[:, place])
    return Cells(joined, begin, seconds)


def fine_seconds(step: float) -> float:
    """Return the length of a fine cell."""
    return max(float(LAYOUT.fine_cell), step)


def view(
    values: Floats, first: int, step: float, older: Cells | None = None, *, since: int = 0, reach: int | None = None
) -> View:
    """Lay out a whole past.

    Args:
        values: shape (series, n), NaN where nothing is known.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        older: fine cells of the time before.
        since: first step whose profiles are wanted.
        reach: steps past the newest one whose profiles are wanted, a day by default.
    """
    fine = fine_cells(values, first, step, older)
    coarse = coarser(fine)
    reach = round(DAY / step) if reach is None else reach
    seasons = seasons_of(coarse, begun(coarse), first_cell(first + since, step, coarse.seconds), reach * step)
    return View(filled(values), first, step, fine, seasons, since, reach)


def read_profile(profile: Floats, places: Floats) -> Floats:
    """Read a profile between the middles of its cells, linearly; NaN where it is unknown.

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
    """Return the cells as seen some days later, some cells beside.

    Args:
        cells: of the past.
        lags: days, and cells beside.
        begin: first cell that is wanted.
        end: the cell after the last one.

    Returns:
        Shape (lags, series, end - begin), NaN where nothing is known.
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
    """Return the median over the first axis of what is known, NaN where nothing is; sorted in single precision."""
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
