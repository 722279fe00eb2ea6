"""The expected value of a series: its level and, where they help, its daily and weekly shape.

Three candidates compete on their own errors one step ahead: the level alone, the level with the daily
shape, and that with an hour-of-week correction. The level of each is the median of the last day's half-hour
means of the deviation from its shape (the median of a day ignores anything that lasts less than half
of it, and follows what lasts longer). A shape is a running mean per time of day that weighs at least
one part in seven and learns from errors clipped as Huber (1964) clips them, so that an incident of one day
does not become the expectation of the next.
"""

from __future__ import annotations

import numpy as np

from twinops.core.baseline.settings import DAY, HOUR, BaselineSettings
from twinops.core.series import Floats, Indices

CANDIDATES = 3
LEVEL, DAILY, WEEKLY = range(CANDIDATES)
_HOURS_OF_WEEK = 168


class Expectation:
    """Expected values of k series on one even grid; the state has a fixed size.

    Args:
        series: k.
        step: seconds between two entries.
        settings: the configuration.
    """

    def __init__(self, series: int, step: float, settings: BaselineSettings) -> None:
        self._settings, self._step = settings, step
        self._bins = max(1, round(DAY / step))
        self._block = max(1, round(settings.level_block / step))
        blocks = max(1, round(settings.level_memory / (step * self._block)))
        self._keep = 0.5 ** (step * self._block / settings.error_half_life)
        self._daily = np.full((self._bins, series), np.nan, np.float32)
        self._weekly = np.full((_HOURS_OF_WEEK, series), np.nan, np.float32)
        self._blocks = np.full((blocks, CANDIDATES, series), np.nan, np.float32)
        self._open = np.zeros((3, CANDIDATES, series))  # sums of deviations and of their sizes, and their number
        self._level = np.zeros((CANDIDATES, series))
        self._level[LEVEL] = np.nan
        self._errors = np.zeros((2, CANDIDATES, series))  # faded sums of errors and of their number
        self._usual = np.full((CANDIDATES, series), np.inf)
        self._chosen = np.zeros(series, np.intp)
        self._first = np.full(series, np.nan)

    def advance(self, index: int, values: Floats) -> tuple[Floats, Indices]:
        """Return the value expected of each entry before it was known, and learn from the entries.

        Args:
            index: number of the first entry on the grid: its Unix time over the step.
            values: shape (n, k), NaN where unknown.

        Returns:
            The expected value of each candidate, shape (n, 3, k), NaN before its first value; and which
            candidate was selected, shape (n, k).
        """
        expected = np.empty((len(values), CANDIDATES, values.shape[1]))
        chosen = np.empty(values.shape, np.intp)
        start = 0
        while start < len(values):
            now = index + start
            stop = min(len(values), start + self._block - now % self._block)
            chosen[start:stop] = self._chosen
            expected[start:stop] = self._segment(now, values[start:stop])
            if (index + stop) % self._block == 0:
                self._close_block(index + stop)
            start = stop
        return expected, chosen

    def peek(self, index: int) -> tuple[Floats, Indices]:
        """Return the expected value at one entry of the grid, and the selected candidate; nothing is learned.

        Shape (k,) each.
        """
        return selected(self._shaped(index, 1).swapaxes(0, 1), self._chosen[None])[0], self._chosen

    def _shaped(self, index: int, count: int) -> Floats:
        """Return level plus shape of each candidate, shape (3, count, k)."""
        daily = self._daily[np.arange(index, index + count) % self._bins].astype(np.float64)
        weekly = np.nan_to_num(self._weekly[self._hour(index)])
        shapes = np.stack([np.zeros_like(daily), daily, daily + weekly])
        shaped: Floats = shapes + self._level[:, None, :]
        return shaped

    def _hour(self, index: int) -> int:
        return int(index * self._step // HOUR) % _HOURS_OF_WEEK

    def _segment(self, index: int, values: Floats) -> Floats:
        """Process entries of one level block, in which level, weekly shape and selection are constant."""
        known = np.isfinite(values)
        new = np.isnan(self._first) & known.any(axis=0)
        if new.any():
            # The number of the entry, however many entries were given at once.
            self._first[new] = (index + known.argmax(axis=0))[new]
            # Shapes are relative to the first value, so that they are small numbers where the values are large.
            self._level[DAILY:, new] = values[known.argmax(axis=0), np.arange(len(new))][new]
        shaped = self._shaped(index, len(values))
        deviations = values - shaped
        over = deviations + self._level[:, None, :]
        over[LEVEL] = values
        self._open += [
            np.where(np.isfinite(over), over, 0.0).sum(axis=1),
            np.where(np.isfinite(deviations), np.abs(deviations), 0.0).sum(axis=1),
            np.isfinite(over).sum(axis=1),
        ]
        self._learn_day(index, values, deviations[DAILY])
        return shaped.swapaxes(0, 1)

    def _learn_day(self, index: int, values: Floats, deviations: Floats) -> None:
        """Move the daily shape toward the values; each time of day occurs once at most."""
        entries = np.arange(index, index + len(values))
        at = entries % self._bins
        known, before = np.isfinite(values), self._daily[at]
        visits = np.nan_to_num((entries[:, None] - self._first) // self._bins)
        reach = self._settings.clip * self._usual[DAILY]
        moved = before + np.clip(deviations, -reach, reach) / np.minimum(visits + 1, self._settings.shape_days)
        fresh = np.where(np.isnan(before), values - self._level[DAILY], moved)
        self._daily[at] = np.where(known, fresh, before)

    def _close_block(self, index: int) -> None:
        """Add the open block to errors, weekly shape and level, and select again."""
        total, size, count = self._open
        enough = count * 2 >= self._block
        means = np.divide(total, count, out=np.full_like(total, np.nan), where=enough)
        self._errors = self._errors * self._keep + [size, np.where(np.isfinite(self._level), count, 0.0)]
        self._usual = np.divide(
            self._errors[0], self._errors[1], out=np.full_like(total, np.inf), where=self._errors[1] > 0
        )
        self._learn_week(index - self._block, means[DAILY] - self._level[DAILY])
        self._blocks[:-1] = self._blocks[1:]
        self._blocks[-1] = means
        self._open[:] = 0.0
        level = _median(self._blocks.astype(np.float64))
        self._level = np.where(np.isnan(level), self._level, level)
        self._choose(index)

    def _learn_week(self, index: int, error: Floats) -> None:
        """Move this hour's weekly correction toward the deviation from the daily shape in one block."""
        hour, reach = self._hour(index), self._settings.clip * self._usual[DAILY]
        each = max(1, round(HOUR / (self._block * self._step)))
        weeks = np.nan_to_num((index - self._first) * self._step // (_HOURS_OF_WEEK * HOUR))
        visits = each * weeks + index // self._block % each
        before = self._weekly[hour]
        move = np.clip(error - np.nan_to_num(before), -reach, reach)
        share = np.minimum(visits + 1, self._settings.shape_weeks * each)
        learned = np.where(np.isnan(before), move, before + move / share)
        self._weekly[hour] = np.where(np.isfinite(error), learned, before)

    def _choose(self, index: int) -> None:
        """Select a candidate for each series, by age and error."""
        settings, error = self._settings, self._usual
        age = (index - self._first) * self._step
        seasonal = settings.daily_gain * error[LEVEL]
        daily = (age >= settings.daily_after) & (error[DAILY] < seasonal)
        better = (error[WEEKLY] < settings.weekly_gain * error[DAILY]) & (error[WEEKLY] < seasonal)
        weekly = (age >= settings.weekly_after) & better
        self._chosen = np.where(weekly, WEEKLY, np.where(daily, DAILY, LEVEL))


def selected(each: Floats, chosen: Indices) -> Floats:
    """Return the chosen candidate's entries, shape (n, k, …), out of each candidate's, shape (n, 3, k, …)."""
    taken: Floats = np.take_along_axis(each, chosen[:, None], axis=1)[:, 0]
    return taken


def _median(blocks: Floats) -> Floats:
    """Return the median of the known values along axis 0, NaN without any."""
    ordered = np.sort(blocks, axis=0)  # NaN last
    if not np.isnan(ordered[-1]).any():
        middle: Floats = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        return middle
    counts = np.isfinite(blocks).sum(axis=0)
    places = np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, np.maximum(counts - 1, 0))
    low, high = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in places)
    return np.asarray((low + high) / 2)
