"""All windowed statistics of k columns, each against its own record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum, auto

import numpy as np

from twinops.core.baseline.records import FadingMean, Record
from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import Kind, Watch, logarithm, watches, window_means
from twinops.core.series import Floats

_TINY = 1e-300
_HALF = 65504.0
"""Largest value in half precision."""
_DEVIATION = 1.25
"""Standard deviation of Gaussian noise over its mean absolute deviation, √(π/2)."""


class Source(Enum):
    """What windows are taken of."""

    LEFT = auto()
    CLIPPED = auto()
    MOVES = auto()


def _source(watch: Watch) -> Source:
    if not watch.sign:
        return Source.MOVES
    return Source.CLIPPED if watch.clipped else Source.LEFT


def _widest(every: Sequence[Watch]) -> dict[Source, int]:
    widest: dict[Source, int] = {}
    for watch in every:
        widest[_source(watch)] = max(widest.get(_source(watch), 1), watch.width)
    return widest


class Tail:
    """The latest entries of k columns, in half precision: in units of about their usual size.

    The units are powers of two, so that keeping what was kept before loses nothing.

    Args:
        length: entries to keep.
        columns: k.
    """

    def __init__(self, length: int, columns: int) -> None:
        self._entries = np.full((length, columns), np.nan, np.float16)
        self._unit = np.ones(columns)

    def advance(self, fresh: Floats, usual: Floats) -> Floats:
        """Append n entries, shape (n, k); return them with those before, shape (length + n, k)."""
        every = np.concatenate([self._entries * self._unit, fresh])
        self._unit = np.exp2(np.floor(np.log2(np.where((usual > 0) & np.isfinite(usual), usual, 1.0))))
        self._entries = np.clip(every[-len(self._entries) :] / self._unit, -_HALF, _HALF).astype(np.float16)
        return every


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
        self._tails = {source: Tail(2 * width, columns) for source, width in _widest(self.watches).items()}
        self._latest = np.full(columns, np.nan)

    def advance(self, left: Floats, least: Floats) -> tuple[Floats, Floats, Floats]:
        """Take n entries.

        Args:
            left: shape (n, k), values less what was expected; NaN where unknown.
            least: shape (n, k), size that is nothing.

        Returns:
            The logarithm of each of m statistics over its record, of the record, both -inf where there is none, and of
            the statistic, NaN where unknown; shape (n, k, m) each.
        """
        count = len(left)
        known = self._known + np.cumsum(np.isfinite(left), axis=0)
        self._known = known[-1]
        moves = np.abs(np.diff(np.concatenate([self._latest[None], left]), axis=0))
        self._latest = left[-1]
        deviation = np.fmax(self._deviation.advance(np.abs(left)), least)
        movement = np.fmax(self._movement.advance(moves), least)
        reach = self._settings.huber * deviation
        fresh = {Source.LEFT: left, Source.CLIPPED: np.clip(left, -reach, reach), Source.MOVES: moves}
        parts = {source: tail.advance(fresh[source], deviation[-1]) for source, tail in self._tails.items()}
        excess = np.full((*left.shape, len(self.watches)), -np.inf)
        records, every = np.full_like(excess, -np.inf), np.empty_like(excess)
        for place, (watch, record) in enumerate(zip(self.watches, self._records, strict=True)):
            part = parts[_source(watch)][-(count + 2 * watch.width - 1) :]
            sizes = self._sizes(watch, part, movement)
            best = np.fmax(record.advance(sizes[:count]), self._floor(watch, deviation, movement))
            ready = (known >= self._enough + 2 * watch.width) & np.isfinite(best)
            excess[:, :, place] = np.subtract(sizes[watch.width :], best, out=excess[:, :, place], where=ready)
            records[:, :, place], every[:, :, place] = best, sizes[watch.width :]
        excess[np.isnan(excess)] = -np.inf
        return excess, records, every

    def _sizes(self, watch: Watch, part: Floats, movement: Floats) -> Floats:
        """Return the logarithms of one statistic's sizes, from ``width`` entries before the first new one on."""
        if watch.sign:
            return logarithm(watch.sign * window_means(part, watch.width, 0.0)[watch.width - 1 :])
        if watch.kind is Kind.CALM:
            older = np.broadcast_to(movement[0], (len(part) - len(movement), part.shape[1]))
            usual = np.nan_to_num(np.concatenate([older, movement]))
            calm = window_means(part, watch.width, usual) + self._settings.least_calm * usual
            return -logarithm(np.fmax(calm, _TINY)[watch.width - 1 :])
        return logarithm(window_means(part, watch.width, 0.0)[watch.width - 1 :])

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
