"""The band around the expected value: the largest deviation to either side while no alarm stood.

Records (``records``) include an anomaly as soon as its window is over. A band that did so would call an anomaly normal
while it lasts, so values under a standing alarm are left out of it.
"""

from __future__ import annotations

import math

import numpy as np

from twinops.core.baseline.records import ExponentialMean
from twinops.core.baseline.settings import BaselineSettings
from twinops.core.baseline.statistics import logarithm
from twinops.core.series import Floats


class BandEdge:
    """One edge of the band of k series, for each candidate judged of their expectation.

    Args:
        shape: (c, k), candidates judged and series.
        half_life: steps after which a deviation counts half.
        settings: the configuration.

    Attributes:
        largest: shape (c, k), logarithm of the largest deviation that is remembered.
    """

    def __init__(self, shape: tuple[int, int], half_life: float, settings: BaselineSettings) -> None:
        self._rate = math.log(2) / half_life
        self._floor = math.log(settings.floor)
        self._usual = ExponentialMean(math.prod(shape), half_life)
        self._seen = np.full(shape, -np.inf)
        self.largest = np.full(shape, -np.inf)

    def advance(self, left: Floats) -> Floats:
        """Take n entries; return the largest deviation before each of them, in logarithms, shape (n, c, k).

        Args:
            left: shape (n, c, k), deviations to this side; negative to the other one, NaN where they do not count.
        """
        sizes = logarithm(left)
        sizes[np.isnan(sizes)] = -np.inf
        usual = self._usual.advance(np.abs(left).reshape(len(left), -1)).reshape(left.shape)
        faded = self._rate * np.arange(1, len(left) + 1)[:, None, None]
        grown = np.concatenate([self._seen[None], sizes + faded])
        seen = np.maximum.accumulate(grown, axis=0)[1:] - faded
        self._seen = seen[-1]
        largest = np.fmax(seen, logarithm(usual) + self._floor)
        before = np.concatenate([self.largest[None], largest[:-1]])
        self.largest = largest[-1]
        return before
