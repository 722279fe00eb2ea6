"""The learned baseline of k series, from values to alarms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinops.core.baseline.alarms import NONE, AlarmController
from twinops.core.baseline.band import BandEdge
from twinops.core.baseline.detectors import DetectorBank, RecentEntries
from twinops.core.baseline.expectation import DAILY, LEVEL, WEEKLY, Expectation, selected
from twinops.core.baseline.records import ExponentialMean, FadingRecord, QuietSpells
from twinops.core.baseline.settings import SETTINGS, BaselineSettings
from twinops.core.baseline.statistics import AnomalyKind, Detector
from twinops.core.series import Flags, Floats, Indices

_JUDGED = (LEVEL, DAILY)
_LARGEST = 1e30
"""Values from here on do not fit single precision, in which levels and shapes are kept."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm at its start.

    Attributes:
        series: which of the k series.
        detector: the statistic that raised it.
        index: number on the grid of the entry that raised it.
        since: number on the grid of the first entry of the window, or of the quiet spell, that raised it.
        expected: expected value at ``index``.
        size: of the statistic: a mean deviation or movement in the metric's unit, or a quiet spell in entries.
        record: the largest such size before (the least one, for decreased variance).
    """

    series: int
    detector: Detector
    index: int
    since: int
    expected: float
    size: float
    record: float

    @property
    def actual(self) -> float:
        """Mean of the window that raised it; the expected value for a statistic without a side."""
        return self.expected + self.detector.sign * self.size

    @property
    def ratio(self) -> float:
        """Ratio of the size to the record, at least 1."""
        low, high = sorted((self.size, self.record))
        return high / low if low > 0 else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """The judgement of n entries of k series.

    Attributes:
        expected: shape (n, k), NaN before the first known value.
        lower: shape (n, k), least value that is not a spike; NaN where unknown.
        upper: shape (n, k), largest value that is not a spike; NaN where unknown.
        excess: shape (n, k, m), logarithm of each statistic over its record; -inf where it is not judged.
        sizes: shape (n, k, m), logarithm of each statistic; NaN where unknown.
        records: shape (n, k, m), logarithm of its record.
        started: shape (n, k), whether an alarm starts.
        active: shape (n, k), whether an alarm is active.
        alarms: alarms that start, in order.
        activated: alarms that become active where none, or another one, was active before, in order.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    excess: Floats
    sizes: Floats
    records: Floats
    started: Flags
    active: Flags
    alarms: tuple[Alarm, ...]
    activated: tuple[Alarm, ...]


