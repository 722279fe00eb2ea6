"""The band around the expected value: the largest deviation to either side while no alarm was active.

Records (``records``) include an anomaly as soon as its window is over. A band that did so would include an anomaly
while it lasts, so values during an active alarm are excluded.
"""

from __future__ import annotations

import math

import numpy as np

from twinops.core.baseline.records import ExponentialMean
from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import logarithm
from twinops.core.series import Floats


class BandEdge:
    """One edge of the band of k series, for each judged candidate of their expectation.

    Args:
        shape: (c, k), judged candidates and series.
        half_life: steps after which a deviation counts half.
        settings: the configuration.

    Attributes:
        largest: shape (c, k), logarithm of the largest deviation so far, faded.
    """

    def __init__(self, shape: tuple[int, int], half_life: float, settings: BaselineSettings) -> None:
        self._rate = math.log(2) / half_life
        self._floor = math.log(settings.floor)
        self._usual = ExponentialMean(math.prod(shape), half_life)
        self._seen = np.full(shape, -np.inf)
        self.largest = np.full(shape, -np.inf)

    def advance(self, deviations: Floats) -> Floats:
        """Process n entries; return the largest deviation before each of them, in logarithms, shape (n, c, k).

        Args:
            deviations: shape (n, c, k), positive to this side, negative to the other one, NaN where they do not count.
        """
        sizes = logarithm(deviations)
        sizes[np.isnan(sizes)] = -np.inf
        usual = self._usual.advance(np.abs(deviations).reshape(len(deviations), -1)).reshape(deviations.shape)
        faded = self._rate * np.arange(1, len(deviations) + 1)[:, None, None]
        grown = np.concatenate([self._seen[None], sizes + faded])
        seen = np.maximum.accumulate(grown, axis=0)[1:] - faded
        self._seen = seen[-1]
        largest = np.fmax(seen, logarithm(usual) + self._floor)
        before = np.concatenate([self.largest[None], largest[:-1]])
        self.largest = largest[-1]
        return before
