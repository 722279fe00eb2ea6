"""The forecast of one metric at one horizon, and the constants that define it."""

from __future__ import annotations

import math
from dataclasses import dataclass

QUANTILES = (0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95)
"""Levels at which every forecast gives its quantiles."""

MIN_SAMPLES = 10
"""With fewer known samples there is no forecast."""

MIN_CHECKS = 30
"""With fewer matured checks there is no confidence."""


@dataclass(frozen=True, slots=True)
class HorizonForecast:
    """The forecast for one horizon.

    Attributes:
        horizon_seconds: how far ahead.
        quantiles: one value per level of ``QUANTILES``, not decreasing.
        confidence: 1 - error relative to naive on the same past, 0..1; None before ``MIN_CHECKS``.
        checks: number of matured past forecasts that confidence and width are measured on.
        calibrated: whether ``checks`` reached ``MIN_CHECKS``.
    """

    horizon_seconds: int
    quantiles: tuple[float, ...]
    confidence: float | None
    checks: int
    calibrated: bool

    @property
    def median(self) -> float:
        """The .5 quantile."""
        return self.quantiles[4]

    @property
    def lower(self) -> float:
        """The .05 quantile."""
        return self.quantiles[0]

    @property
    def upper(self) -> float:
        """The .95 quantile."""
        return self.quantiles[-1]

    @property
    def finite(self) -> bool:
        """Tell whether every quantile is a finite number."""
        return all(math.isfinite(value) for value in self.quantiles)
