"""The learned baseline of k series, from values to alarms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinops.core.baseline.alarms import Bools, Raiser
from twinops.core.baseline.expectation import CANDIDATES, Expectation, believed
from twinops.core.baseline.panel import Panel
from twinops.core.baseline.records import FadingMean, Record, Rests
from twinops.core.baseline.settings import SETTINGS, BaselineSettings
from twinops.core.baseline.statistics import Kind, Watch
from twinops.core.observation import Floats

_LARGEST = 1e30
"""Values from here on would not fit the tails, which are float32."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as it begins.

    Attributes:
        series: which of the k series.
        watch: what raised it.
        index: number on the grid of the entry that raised it.
        since: number on the grid of the first entry of the window, or of the rest, that raised it.
        expected: what was expected at ``index``.
        size: of what raised it: a mean deviation or movement in the metric's unit, or a rest in entries.
        record: the largest such size before (the least, of a calm).
    """

    series: int
    watch: Watch
    index: int
    since: int
    expected: float
    size: float
    record: float

    @property
    def actual(self) -> float:
        """Mean of the window that raised it; what was expected where it has no side."""
        return self.expected + self.watch.sign * self.size

    @property
    def ratio(self) -> float:
        """How many times the record it is."""
        low, high = sorted((self.size, self.record))
        return high / low if low > 0 else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What the baseline says of n entries of k series.

    Attributes:
        expected: shape (n, k), NaN where nothing is known yet.
        lower: shape (n, k), least value that is no spike; NaN where unknown.
        upper: shape (n, k), largest value that is no spike; NaN where unknown.
        excess: shape (n, k, m), logarithm of each statistic over its record; -inf where it is not judged.
        begun: shape (n, k), where an alarm begins.
        standing: shape (n, k), where an alarm stands.
        alarms: those that begin, in order.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    excess: Floats
    begun: Bools
    standing: Bools
    alarms: tuple[Alarm, ...]


class LearnedBaseline:
    """What is normal for k series on one even grid.

    ``advance`` may be given entries one by one or many at once: the answers are the same.

    Args:
        series: k.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        watches: what the m statistics are.
    """

    def __init__(self, series: int, step: float, settings: BaselineSettings = SETTINGS) -> None:
        self._settings = settings
        self._expectation = Expectation(series, step, settings)
        self._panel = Panel(series * CANDIDATES, step, settings)
        normal = settings.normal_half_life / step
        self._size, self._movement = FadingMean(series, normal), FadingMean(series, normal)
        shortest, needed = max(1, round(settings.shortest_rest / step)), settings.rests_needed
        self._enough = settings.learning / step
        self._rests = tuple(
            Rests(
                Record(series, normal, normal, settings.least_ratio),
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
        self.watches = (*self._panel.watches, Watch(Kind.SILENCE, 0, 1), Watch(Kind.FLAT, 0, 1))
        self._raiser = Raiser(series, len(self.watches), step, settings)
        self._record = np.full((series, len(self.watches)), -np.inf)
        self._single = [self.watches.index(Watch(Kind.SPIKE, sign, 1)) for sign in (-1, 1)]

    @property
    def nbytes(self) -> int:
        """Bytes of state, without what Python adds to each object."""
        return sum(value.nbytes for value in _arrays(vars(self)))

    def advance(self, index: int, values: Floats) -> Judgement:
        """Judge entries that follow on those judged before, and learn from them.

        Args:
            index: number of the first entry on the grid: its Unix time over the step.
            values: shape (n, k), n ≥ 1, NaN where unknown; infinite and absurdly large ones count as unknown.
        """
        values = np.where(np.abs(values) < _LARGEST, values, np.nan)
        shape = (len(values), CANDIDATES, values.shape[1], -1)
        each, chosen = self._expectation.advance(index, values)
        expected = believed(each, chosen)
        least = self._settings.least * self._size.advance(np.abs(values))
        left = (values[:, None] - each).reshape(len(values), -1)
        windowed = [
            believed(one.reshape(shape), chosen[..., None])
            for one in self._panel.advance(left, np.tile(least, CANDIDATES))
        ]
        resting = self._resting(values, least)
        excess, records = (np.concatenate(pair, axis=2) for pair in zip(windowed, resting, strict=True))
        begun, standing, thresholds = self._raiser.advance(index, excess)
        alarms = tuple(self._alarms(index, begun, excess, records, expected))
        self._record = records[-1]
        below, above = (np.exp(records[:, :, place] + thresholds) for place in self._single)
        return Judgement(expected, expected - below, expected + above, excess, begun, standing, alarms)

    def peek(self, index: int) -> tuple[Floats, Floats, Floats]:
        """Return what is expected at one entry to come, and the band around it; shape (k,) each."""
        expected = self._expectation.peek(index)
        below, above = (np.exp(self._record[:, place] + self._raiser.threshold) for place in self._single)
        return expected, expected - below, expected + above

    def _resting(self, values: Floats, least: Floats) -> tuple[Floats, Floats]:
        """Return excess and record of the rests from bursts and from any movement, shape (n, k, 2) each."""
        known = self._known + np.cumsum(np.isfinite(values), axis=0)
        moves = np.abs(np.diff(np.concatenate([self._latest[None], values]), axis=0))
        self._known, self._latest = known[-1], values[-1]
        usual = np.fmax(self._movement.advance(moves), least)
        excess, records = zip(
            *(
                rests.advance(np.where(np.isnan(moves), np.nan, moves > share * usual))
                for rests, share in zip(self._rests, (self._settings.burst, self._settings.stir), strict=True)
            ),
            strict=True,
        )
        return np.where((known >= self._enough)[..., None], np.stack(excess, axis=2), -np.inf), np.stack(
            records, axis=2
        )

    def _alarms(self, index: int, begun: Bools, excess: Floats, records: Floats, expected: Floats) -> Iterator[Alarm]:
        """Describe the alarms that begin."""
        for entry, series in np.argwhere(begun).tolist():
            place = int(np.argmax(excess[entry, series]))
            watch, record = self.watches[place], math.exp(records[entry, series, place])
            size = record * math.exp(excess[entry, series, place])
            lasting = round(size) if watch.kind in {Kind.SILENCE, Kind.FLAT} else watch.width
            if watch.kind is Kind.CALM:
                size, record = 1 / size, 1 / record
            yield Alarm(
                series, watch, index + entry, index + entry - lasting + 1, float(expected[entry, series]), size, record
            )


def _arrays(parts: Mapping[str, object]) -> Iterator[npt.NDArray[Any]]:
    """Yield every array among these objects, and among those that they consist of."""
    for part in parts.values():
        members = part if isinstance(part, list | tuple) else (part,)
        for member in members:
            if isinstance(member, np.ndarray):
                yield member
            elif isinstance(member, Expectation | Panel | FadingMean | Record | Rests | Raiser):
                yield from _arrays(vars(member))
