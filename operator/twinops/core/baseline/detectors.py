"""The detector bank: all windowed statistics of k columns, each compared with its own record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

import numpy as np

from twinops.core.baseline.records import ExponentialMean, FadingRecord
from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import AnomalyKind, Detector, detectors, logarithm, window_means
from twinops.core.series import Flags, Floats, Indices

_TINY = 1e-300
_HALF = 65504.0
"""Largest value in half precision."""
_DEVIATION = 1.25
"""Standard deviation of Gaussian noise over its mean absolute deviation, √(π/2)."""


class Input(Enum):
    """The series that a statistic averages: deviations, clipped deviations, or movements from step to step."""

    DEVIATIONS = auto()
    CLIPPED = auto()
    MOVEMENTS = auto()


def _input_of(detector: Detector) -> Input:
    if not detector.sign:
        return Input.MOVEMENTS
    return Input.CLIPPED if detector.clipped else Input.DEVIATIONS


def _widest(every: Sequence[Detector]) -> dict[Input, int]:
    widest: dict[Input, int] = {}
    for detector in every:
        widest[_input_of(detector)] = max(widest.get(_input_of(detector), 1), detector.width)
    return widest


class RecentEntries:
    """The latest entries of k columns, in half precision: in units of about their usual size.

    The units are powers of two, so that a change of unit does not add rounding errors.

    Args:
        length: number of entries to keep.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Constants:
    """Constants of m detectors, in their order; every array has the shape (m,).

    Attributes:
        least: logarithm of the least record over the usual size.
        places: places of the detectors of each input.
    """

    widths: Indices
    signs: Indices
    calm: Flags
    least: Floats
    places: Mapping[Input, Indices]


@lru_cache(maxsize=64)
def _constants(every: tuple[Detector, ...], settings: BaselineSettings) -> _Constants:
    inputs = [_input_of(detector) for detector in every]
    return _Constants(
        widths=np.array([detector.width for detector in every]),
        signs=np.array([detector.sign for detector in every]),
        calm=np.array([detector.kind is AnomalyKind.CALM for detector in every]),
        least=np.array([_least(detector, settings) for detector in every]),
        places={input_: np.flatnonzero([one is input_ for one in inputs]) for input_ in _widest(every)},
    )


