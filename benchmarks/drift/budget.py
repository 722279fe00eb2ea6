"""Windows found at a budget of alarm-hours outside of windows.

There are three ways to count alarm-hours. An alarm may cost the step at which it starts: these are the alarms that NAB
scores, and a hold-off reduces only their number. It may cost the first half hour that it is active. Or it may cost
every step that it is active, so that an alarm on an unlabelled level shift costs as long as the shift lasts.
"""

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
BEGIN_SECONDS = 1800.0
"""Seconds of an alarm that count in ``Spent.begin``."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a threshold finds and what it costs.

    Attributes:
        found: windows in which an alarm starts.
        raised: hours a month outside of windows, where an alarm counts for the step at which it starts.
        begin: the same where an alarm counts for as long as it is active, but for ``BEGIN_SECONDS`` at most.
        active: the same where an alarm counts for as long as it is active.
    """

    found: int
    raised: float
    begin: float
    active: float


def spend(series: Sequence[Labelled], alarms: Sequence[Alarms]) -> Spent:
    """Count over all files, probation included."""
    found, raised, begin, active, length = 0, 0.0, 0.0, 0.0, 0.0
    for one, its in zip(series, alarms, strict=True):
        outside = np.ones(len(one.times), bool)
        for first, last in one.windows:
            outside[first : last + 1] = False
            found += bool(((its.started >= first) & (its.started <= last)).any())
        raised += outside[its.started].sum() * one.step
        active += its.active_seconds[outside].sum()
        latest = np.searchsorted(its.started, np.arange(len(one.times)), side="right") - 1
        since = (
            np.where(latest >= 0, one.times - one.times[its.started[latest]], np.inf) if len(its.started) else np.inf
        )
        begin += its.active_seconds[outside & (since < BEGIN_SECONDS)].sum()
        length += one.times[-1] - one.times[0]
    months = length / _MONTH
    hours = (seconds / _HOUR / months for seconds in (raised, begin, active))
    return Spent(found, *hours)
