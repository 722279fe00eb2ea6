"""When an anomaly becomes an alarm, how long the alarm stands, and the threshold that keeps to a budget.

The threshold of each series is tracked as adaptive conformal inference tracks its level (Gibbs and Candès
2021): every alarm raises it by one step, and time lowers it again at the rate of the budget, so that in the
long run no series raises more alarms than budgeted however its values behave. It never falls below the
least ratio: a series that keeps quiet is not made to raise alarms.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from twinops.core.baseline.settings import BaselineSettings
from twinops.core.observation import Floats

Bools = npt.NDArray[np.bool_]

NONE = -1
_NEVER = -(2**62)


class Raiser:
    """Raises and ends the alarms of k series.

    Args:
        series: k.
        watched: m, statistics watched of each.
        step: seconds between two entries.
        settings: the configuration.

    Attributes:
        threshold: shape (k,), logarithm of the ratio beyond which an alarm begins.
        standing: shape (k,), which statistic raised the alarm that stands, ``NONE`` where none does.
        began: shape (k,), number on the grid of the latest alarm's begin.
    """

    def __init__(self, series: int, watched: int, step: float, settings: BaselineSettings) -> None:
        self.threshold = np.full(series, math.log(settings.ratio))
        self.standing = np.full(series, NONE, np.int64)
        self.began = np.full(series, _NEVER, np.int64)
        self._before = np.full((series, watched), -np.inf)
        self._least = math.log(settings.least_ratio)
        self._raise = math.log1p(settings.raise_share)
        self._fall = self._raise * step / settings.budget
        self._hold_off = math.ceil(settings.hold_off / step)
        self._back = math.log(settings.well_back)

    def advance(self, index: int, excess: Floats) -> tuple[Bools, Bools, Floats]:
        """Take n entries.

        Args:
            index: number of the first entry on the grid.
            excess: shape (n, k, m), logarithm of each statistic over its record, -inf where not judged.

        Returns:
            Where alarms begin, where they stand, and the threshold that each entry met; shape (n, k) each.
        """
        before = np.concatenate([self._before[None], excess[:-1]])
        begun, standing = np.zeros(excess.shape[:2], bool), np.zeros(excess.shape[:2], bool)
        thresholds = np.empty(excess.shape[:2])
        # Between notable entries nothing happens but the threshold's fall; an alarm may end right after one.
        notable: Bools = np.any(excess > self._least + self._back, axis=2)
        follow = notable | np.concatenate([(self.standing != NONE)[None], notable[:-1]])
        for series in range(excess.shape[1]):
            events = np.flatnonzero(follow[:, series])
            start = 0
            for stop in sorted({*(events + 1).tolist(), len(excess)}):
                met = np.maximum(self.threshold[series] - self._fall * np.arange(1, stop - start + 1), self._least)
                thresholds[start:stop, series], self.threshold[series] = met, met[-1]
                start, entry = stop, stop - 1
                if follow[entry, series]:
                    begun[entry, series] = self._meet(
                        series, index + entry, excess[entry, series], before[entry, series]
                    )
                    standing[entry, series] = self.standing[series] != NONE
        self._before = excess[-1]
        return begun, standing, thresholds

    def _meet(self, series: int, index: int, now: Floats, then: Floats) -> bool:
        """Take one entry of one series; return whether an alarm begins."""
        threshold = self.threshold[series]
        rising = (now > threshold) & (then <= threshold)
        if rising.any() and index - self.began[series] >= self._hold_off:
            self.standing[series], self.began[series] = int(np.argmax(np.where(rising, now, -np.inf))), index
            self.threshold[series] += self._raise
            return True
        if self.standing[series] != NONE and now.max() <= self._least + self._back:
            self.standing[series] = NONE
        return False