class DetectorBank:
    """Statistics of deviations and movements of k columns over windows, compared with their records.

    Args:
        columns: k.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        detectors: the m statistics, in the order of the result of ``advance``.
    """

    def __init__(self, columns: int, step: float, settings: BaselineSettings) -> None:
        self._settings = settings
        self.detectors = detectors(step, settings)
        normal, all_ = settings.normal_half_life / step, settings.record_half_life / step
        self._record = FadingRecord(columns * len(self.detectors), all_, normal, settings.least_ratio)
        self._deviation, self._movement = ExponentialMean(columns, normal), ExponentialMean(columns, normal)
        self._enough = settings.learning / step
        self._known = np.zeros(columns)
        self._recent = {input_: RecentEntries(2 * width, columns) for input_, width in _widest(self.detectors).items()}
        self._latest = np.full(columns, np.nan)
        self._constant = _constants(self.detectors, settings)

    def advance(self, deviations: Floats, least: Floats) -> tuple[Floats, Floats, Floats]:
        """Process n entries.

        Args:
            deviations: shape (n, k), values less the expected ones; NaN where unknown.
            least: shape (n, k), size up to which a deviation counts as 0.

        Returns:
            The logarithm of each of m statistics over its record, -inf where it is not judged; of the record; and of
            the statistic, NaN where unknown; shape (n, k, m) each.
        """
        count = len(deviations)
        known = self._known + np.cumsum(np.isfinite(deviations), axis=0)
        self._known = known[-1]
        moves = np.abs(np.diff(np.concatenate([self._latest[None], deviations]), axis=0))
        self._latest = deviations[-1]
        deviation = np.fmax(self._deviation.advance(np.abs(deviations)), least)
        movement = np.fmax(self._movement.advance(moves), least)
        reach = self._settings.huber * deviation
        fresh = {
            Input.DEVIATIONS: deviations,
            Input.CLIPPED: np.clip(deviations, -reach, reach),
            Input.MOVEMENTS: moves,
        }
        parts = {input_: recent.advance(fresh[input_], deviation[-1]) for input_, recent in self._recent.items()}
        sizes, before = self._latest_sizes(parts, movement) if count == 1 else self._all_sizes(parts, movement)
        # One record for all detectors: the overhead of many small calls would exceed their arithmetic.
        shown = self._record.advance(before.reshape(count, -1)).reshape(before.shape)
        records = np.fmax(shown, self._floors(deviation, movement))
        ready = (known[:, :, None] >= self._enough + 2 * self._constant.widths) & np.isfinite(records)
        excess = np.subtract(sizes, records, out=np.full_like(sizes, -np.inf), where=ready)
        excess[np.isnan(excess)] = -np.inf
        return excess, records, sizes

    def _all_sizes(self, parts: Mapping[Input, Floats], movement: Floats) -> tuple[Floats, Floats]:
        """Return the logarithms of all sizes, and of those a window earlier, shape (n, k, m) each."""
        count = len(movement)
        shape = (*movement.shape, len(self.detectors))
        sizes, before = np.empty(shape), np.empty(shape)
        for place, detector in enumerate(self.detectors):
            part = parts[_input_of(detector)][-(count + 2 * detector.width - 1) :]
            found = self._sizes(detector, part, movement)
            sizes[:, :, place], before[:, :, place] = found[detector.width :], found[:count]
        return sizes, before

    def _latest_sizes(self, parts: Mapping[Input, Floats], movement: Floats) -> tuple[Floats, Floats]:
        """Return the same for a single entry, at which every window ends: one cumulative sum gives all of them."""
        sizes, before = (np.empty((1, movement.shape[1], len(self.detectors))) for _ in range(2))
        usual = np.nan_to_num(movement[0])
        for input_, places in self._constant.places.items():
            part = parts[input_][::-1]
            known = np.isfinite(part)
            counts, sums = np.cumsum(known, axis=0), np.cumsum(np.where(known, part, 0.0), axis=0)
            widths = self._constant.widths[places]
            now = counts[widths - 1], sums[widths - 1]
            both = counts[2 * widths - 1], sums[2 * widths - 1]
            for target, (number, total) in ((sizes, now), (before, (both[0] - now[0], both[1] - now[1]))):
                target[0, :, places] = self._logarithms(input_, places, number, total, usual)
        return sizes, before

    def _logarithms(self, input_: Input, places: Indices, number: Floats, total: Floats, usual: Floats) -> Floats:
        """Return the logarithms of sizes from the number of known entries and their sum, shape (detectors, k)."""
        widths = self._constant.widths[places][:, None]
        calm = self._constant.calm[places][:, None]
        total = total + np.where(calm, (widths - number) * usual, 0.0)
        means: Floats = np.where(number * 2 >= widths, total / widths, np.nan)
        if input_ is not Input.MOVEMENTS:
            return logarithm(np.where(self._constant.signs[places][:, None] > 0, means, -means))
        logs = logarithm(np.where(calm, np.fmax(means + self._settings.least_calm * usual, _TINY), means))
        return np.where(calm, -logs, logs)

    def _floors(self, deviation: Floats, movement: Floats) -> Floats:
        """Return the logarithms of the least sizes that count as records, shape (n, k, m)."""
        kinds = logarithm(np.stack([deviation, movement], axis=-1))
        constant = self._constant
        which = (constant.signs == 0).astype(np.intp)
        floors: Floats = kinds[..., which] * np.where(constant.calm, -1.0, 1.0) + constant.least
        return floors

    def _sizes(self, detector: Detector, part: Floats, movement: Floats) -> Floats:
        """Return the logarithms of one statistic's sizes, from ``width`` entries before the first new one on."""
        if detector.sign:
            return logarithm(detector.sign * window_means(part, detector.width, 0.0)[detector.width - 1 :])
        if detector.kind is AnomalyKind.CALM:
            older = np.broadcast_to(movement[0], (len(part) - len(movement), part.shape[1]))
            usual = np.nan_to_num(np.concatenate([older, movement]))
            calm = window_means(part, detector.width, usual) + self._settings.least_calm * usual
            return -logarithm(np.fmax(calm, _TINY)[detector.width - 1 :])
        return logarithm(window_means(part, detector.width, 0.0)[detector.width - 1 :])


def _least(detector: Detector, settings: BaselineSettings) -> float:
    """Return the logarithm of the least record over the usual size, below which random values often lie."""
    errors = settings.standard_errors / math.sqrt(detector.width)
    if detector.sign:
        return math.log(max(1.0 if detector.clipped else settings.floor, errors * _DEVIATION))
    return math.log(settings.floor) if detector.kind is AnomalyKind.CALM else math.log1p(errors)
