"""All windowed statistics of k columns, each against its own record."""

from __future__ import annotations

import math

import numpy as np

from twinops.core.baseline.records import FadingMean, Record
from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import Kind, Watch, logarithm, watches, window_means
from twinops.core.observation import Floats

_TINY = 1e-300
_DEVIATION = 1.25
"""Standard deviation of Gaussian noise over its mean absolute deviation, √(π/2)."""


class Panel:
    """Deviations and movements of k columns, over windows, against what they have been before.

    Args:
        columns: k.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        watches: the statistics, in the order of ``advance``'s answer.
    """

    def __init__(self, columns: int, step: float, settings: BaselineSettings) -> None:
        self._settings = settings
        self.watches = watches(step, settings)
        normal, all_ = settings.normal_half_life / step, settings.record_half_life / step
        self._records = [Record(columns, all_, normal, settings.least_ratio) for _ in self.watches]
        self._deviation, self._movement = FadingMean(columns, normal), FadingMean(columns, normal)
        self._enough = settings.learning / step
        self._known = np.zeros(columns)
        keep = 2 * max(watch.width for watch in self.watches)
        self._tails = np.full((3, keep, columns), np.nan, np.float32)

    def advance(self, left: Floats, least: Floats) -> tuple[Floats, Floats]:
        """Take n entries.

        Args:
            left: shape (n, k), values less what was expected; NaN where unknown.
            least: shape (n, k), size that is nothing.

        Returns:
            The logarithm of each of m statistics over its record, and of the record; shape (n, k, m) each,
            -inf where there is none.
        """
        count = len(left)
        known = self._known + np.cumsum(np.isfinite(left), axis=0)
        self._known = known[-1]
        moves = np.abs(np.diff(np.concatenate([self._tails[0, -1:], left]), axis=0))
        deviation = np.fmax(self._deviation.advance(np.abs(left)), least)
        movement = np.fmax(self._movement.advance(moves), least)
        reach = self._settings.huber * deviation
        parts = np.concatenate([self._tails, [left, np.clip(left, -reach, reach), movement]], axis=1)
        self._tails = parts[:, -self._tails.shape[1] :].astype(np.float32)
        excess = np.full((*left.shape, len(self.watches)), -np.inf)
        records = np.full_like(excess, -np.inf)
        for place, (watch, record) in enumerate(zip(self.watches, self._records, strict=True)):
            sizes = self._sizes(watch, parts[:, -(count + 2 * watch.width) :])
            best = np.fmax(record.advance(sizes[:count]), self._floor(watch, deviation, movement))
            ready = (known >= self._enough + 2 * watch.width) & np.isfinite(best)
            excess[:, :, place] = np.subtract(sizes[watch.width :], best, out=excess[:, :, place], where=ready)
            records[:, :, place] = best
        excess[np.isnan(excess)] = -np.inf
        return excess, records

    def _sizes(self, watch: Watch, parts: Floats) -> Floats:
        """Return the logarithms of one statistic's sizes, from ``width`` entries before the first new one on."""
        left, clipped, movement = parts
        if watch.sign:
            source = clipped[1:] if watch.clipped else left[1:]
            return logarithm(watch.sign * window_means(source, watch.width, 0.0)[watch.width - 1 :])
        moves = np.abs(np.diff(left, axis=0))
        if watch.kind is Kind.CALM:
            usual = np.nan_to_num(movement[1:])
            calm = window_means(moves, watch.width, usual) + self._settings.least_calm * usual
            return -logarithm(np.fmax(calm, _TINY)[watch.width - 1 :])
        return logarithm(window_means(moves, watch.width, 0.0)[watch.width - 1 :])

    def _floor(self, watch: Watch, deviation: Floats, movement: Floats) -> Floats:
        """Return the logarithm of the least that counts as a record: what chance alone would do, or nearly."""
        settings = self._settings
        errors = settings.standard_errors / math.sqrt(watch.width)
        if watch.sign:
            floor = 1.0 if watch.clipped else settings.floor
            return logarithm(deviation) + math.log(max(floor, errors * _DEVIATION))
        if watch.kind is Kind.CALM:
            return math.log(settings.floor) - logarithm(movement)
        return logarithm(movement) + math.log1p(errors)
