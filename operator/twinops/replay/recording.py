"""Recorded history on a regular grid, and the resampling of irregular rows onto it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.api.base import utc
from twinops.core.series import Floats
from twinops.errors import InputError
from twinops.replay.durations import short

SHORTEST_STEP = 5.0
LONGEST_STEP = 3600.0
"""A twin syncs at most every five seconds and at least every hour."""

_FINER_THAN_ROWS = 1.5
_EMPTIEST = 50
_ALWAYS_FINE = 20_000
"""Longest grid without a bound on empty slots; a longer one needs a row per ``_EMPTIEST`` slots."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows as read, at any times.

    Attributes:
        names: of the metrics.
        times: shape (n,), Unix seconds, increasing.
        values: shape (n, metrics), NaN where unknown.
        origin: file or URL, for messages.
        notes: remarks for the report.
    """

    names: tuple[str, ...]
    times: Floats
    values: Floats
    origin: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Recorded metrics on a regular grid.

    Attributes:
        names: of the metrics.
        times: shape (n,), Unix seconds, ``step`` apart.
        values: shape (metrics, n), NaN where unknown.
        step: seconds.
        origin: file or URL, for messages.
        notes: remarks for the report.
        replicas: number of pods, shape (n,), NaN where unknown; None when it was not recorded.
    """

    names: tuple[str, ...]
    times: Floats
    values: Floats
    step: float
    origin: str
    notes: tuple[str, ...] = ()
    replicas: Floats | None = None


def usual_step(times: Floats) -> float:
    """Return the median gap between rows, in seconds."""
    return float(np.median(np.diff(times)))


def on_grid(rows: Rows, step: float | None = None) -> Recording:
    """Resample rows onto a regular grid.

    Rows about one step apart go to the nearest slot, counted from the first row; rows of one slot are averaged. Of rows
    at least twice as dense a slot is the mean from its time to the next slot's, NaN when fewer than half of its rows
    are known; an incomplete last slot is left out.

    Args:
        rows: as read.
        step: seconds; None for the median gap, at least five seconds.

    Raises:
        InputError: too few rows, rows too far apart, or implausible times.
    """
    if len(rows.times) < 2:  # noqa: PLR2004 - a gap needs two
        raise InputError(f"{rows.origin}: only one row, so there is nothing to replay")
    gap, notes = usual_step(rows.times), list(rows.notes)
    step = max(SHORTEST_STEP, float(round(gap))) if step is None else step
    _check_step(rows, gap, step)
    dense = gap * 2 <= step
    start = math.floor(rows.times[0] / step) * step if dense else float(rows.times[0])
    exact = (rows.times - start) / step
    slots = (np.floor(exact + 1e-9) if dense else np.rint(exact)).astype(np.int64)
    count = int(slots[-1]) + 1
    if dense and rows.times[-1] + gap / 2 < start + count * step - gap:
        # The last slot is incomplete: further rows would change its mean.
        count -= 1
    if not count:
        raise InputError(f"{rows.origin}: fewer rows than one step of {short(step)}, so there is nothing to replay")
    _check_filled(rows, count)
    inside = slots < count
    fewest = math.ceil(step / gap / 2 - 1e-9) if dense else 1
    values = np.stack([mean_by(slots[inside], column[inside], count, fewest) for column in rows.values.T])
    if dense:
        notes.append(f"rows {gap:.4g} s apart were averaged over {step:.4g} s")
    times = start + step * np.arange(count, dtype=np.float64)
    return Recording(rows.names, times, values, step, rows.origin, tuple(notes))


def _check_step(rows: Rows, gap: float, step: float) -> None:
    if step > LONGEST_STEP:
        raise InputError(
            f"{rows.origin}: rows are {step / 3600:.3g} h apart; a twin looks at least every hour: give finer data"
        )
    if step < SHORTEST_STEP or step * _FINER_THAN_ROWS < gap:
        raise InputError(f"{rows.origin}: rows are {short(gap)} apart, so a step of {short(step)} has nothing to say")


def _check_filled(rows: Rows, count: int) -> None:
    if count > max(_ALWAYS_FINE, _EMPTIEST * len(rows.times)):
        widest = int(np.argmax(np.diff(rows.times)))
        raise InputError(
            f"{rows.origin}: almost all of the time from {utc(rows.times[0]):%Y-%m-%d} to "
            f"{utc(rows.times[-1]):%Y-%m-%d} has no rows (none between {utc(rows.times[widest]):%Y-%m-%d %H:%M} and "
            f"{utc(rows.times[widest + 1]):%Y-%m-%d %H:%M}): is a time wrong?"
        )


def mean_by(slots: npt.NDArray[np.int64], values: Floats, count: int, fewest: int = 1) -> Floats:
    """Return the mean of the known values that fall into each slot, shape (count,); NaN for fewer than ``fewest``."""
    known = np.isfinite(values)
    number = np.bincount(slots[known], minlength=count)
    total = np.bincount(slots[known], weights=values[known], minlength=count)
    mean: Floats = np.divide(total, number, out=np.full(count, np.nan), where=number >= max(fewest, 1))
    return mean
