"""A past as the members read it: steps, cells of the last day, profiles of the last weeks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twinops.core.forecast.cells import (
    Cells,
    carried,
    cells_ahead,
    coarser,
    filled,
    fine_cells,
    first_cell,
    first_known,
)
from twinops.core.forecast.config import DAY, HOUR, LAYOUT
from twinops.core.forecast.profiles import Seasons, median, seasons_of
from twinops.core.series import Floats, Indices


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The past of several series with one grid, as the members read it.

    Attributes:
        steps: newest values at the twin's step, shape (series, n), without gaps (the last known value is
            repeated); n ≥ 1.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        fine: cells of the last day or more; at an origin only complete ones are read.
        seasons: profiles of the last weeks.
        since: first step whose profiles are computed.
        reach: steps past the newest one whose profiles are computed.
    """

    steps: Floats
    first: int
    step: float
    fine: Cells
    seasons: Seasons
    since: int
    reach: int

    def hour(self) -> tuple[Floats, int]:
        """Return the hourly profile per fine cell, and the index in ``fine`` of its first cell.

        It is the median over the same cell of the last 24 hours, up to an hour past the newest cell.
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
        if len(steps) == 1:  # The common case of a sync.
            cell = math.floor((self.first + int(steps[0]) + 1) * self.step / self.fine.seconds + 1e-9) - 1
            return np.array([min(max(cell - self.fine.first, -1), self.fine.values.shape[1] - 1)])
        numbers = self.first + steps + 1
        cells = np.floor(numbers * self.step / self.fine.seconds + 1e-9).astype(np.intp) - 1
        within: Indices = np.minimum(np.maximum(cells - self.fine.first, -1), self.fine.values.shape[1] - 1)
        return within

    def place(self, steps: Indices, first: int, seconds: float) -> Floats:
        """Return positions of the middles of steps, in cells of this length, from the middle of cell ``first`` on."""
        middles = steps.astype(np.float64) + (self.first + 0.5)
        places: Floats = middles * (self.step / seconds) - (first + 0.5)
        return places


def view(
    values: Floats, first: int, step: float, older: Cells | None = None, *, since: int = 0, reach: int | None = None
) -> View:
    """Return the view of a past.

    Args:
        values: shape (series, n), NaN where unknown.
        first: number of the first step: Unix seconds over ``step``, rounded down.
        step: seconds.
        older: fine cells of the time before.
        since: first step whose profiles are computed.
        reach: steps past the newest one whose profiles are computed, a day by default.
    """
    fine = fine_cells(values, first, step, older)
    coarse = coarser(fine)
    reach = round(DAY / step) if reach is None else reach
    seasons = seasons_of(coarse, first_known(coarse), first_cell(first + since, step, coarse.seconds), reach * step)
    return View(filled(values), first, step, fine, seasons, since, reach)
