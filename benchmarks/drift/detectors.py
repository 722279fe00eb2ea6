"""The product and its peers behind one interface: scores are computed once, alarms for each threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.drift.series import Labelled
from twinops.core.baseline.alarms import AlarmController
from twinops.core.baseline.learner import LearnedBaseline
from twinops.core.baseline.settings import SETTINGS
from twinops.core.series import Floats

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Alarms:
    """The alarms of a detector on one series.

    Attributes:
        started: rows at which an alarm started.
        active_seconds: seconds that an alarm was active, by row; 0 without one.
    """

    started: Rows
    active_seconds: Floats


Judge = Callable[[float], Alarms]


@dataclass(frozen=True, slots=True)
class Detector:
    """A way to raise alarms.

    Attributes:
        name: for the table.
        thresholds: to choose from, from the most sensitive to the least.
        own: its own threshold, None without one.
        prepare: takes a series and returns the function that gives its alarms at a threshold.
    """

    name: str
    thresholds: Sequence[float]
    own: float | None
    prepare: Callable[[Labelled], Judge]


def _learned(series: Labelled) -> Judge:
    step = max(SETTINGS.step, series.step)
    exact = series.step >= SETTINGS.step
    numbers = series.times / step
    # On a grid of their own step, small timing errors do not change the order; finer values are averaged.
    slots = np.round(numbers - numbers[0]) + np.floor(numbers[0]) if exact else np.floor(numbers)
    slots = slots.astype(np.int64)
    first, places = int(slots[0]), slots - slots[0]
    known = np.isfinite(series.values)
    counts = np.bincount(places[known], minlength=places[-1] + 1)
    total = np.bincount(places[known], weights=series.values[known], minlength=places[-1] + 1)
    values = np.divide(total, counts, out=np.full(len(total), np.nan), where=counts > 0)
    baseline = LearnedBaseline(1, step)
    judged = baseline.advance(first, values[:, None])
    # A slot is judged when it is complete: at its last row.
    rows = np.full(len(values), -1, np.int64)
    rows[places] = np.arange(len(places))

    def judge(threshold: float) -> Alarms:
        settings = dataclasses.replace(
            SETTINGS,
            ratio=threshold,
            least_ratio=1 + (SETTINGS.least_ratio - 1) * (threshold - 1) / (SETTINGS.ratio - 1),
        )
        controller = AlarmController(1, baseline.detectors, step, settings)
        known = np.isfinite(values)[:, None]
        alarms = controller.advance(first, judged.excess, judged.sizes, judged.records, known)
        started, active = alarms.started[:, 0], alarms.active[:, 0]
        seconds = np.zeros(len(places))
        held = np.flatnonzero(active & (rows >= 0))
        seconds[rows[held]] = step
        return Alarms(rows[np.flatnonzero(started & (rows >= 0))], seconds)

    return judge


def _gaussian(series: Labelled, window: int = 1000) -> Judge:
    """Judge a value by the mean and deviation of the latest ``window`` values before it."""
    values = np.where(np.isfinite(series.values), series.values, np.nanmean(series.values))
    centred = values - values.mean()
    sums = np.concatenate([np.zeros((2, 1)), np.cumsum([centred, centred**2], axis=1)], axis=1)
    ends = np.arange(1, len(values))
    starts = np.maximum(ends - window, 0)
    means, squares = (sums[:, ends] - sums[:, starts]) / (ends - starts)
    deviation = np.sqrt(np.maximum(squares - means**2, 0.0))
    scores = np.concatenate([[0.0], np.abs(centred[1:] - means) / np.maximum(deviation, 1e-6)])

    def judge(threshold: float) -> Alarms:
        alarms = np.flatnonzero(scores >= threshold)
        return Alarms(alarms, np.where(scores >= threshold, series.step, 0.0))

    return judge


def _blind(series: Labelled) -> Judge:
    """Raise an alarm every so many hours, whatever the values."""

    def judge(hours: float) -> Alarms:
        turns = np.floor((series.times - series.times[0]) / (hours * 3600))
        alarms = np.flatnonzero(np.diff(turns, prepend=0.0) > 0)
        seconds = np.zeros(len(turns))
        seconds[alarms] = series.step
        return Alarms(alarms, seconds)

    return judge


def _gaussian_held_off(series: Labelled) -> Judge:
    """The windowed Gaussian with the product's hold-off, which shows the effect of the hold-off alone."""
    plain = _gaussian(series)

    def judge(threshold: float) -> Alarms:
        every = plain(threshold)
        started: list[int] = []
        for row in every.started.tolist():
            if not started or series.times[row] - series.times[started[-1]] >= SETTINGS.hold_off:
                started.append(row)
        return Alarms(np.array(started, np.int64), every.active_seconds)

    return judge


LEARNED = Detector(
    "learned baseline",
    (
        1.02,
        1.05,
        1.08,
        1.1,
        1.15,
        SETTINGS.ratio,
        1.25,
        1.3,
        1.4,
        1.5,
        1.75,
        2.0,
        2.5,
        3.0,
        4.0,
        6.0,
        10.0,
        15.0,
        20.0,
        40.0,
    ),
    SETTINGS.ratio,
    _learned,
)
PEERS = (
    Detector("windowed Gaussian", tuple(float(one) for one in np.arange(2.0, 20.0, 0.25)), None, _gaussian),
    Detector("Gaussian, held off", tuple(float(one) for one in np.arange(2.0, 20.0, 0.25)), None, _gaussian_held_off),
    Detector("blind periodic alarm", tuple(float(one) for one in range(6, 175, 6)), None, _blind),
)
