"""Windows found at a budget of alarm-hours outside of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.drift.detectors import Alarms
from benchmarks.drift.series import Labelled

HOURS_PER_MONTH = 1.0
"""Alarm-hours outside of windows that a 30-day month may have, pooled over all files."""
_MONTH = 30 * 86400.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What an alarm setting finds and what it costs.

    Attributes:
        found: windows in which an alarm begins.
        raised: hours a month outside of windows, where an alarm counts for the step at which it is raised.
        standing: the same where an alarm counts for as long as it stands.
    """

    found: int
    raised: float
    standing: float


def spend(series: Sequence[Labelled], alarms: Sequence[Alarms]) -> Spent:
    """Count over all files, probation included."""
    found, raised, standing, length = 0, 0.0, 0.0, 0.0
    for one, its in zip(series, alarms, strict=True):
        outside = np.ones(len(one.times), bool)
        for first, last in one.windows:
            outside[first : last + 1] = False
            found += bool(((its.begun >= first) & (its.begun <= last)).any())
        raised += outside[its.begun].sum() * one.step
        standing += its.standing[outside].sum()
        length += one.times[-1] - one.times[0]
    months = length / _MONTH
    return Spent(found, raised / _HOUR / months, standing / _HOUR / months)