class LearnedBaseline:
    """The learned baseline of k series on one even grid.

    ``advance`` takes entries one by one or many at once, with the same result.

    Args:
        series: k.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        detectors: the m statistics.
    """

    def __init__(self, series: int, step: float, settings: BaselineSettings = SETTINGS) -> None:
        self._settings = settings
        self._expectation = Expectation(series, step, settings)
        self._bank = DetectorBank(series * len(_JUDGED), step, settings)
        normal = settings.normal_half_life / step
        self._size, self._movement = ExponentialMean(series, normal), ExponentialMean(series, normal)
        shortest, needed = max(1, round(settings.shortest_rest / step)), settings.rests_needed
        self._enough = settings.learning / step
        self._quiet_spells = tuple(
            QuietSpells(
                FadingRecord(series, normal, normal, settings.least_ratio),
                series,
                shortest,
                needed,
                settings.chance_of_rest,
                dense,
            )
            for dense in (math.inf, self._enough / 2)
        )
        self._known = np.zeros(series)
        self._latest = np.full(series, np.nan)
        self.detectors = (*self._bank.detectors, Detector(AnomalyKind.SILENCE, 0, 1), Detector(AnomalyKind.FLAT, 0, 1))
        self._controller = AlarmController(series, self.detectors, step, settings)
        self._edges = tuple(BandEdge((len(_JUDGED), series), normal, settings) for _ in range(2))

    @property
    def nbytes(self) -> int:
        """Bytes of state, without what Python adds to each object."""
        return sum(value.nbytes for value in _arrays(vars(self)))

    @property
    def judging(self) -> Flags:
        """Whether each series is known for long enough to be judged, shape (k,)."""
        judging: Flags = self._known >= self._enough
        return judging

    def advance(self, index: int, values: Floats) -> Judgement:
        """Judge entries that follow on those judged before, and learn from them.

        Args:
            index: number of the first entry on the grid: its Unix time over the step.
            values: shape (n, k), n ≥ 1, NaN where unknown; infinite and too large ones (``_LARGEST``) count as unknown.
        """
        values = np.where(np.abs(values) < _LARGEST, values, np.nan)
        each, chosen = self._expectation.advance(index, values)
        expected = selected(each, chosen)
        # The weekly shape is a correction of the daily one: both are judged by the same past.
        season = np.where(chosen == WEEKLY, each[:, WEEKLY], each[:, DAILY])
        each, chosen = np.stack([each[:, LEVEL], season], axis=1), np.minimum(chosen, DAILY)
        shape = (len(values), len(_JUDGED), values.shape[1], -1)
        least = self._settings.least * self._size.advance(np.abs(values))
        deviations = (values[:, None] - each).reshape(len(values), -1)
        windowed = [
            selected(one.reshape(shape), chosen[..., None])
            for one in self._bank.advance(deviations, np.tile(least, len(_JUDGED)))
        ]
        quiet = self._quiet_spell_sizes(values, least)
        excess, records, sizes = (np.concatenate(pair, axis=2) for pair in zip(windowed, quiet, strict=True))
        alarms = self._controller.advance(index, excess, sizes, records, np.isfinite(values))
        raised = tuple(self._alarms(index, alarms.raised, sizes, records, expected))
        deviations = np.where(alarms.active[:, None], np.nan, values[:, None] - each)
        below, above = (
            np.exp(selected(side.advance(sign * deviations), chosen) + alarms.thresholds)
            for sign, side in zip((-1, 1), self._edges, strict=True)
        )
        return Judgement(
            expected,
            expected - below,
            expected + above,
            excess,
            sizes,
            records,
            alarms.started,
            alarms.active,
            alarms=tuple(one for one in raised if alarms.started[one.index - index, one.series]),
            activated=tuple(one for one in raised if alarms.replaced[one.index - index, one.series]),
        )

    def peek(self, index: int) -> tuple[Floats, Floats, Floats]:
        """Return the expected value at a later entry, and the band around it; shape (k,) each."""
        expected, chosen = self._expectation.peek(index)
        below, above = (
            np.exp(selected(side.largest[None], np.minimum(chosen, DAILY)[None])[0] + self._controller.threshold)
            for side in self._edges
        )
        return expected, expected - below, expected + above

    def _quiet_spell_sizes(self, values: Floats, least: Floats) -> tuple[Floats, Floats, Floats]:
        """Return excess, record and length of the spells without bursts and without movement, shape (n, k, 2) each."""
        known = self._known + np.cumsum(np.isfinite(values), axis=0)
        moves = np.abs(np.diff(np.concatenate([self._latest[None], values]), axis=0))
        self._known, self._latest = known[-1], values[-1]
        usual = np.fmax(self._movement.advance(moves), least)
        excess, records, lengths = zip(
            *(
                quiet_spells.advance(np.where(np.isnan(moves), np.nan, moves > share * usual))
                for quiet_spells, share in zip(
                    self._quiet_spells, (self._settings.burst, self._settings.stir), strict=True
                )
            ),
            strict=True,
        )
        judged = np.where((known >= self._enough)[..., None], np.stack(excess, axis=2), -np.inf)
        return judged, np.stack(records, axis=2), np.stack(lengths, axis=2)

    def _alarms(self, index: int, raised: Indices, sizes: Floats, records: Floats, expected: Floats) -> Iterator[Alarm]:
        """Yield the alarms that start or become active, with their figures."""
        for entry, series in np.argwhere(raised != NONE).tolist():
            place = int(raised[entry, series])
            detector, record = self.detectors[place], math.exp(records[entry, series, place])
            size = math.exp(sizes[entry, series, place])
            lasting = round(size) if detector.kind in {AnomalyKind.SILENCE, AnomalyKind.FLAT} else detector.width
            if detector.kind is AnomalyKind.CALM:
                size, record = 1 / size, 1 / record
            yield Alarm(
                series,
                detector,
                index + entry,
                index + entry - lasting + 1,
                float(expected[entry, series]),
                size,
                record,
            )


def _arrays(parts: Mapping[str, object]) -> Iterator[npt.NDArray[Any]]:
    """Yield every array among these objects and their parts."""
    for part in parts.values():
        members = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else (part,)
        for member in members:
            if isinstance(member, np.ndarray):
                yield member
            elif isinstance(
                member,
                Expectation
                | DetectorBank
                | ExponentialMean
                | FadingRecord
                | QuietSpells
                | AlarmController
                | BandEdge
                | RecentEntries,
            ):
                yield from _arrays(vars(member))
