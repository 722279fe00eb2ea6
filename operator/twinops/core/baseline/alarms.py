"""When an anomaly raises an alarm, how long the alarm is active, and the threshold that keeps to a budget.

The threshold of each series is tracked as adaptive conformal inference tracks its level (Gibbs and Candès
2021): every alarm raises it by one step, and it falls over time at the rate of the budget, so that in the
long run no series raises more alarms than budgeted however its values behave. It never falls below the
least ratio, so that a quiet series does not raise alarms on ordinary values.

An alarm starts at one entry and is active while the anomaly lasts. It ends when a statistic is back at its record from
before the alarm (``end_detectors`` selects the statistic): soon after a spike, and at the end of a level shift. An
anomaly that returns to the same side within the hold-off starts no further alarm: the earlier one becomes active again
until the hold-off is over, so that alarms do not flap. A spike may turn into a flat line or into missing activity.
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
"""Place of no statistic."""
_NEVER = -(2**62)


@dataclass(frozen=True, slots=True, eq=False)
class AlarmStates:
    """The alarms of k series over n entries; shape (n, k) each.

    Attributes:
        started: whether an alarm starts.
        raised: place of the statistic that raised the alarm that starts, becomes active again or turns into another
            one; else ``NONE``.
        replaced: whether that alarm differs from the active one of the entry before, if any.
        active: whether an alarm is active.
        thresholds: threshold in force at the entry.
    """

    started: Flags
    raised: Indices
    replaced: Flags
    active: Flags
    thresholds: Floats


class AlarmController:
    """Starts and ends the alarms of k series, and controls the threshold of each.

    Args:
        series: k.
        detectors: the m statistics of each.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        threshold: shape (k,), logarithm of the ratio beyond which an alarm starts.
        active: shape (k,), place of the statistic that raised the active alarm, ``NONE`` without one.
        started_at: shape (k,), number on the grid of the entry that started the latest alarm.
    """

    def __init__(self, series: int, detectors: Sequence[Detector], step: float, settings: BaselineSettings) -> None:
        self.threshold = np.full(series, math.log(settings.ratio))
        self.active = np.full(series, NONE, np.int64)
        self.started_at = np.full(series, _NEVER, np.int64)
        self._until = np.full(series, _NEVER, np.int64)
        self._before = np.full((series, len(detectors)), -np.inf, np.float32)
        self._latest = np.full(series, NONE, np.int64)
        self._end_level = np.full(series, np.inf)
        self._rules = _rules(tuple(detectors), max(1, round(settings.spike / step)))
        self._least = math.log(settings.least_ratio)
        self._raise = math.log1p(settings.raise_share)
        self._fall = self._raise * step / settings.budget
        self._hold_off = math.ceil(settings.hold_off / step)

    def advance(self, index: int, excess: Floats, sizes: Floats, records: Floats, known: Flags) -> AlarmStates:
        """Process n entries.

        Args:
            index: number of the first entry on the grid.
            excess: shape (n, k, m), logarithm of each statistic over its record, -inf where not judged.
            sizes: shape (n, k, m), logarithm of each statistic, NaN where unknown.
            records: shape (n, k, m), logarithm of its record.
            known: shape (n, k), whether there is a value; without one, an active alarm remains active.
        """
        before = np.concatenate([self._before[None], excess[:-1]])
        shape = excess.shape[:2]
        started, replaced, active = (np.zeros(shape, bool) for _ in range(3))
        raised, thresholds = np.full(shape, NONE, np.intp), np.empty(shape)
        # While no alarm is active, the threshold only falls between notable entries.
        notable: Flags = np.any(excess > self._least, axis=2)
        for series in range(excess.shape[1]):
            start = 0
            for entry in (*self._entries_to_update(series, notable[:, series]), len(excess) - 1):
                stop = entry + 1
                thresholds_met = np.maximum(
                    self.threshold[series] - self._fall * np.arange(1, stop - start + 1), self._least
                )
                if stop > start:
                    thresholds[start:stop, series], self.threshold[series] = thresholds_met, thresholds_met[-1]
                    # The last entry comes in any case; where nothing can happen, updating it changes nothing.
                    if known[entry, series]:
                        before_entry = self.active[series]
                        started[entry, series], raised[entry, series] = self._update(
                            series,
                            index + entry,
                            excess[entry, series],
                            before[entry, series],
                            sizes[entry, series],
                            records[entry, series],
                        )
                        place = raised[entry, series]
                        replaced[entry, series] = place != NONE and (
                            before_entry == NONE or not self._rules.same[before_entry, place]
                        )
                    active[entry, series] = self.active[series] != NONE
                start = stop
        self._before = excess[-1].astype(np.float32)
        return AlarmStates(started, raised, replaced, active, thresholds)

    def _entries_to_update(self, series: int, notable: Flags) -> Iterator[int]:
        """Yield the entries at which an alarm may start or end; each must be processed before the next is asked for."""
        events, entry = np.flatnonzero(notable), 0
        while entry < len(notable):
            if self.active[series] == NONE:
                place = np.searchsorted(events, entry)
                if place == len(events):
                    return
                entry = int(events[place])
            yield entry
            entry += 1

    def _update(
        self, series: int, index: int, now: Floats, then: Floats, sizes: Floats, records: Floats
    ) -> tuple[bool, int]:
        """Process one entry of one series; return whether an alarm starts, and the statistic that raised one."""
        threshold, active = self.threshold[series], self.active[series]
        ended = active == NONE or sizes[self._rules.end_detector[active]] <= self._end_level[series]
        rising = (now > threshold) & (then <= threshold)
        if rising.any():
            raised, latest = int(np.argmax(np.where(rising, now, -np.inf))), self._latest[series]
            if index - self.started_at[series] >= self._hold_off:
                self.started_at[series], self.threshold[series] = index, threshold + self._raise
                self._activate(series, raised, records[raised])
                return True, raised
            if self._rules.returns[latest, raised]:
                if ended:
                    self._until[series] = self.started_at[series] + self._hold_off
                # The records of narrow windows include the anomaly by now, those of wider ones not yet.
                if ended or self._rules.widths[raised] > self._rules.widths[latest]:
                    self._activate(series, raised, records[raised])
                return False, raised
            if ended and self._rules.becomes[latest, raised]:
                self._activate(series, raised, records[raised])
                return False, raised
        if active != NONE and ended and index >= self._until[series]:
            self.active[series] = NONE
        return False, NONE

    def _activate(self, series: int, raised: int, record: float) -> None:
        self.active[series] = self._latest[series] = raised
        self._end_level[series] = record + self._rules.end_share[raised]


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """What follows from m statistics alone; shared by all twins with the same statistics.

    Attributes:
        widths: windows in steps, shape (m,).
        same: whether two of them show the same anomaly, shape (m, m).
        returns: whether the second shows that an anomaly raised by the first has returned, shape (m, m).
        becomes: whether an anomaly raised by the first may turn into one of the second, shape (m, m).
        end_detector: place of the statistic that ends the alarm raised by each, shape (m,).
        end_share: logarithm of the share of the record at which it does, shape (m,).
    """

    widths: Indices
    same: Flags
    returns: Flags
    becomes: Flags
    end_detector: Indices
    end_share: Floats


@functools.cache
def _rules(detectors: tuple[Detector, ...], brief: int) -> _Rules:
    same = np.array([[_same(one, other) for other in detectors] for one in detectors])
    return _Rules(
        np.array([detector.width for detector in detectors]),
        same,
        same & [_shows_present(detector, brief, detectors) for detector in detectors],
        np.array([[_may_become(one, other) for other in detectors] for one in detectors]),
        *end_detectors(detectors, brief),
    )


def _same(one: Detector, other: Detector) -> bool:
    return one.sign == other.sign and (one.sign != 0 or one.kind is other.kind)


def _shows_present(detector: Detector, brief: int, detectors: Sequence[Detector]) -> bool:
    """Return whether a statistic shows the present, rather than a spike that its window still contains."""
    if detector.sign:
        return detector.clipped or detector.width <= brief
    return detector.width == min(one.width for one in detectors if one.kind is detector.kind)


def _may_become(one: Detector, other: Detector) -> bool:
    """Return whether an alarm raised by the one may turn into an alarm of the other."""
    return one.kind is AnomalyKind.SPIKE and other.kind in {AnomalyKind.FLAT, AnomalyKind.SILENCE}


def end_detectors(detectors: Sequence[Detector], brief: int) -> tuple[Indices, Floats]:
    """Return which statistic ends the alarm that each one raised, and at which share of the record.

    A spike is over when the mean over its length is back under the record. An alarm of a mean over hours is over when
    the mean of the last hour is under half of the record: the window itself would fall hours later. An alarm of a
    statistic without a side ends by the statistic itself.

    Args:
        detectors: the m statistics.
        brief: longest spike in steps.

    Returns:
        Places of statistics, and logarithms of shares; shape (m,) each.
    """
    hour = min((detector.width for detector in detectors if detector.sign and detector.width > brief), default=brief)
    places, shares = [], []
    for place, raised in enumerate(detectors):
        width = brief if raised.width < brief else min(raised.width, hour)
        end_detector = place
        if raised.sign:
            end_detector = next(k for k, one in enumerate(detectors) if (one.sign, one.width) == (raised.sign, width))
        places.append(end_detector)
        shares.append(math.log(0.5) if detectors[end_detector].width < raised.width else 0.0)
    return np.array(places), np.array(shares)
