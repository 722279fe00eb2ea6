"""The learned baseline of one twin, fed by its syncs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from twinops.core.baseline.learner import Alarm, LearnedBaseline
from twinops.core.baseline.settings import SETTINGS, BaselineSettings
from twinops.core.series import Floats, Series

_LONGEST_GAP = 2
"""Gaps longer than this many times the normal half-life start the baseline anew."""


@dataclass(frozen=True, slots=True)
class BaselineEstimate:
    """The expected value and band of one metric at one time, and its alarm.

    Attributes:
        expected: expected value, None as long as too little history is known to judge anything.
        lower: least value that is not a spike, None likewise.
        upper: largest value that is not a spike, None likewise.
        alarm: the active alarm, None without one.
        since: begin of the alarm's unusual window, Unix seconds, None without an alarm.
        step: seconds of one entry of the baseline's grid.
    """

    expected: float | None
    lower: float | None
    upper: float | None
    alarm: Alarm | None = None
    since: float | None = None
    step: float = SETTINGS.step


class TwinBaseline:
    """The learned baseline of each metric of a twin.

    Values are averaged onto the baseline's grid; an entry is judged when it is complete. The state is a cache: after a
    restart ``learn`` rebuilds it from the metrics' history.

    Args:
        metrics: their names.
        interval: seconds between the twin's syncs.
        settings: the configuration.
    """

    def __init__(self, metrics: Iterable[str], interval: float, settings: BaselineSettings = SETTINGS) -> None:
        self.metrics = tuple(metrics)
        self.step = max(interval, settings.step)
        self._settings = settings
        self._restart(None)

    def _restart(self, slot: int | None) -> None:
        count = len(self.metrics)
        self._baseline = LearnedBaseline(count, self.step, self._settings)
        self._slot = slot
        self._estimated: tuple[int, dict[str, BaselineEstimate]] | None = None
        self._sums = np.zeros((2, count))
        self._alarms: list[Alarm | None] = [None] * count
        # Metrics that were never below 0, as counts and sizes, are not expected to be.
        self._least = np.full(count, np.inf)

    @property
    def nbytes(self) -> int:
        """Bytes of state, without what Python adds to each object."""
        return self._baseline.nbytes + self._sums.nbytes + self._least.nbytes

    def learn(self, history: Mapping[str, Series], until: float) -> dict[str, BaselineEstimate]:
        """Learn from recorded history, all metrics at once, and return the estimates at the end of it.

        Args:
            history: by metric; a metric without history is unknown at all times.
            until: Unix seconds; values from then on are ignored.
        """
        known = [series for name, series in history.items() if name in self.metrics and len(series.times)]
        if not known:
            return {}
        first = int(min(series.times[0] for series in known) // self.step)
        last = int(until // self.step)
        if last <= first:
            return {}
        values = np.full((last - first, len(self.metrics)), np.nan)
        for column, name in enumerate(self.metrics):
            if name in history:
                values[:, column] = _onto_grid(history[name], first, last, self.step)
        self._restart(last)
        self._take(first, values)
        return self._estimates(last)

    def observe(self, now: float, values: Mapping[str, float | None]) -> dict[str, BaselineEstimate]:
        """Add the fresh values of one sync and return the estimates.

        Args:
            now: Unix seconds.
            values: by metric; None, NaN or left out where there is no fresh value. Censored values are left out.
        """
        slot = int(now // self.step)
        if self._slot is None or slot > self._slot:
            self._close(slot)
            self._estimated = None
        fresh = np.array([_finite(values.get(name)) for name in self.metrics])
        self._sums += [np.nan_to_num(fresh), np.isfinite(fresh)]
        # Within a slot nothing is judged: the estimates are those of its first sync.
        if self._estimated is None or self._estimated[0] != slot:
            self._estimated = slot, self._estimates(slot)
        return self._estimated[1]

    def _close(self, slot: int) -> None:
        """Judge the entries that are complete."""
        if self._slot is None:
            self._slot = slot
            return
        gap = (slot - self._slot) * self.step
        if gap > _LONGEST_GAP * self._settings.normal_half_life:
            self._restart(slot)
            return
        values = np.full((slot - self._slot, len(self.metrics)), np.nan)
        np.divide(self._sums[0], self._sums[1], out=values[0], where=self._sums[1] > 0)
        self._sums[:] = 0.0
        start, self._slot = self._slot, slot
        self._take(start, values)

    def _take(self, index: int, values: Floats) -> None:
        self._least = np.fmin(self._least, np.fmin.reduce(values, axis=0))
        judgement = self._baseline.advance(index, values)
        latest = {alarm.series: alarm for alarm in judgement.activated}
        for column in range(len(self.metrics)):
            active = bool(judgement.active[-1, column])
            self._alarms[column] = latest.get(column, self._alarms[column]) if active else None

    def _estimates(self, slot: int) -> dict[str, BaselineEstimate]:
        bands = np.where(self._baseline.judging, self._baseline.peek(slot), np.nan)
        bands[1] = np.where(self._least >= 0, np.maximum(bands[1], 0.0), bands[1])
        baselines = {}
        for name, band, alarm in zip(self.metrics, bands.T.tolist(), self._alarms, strict=True):
            expected, lower, upper = (value if math.isfinite(value) else None for value in band)
            since = None if alarm is None else alarm.since * self.step
            baselines[name] = BaselineEstimate(expected, lower, upper, alarm, since, self.step)
        return baselines


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _onto_grid(series: Series, first: int, last: int, step: float) -> Floats:
    """Return the means per slot, shape (last - first,), NaN where unknown."""
    slots = (series.times // step).astype(np.int64) - first
    used = np.isfinite(series.values) & (slots >= 0) & (slots < last - first)
    counts = np.bincount(slots[used], minlength=last - first)
    sums = np.bincount(slots[used], weights=series.values[used], minlength=last - first)
    means: Floats = np.divide(sums, counts, out=np.full(last - first, np.nan), where=counts > 0)
    return means
