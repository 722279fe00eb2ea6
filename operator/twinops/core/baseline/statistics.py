"""The statistics of a series: sizes of deviation, movement and lack of movement over minutes and hours.

Each statistic is a size ≥ 0 for which large is unusual. Means over several windows detect what a single value
cannot show: a small but lasting shift, many ordinary spikes in a row, unusually much or little movement. Clipped
means (Huber 1964) limit the weight of a spike: they detect a level shift that daily spikes would hide otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from twinops.core.baseline.settings import BaselineSettings
from twinops.core.series import Floats


class AnomalyKind(StrEnum):
    """The kind of an anomaly."""

    SPIKE = "spike"
    SHIFT = "level shift"
    VARIANCE = "increased variance"
    CALM = "decreased variance"
    FLAT = "flat line"
    SILENCE = "missing activity"


@dataclass(frozen=True, slots=True)
class Detector:
    """One statistic that can raise an alarm.

    Attributes:
        kind: of the anomalies that it shows.
        sign: +1 above and -1 below the expected value, 0 without a side.
        width: window in steps.
        clipped: whether deviations are clipped before they are averaged.
    """

    kind: AnomalyKind
    sign: int
    width: int
    clipped: bool = False


def detectors(step: float, settings: BaselineSettings) -> tuple[Detector, ...]:
    """Return the windowed statistics on a grid of this many seconds; windows that coincide are one."""

    def widths(*windows: float) -> list[int]:
        return sorted({max(1, round(window / step)) for window in windows})

    sides = (1, -1)
    brief = round(settings.spike / step)
    deviations = [
        Detector(AnomalyKind.SPIKE if width <= max(brief, 1) else AnomalyKind.SHIFT, sign, width)
        for width in widths(step, *settings.deviation_windows)
        for sign in sides
    ]
    shifts = [
        Detector(AnomalyKind.SHIFT, sign, width, clipped=True)
        for width in widths(*settings.shift_windows)
        for sign in sides
    ]
    movements = [Detector(AnomalyKind.VARIANCE, 0, width) for width in widths(*settings.movement_windows) if width > 1]
    calms = [Detector(AnomalyKind.CALM, 0, width) for width in widths(settings.calm_window) if width > 1]
    return (*deviations, *shifts, *movements, *calms)


def window_means(values: Floats, width: int, unknown: Floats | float) -> Floats:
    """Return the mean of the latest ``width`` entries along axis 0, with a neutral value for unknown ones.

    In a mean of the known entries alone one spike among few of them would look like many.

    Args:
        values: shape (n, …), NaN where unknown.
        width: entries of the window.
        unknown: value of unknown entries, to be broadcast against ``values``.

    Returns:
        Shape (n, …); NaN where less than half of the window is known, as at the start.
    """
    if width == 1:
        return values
    known = np.isfinite(values)
    counts = _window_sums(known.astype(np.float64), width)
    total = _window_sums(np.where(known, values, unknown), width)
    return np.where(counts * 2 >= width, total / width, np.nan)


def _window_sums(values: Floats, width: int) -> Floats:
    sums = np.cumsum(values, axis=0)
    sums[width:] -= sums[:-width].copy()
    return sums


def logarithm(sizes: Floats) -> Floats:
    """Return the natural logarithm, -inf for 0 and below, NaN for NaN."""
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.maximum(sizes, 0.0))
    return logs
