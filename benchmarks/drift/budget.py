"""Windows found at a budget of alarm-hours outside of windows.

What a step in alarm is admits three readings. An alarm may cost the step at which it is raised: these are the alarms
that NAB scores, and only of them a hold-off makes fewer. It may cost the first half hour that it stands. Or it may
cost every step that it stands, so that an alarm on a level shift that is not labelled costs as long as the shift lasts.
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
RINGS = 1800.0
"""Seconds of an alarm that count where its begin counts."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What an alarm setting finds and what it costs.

    Attributes:
        found: windows in which an alarm begins.
        raised: hours a month outside of windows, where an alarm counts for the step at which it is raised.
        begin: the same where an alarm counts for as long as it stands, but for ``RINGS`` at most.
        standing: the same where an alarm counts for as long as it stands.
    """

    found: int
    raised: float
    begin: float
    standing: float


def spend(series: Sequence[Labelled], alarms: Sequence[Alarms]) -> Spent:
    """Count over all files, probation included."""
    found, raised, begin, standing, length = 0, 0.0, 0.0, 0.0, 0.0
    for one, its in zip(series, alarms, strict=True):
        outside = np.ones(len(one.times), bool)
        for first, last in one.windows:
            outside[first : last + 1] = False
            found += bool(((its.begun >= first) & (its.begun <= last)).any())
        raised += outside[its.begun].sum() * one.step
        standing += its.standing[outside].sum()
        latest = np.searchsorted(its.begun, np.arange(len(one.times)), side="right") - 1
        since = np.where(latest >= 0, one.times - one.times[its.begun[latest]], np.inf) if len(its.begun) else np.inf
        begin += its.standing[outside & (since < RINGS)].sum()
        length += one.times[-1] - one.times[0]
    months = length / _MONTH
    hours = (seconds / _HOUR / months for seconds in (raised, begin, standing))
    return Spent(found, *hours)
