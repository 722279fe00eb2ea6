"""When an anomaly becomes an alarm, how long the alarm stands, and the threshold that keeps to a budget.

The threshold of each series is tracked as adaptive conformal inference tracks its level (Gibbs and Candès
2021): every alarm raises it by one step, and time lowers it again at the rate of the budget, so that in the
long run no series raises more alarms than budgeted however its values behave. It never falls below the
least ratio, so that a quiet series does not come to raise alarms.

An alarm begins at one entry and stands while the anomaly lasts. It ends when a statistic is back at what the series had
shown before the alarm (``keepers`` says which statistic): soon after a spike, and at the end of a level shift. An
anomaly that returns to the same side within the hold-off begins no further alarm: the earlier one stands again, until
the hold-off is over, so that alarms do not flap. A spike may turn into a flat line or into missing activity.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import AnomalyKind, Detector
from twinops.core.series import Flags, Floats, Indices

NONE = -1
"""No statistic."""
_NEVER = -(2**62)


@dataclass(frozen=True, slots=True, eq=False)
class AlarmCourse:
    """The alarms of k series over n entries; shape (n, k) each.

    Attributes:
        begun: where an alarm begins.
        raised: which statistic raised the alarm that begins, or stands again, or turns into another; else ``NONE``.
        other: where that is another alarm than the one that stood before.
        standing: where an alarm stands.
        thresholds: threshold that the entry met.
    """

    begun: Flags
    raised: Indices
    other: Flags
    standing: Flags
    thresholds: Floats


class AlarmController:
    """Raises and ends the alarms of k series, and controls the threshold of each.

    Args:
        series: k.
        detectors: the m statistics of each.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        threshold: shape (k,), logarithm of the ratio beyond which an alarm begins.
        standing: shape (k,), which statistic raised the alarm that stands, ``NONE`` where none does.
        began: shape (k,), number on the grid of the latest alarm's begin.
    """

    def __init__(self, series: int, detectors: Sequence[Detector], step: float, settings: BaselineSettings) -> None:
        self.threshold = np.full(series, math.log(settings.ratio))
        self.standing = np.full(series, NONE, np.int64)
        self.began = np.full(series, _NEVER, np.int64)
        self._until = np.full(series, _NEVER, np.int64)
        self._before = np.full((series, len(detectors)), -np.inf, np.float32)
        self._latest = np.full(series, NONE, np.int64)
        self._reference = np.full(series, np.inf)
        self._rules = _rules(tuple(detectors), max(1, round(settings.spike / step)))
        self._least = math.log(settings.least_ratio)
        self._raise = math.log1p(settings.raise_share)
        self._fall = self._raise * step / settings.budget
        self._hold_off = math.ceil(settings.hold_off / step)

    def advance(self, index: int, excess: Floats, sizes: Floats, records: Floats, known: Flags) -> AlarmCourse:
        """Take n entries.

        Args:
            index: number of the first entry on the grid.
            excess: shape (n, k, m), logarithm of each statistic over its record, -inf where not judged.
            sizes: shape (n, k, m), logarithm of each statistic, NaN where unknown.
            records: shape (n, k, m), logarithm of its record.
            known: shape (n, k), where there is a value; where none is, what stands goes on standing.
        """
        before = np.concatenate([self._before[None], excess[:-1]])
        shape = excess.shape[:2]
        begun, other, standing = (np.zeros(shape, bool) for _ in range(3))
        raised, thresholds = np.full(shape, NONE, np.intp), np.empty(shape)
        # While no alarm stands, the threshold only falls between notable entries.
        notable: Flags = np.any(excess > self._least, axis=2)
        for series in range(excess.shape[1]):
            start = 0
            for entry in (*self._visits(series, notable[:, series]), len(excess) - 1):
                stop = entry + 1
                met = np.maximum(self.threshold[series] - self._fall * np.arange(1, stop - start + 1), self._least)
                if stop > start:
                    thresholds[start:stop, series], self.threshold[series] = met, met[-1]
                    # The last entry is here in any case, visited or not: to meet it is harmless.
                    if known[entry, series]:
                        was = self.standing[series]
                        begun[entry, series], raised[entry, series] = self._meet(
                            series,
                            index + entry,
                            excess[entry, series],
                            before[entry, series],
                            sizes[entry, series],
                            records[entry, series],
                        )
                        place = raised[entry, series]
                        other[entry, series] = place != NONE and (was == NONE or not self._rules.alike[was, place])
                    standing[entry, series] = self.standing[series] != NONE
                start = stop
        self._before = excess[-1].astype(np.float32)
        return AlarmCourse(begun, raised, other, standing, thresholds)

    def _visits(self, series: int, notable: Flags) -> Iterator[int]:
        """Yield the entries at which something may happen, each one after the one before has been met."""
        events, entry = np.flatnonzero(notable), 0
        while entry < len(notable):
            if self.standing[series] == NONE:
                place = np.searchsorted(events, entry)
                if place == len(events):
                    return
                entry = int(events[place])
            yield entry
            entry += 1

    def _meet(
        self, series: int, index: int, now: Floats, then: Floats, sizes: Floats, records: Floats
    ) -> tuple[bool, int]:
        """Take one entry of one series; return whether an alarm begins, and which statistic has raised one."""
        threshold, stands = self.threshold[series], self.standing[series]
        over = stands == NONE or sizes[self._rules.keeper[stands]] <= self._reference[series]
        rising = (now > threshold) & (then <= threshold)
        if rising.any():
            raised, latest = int(np.argmax(np.where(rising, now, -np.inf))), self._latest[series]
            if index - self.began[series] >= self._hold_off:
                self.began[series], self.threshold[series] = index, threshold + self._raise
                self._stand(series, raised, records[raised])
                return True, raised
            if self._rules.again[latest, raised]:
                if over:
                    self._until[series] = self.began[series] + self._hold_off
                # The records of narrow windows know the anomaly by now, those of wider ones not yet.
                if over or self._rules.widths[raised] > self._rules.widths[latest]:
                    self._stand(series, raised, records[raised])
                return False, raised
            if over and self._rules.turns[latest, raised]:
                self._stand(series, raised, records[raised])
                return False, raised
        if stands != NONE and over and index >= self._until[series]:
            self.standing[series] = NONE
        return False, NONE

    def _stand(self, series: int, raised: int, record: float) -> None:
        self.standing[series] = self._latest[series] = raised
        self._reference[series] = record + self._rules.share[raised]


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """What follows from m statistics alone; one for all twins that watch the same ones.

    Attributes:
        widths: windows in steps, shape (m,).
        alike: which of them show the same anomaly, shape (m, m).
        again: what of the one may show that the other is back, shape (m, m).
        turns: what of the one may turn out to be the other, shape (m, m).
        keeper: which tells that what each one raised is over, shape (m,).
        share: logarithm of the share of the record at which it does, shape (m,).
    """

    widths: Indices
    alike: Flags
    again: Flags
    turns: Flags
    keeper: Indices
    share: Floats


@functools.cache
def _rules(detectors: tuple[Detector, ...], brief: int) -> _Rules:
    alike = np.array([[_alike(one, other) for other in detectors] for one in detectors])
    return _Rules(
        np.array([detector.width for detector in detectors]),
        alike,
        alike & [_prompt(detector, brief, detectors) for detector in detectors],
        np.array([[_turns(one, other) for other in detectors] for one in detectors]),
        *keepers(detectors, brief),
    )


def _alike(one: Detector, other: Detector) -> bool:
    return one.sign == other.sign and (one.sign != 0 or one.kind is other.kind)


def _prompt(detector: Detector, brief: int, detectors: Sequence[Detector]) -> bool:
    """Tell whether a statistic shows the present, rather than a spike that its window still holds."""
    if detector.sign:
        return detector.clipped or detector.width <= brief
    return detector.width == min(one.width for one in detectors if one.kind is detector.kind)


def _turns(one: Detector, other: Detector) -> bool:
    """Tell whether what began as the one may turn out to be the other."""
    return one.kind is AnomalyKind.SPIKE and other.kind in {AnomalyKind.FLAT, AnomalyKind.SILENCE}


def keepers(detectors: Sequence[Detector], brief: int) -> tuple[Indices, Floats]:
    """Return which statistic tells that what each one raised is over, and at which share of the record.

    A spike is over when the mean over its length is back under the record. What a mean over hours has raised is
    over when the mean of the last hour is under half of it: the window itself would know hours later. Of what has
    no side, the window itself tells.

    Returns:
        Places, and logarithms of shares; shape (m,) each.
    """
    hour = min((detector.width for detector in detectors if detector.sign and detector.width > brief), default=brief)
    places, shares = [], []
    for place, raised in enumerate(detectors):
        width = brief if raised.width < brief else min(raised.width, hour)
        keeper = place
        if raised.sign:
            keeper = next(k for k, one in enumerate(detectors) if (one.sign, one.width) == (raised.sign, width))
        places.append(keeper)
        shares.append(math.log(0.5) if detectors[keeper].width < raised.width else 0.0)
    return np.array(places), np.array(shares)
