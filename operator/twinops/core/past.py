"""The tail of a series, made ready for forecasting from it and for scoring past forecasts on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinops.core.forecast import MIN_SAMPLES
from twinops.core.holt import Smoother, smooth
from twinops.core.observation import Floats

Mask = npt.NDArray[np.bool_]

SMOOTHERS = (
    Smoother(1.0),
    Smoother(0.5),
    Smoother(0.2),
    Smoother(0.05),
    Smoother(0.8, 0.2, 0.9),
    Smoother(0.5, 0.1, 0.9),
    Smoother(0.5, 0.1, 0.98),
    Smoother(0.2, 0.1, 0.98),
    Smoother(0.4, 0.1, 0.995),
    Smoother(0.2, 0.1, 0.995),
)
"""Naive, three levels from quick to slow, and trends from short-lived to long: a round grid, not a fitted one."""
_GATED = (6, 7, 8, 9)
"""Smoothers that also take part with a gated slope."""

MEMBERS = [*range(len(SMOOTHERS)), *_GATED]
"""Which smoother each member of the bank takes its level and reach from."""

_GATE = 3.0
"""A slope under this many times its usual size is taken for noise."""
_GATE_WINDOW = 200
"""Entries over which a slope's usual size is measured."""
_NEAR = 4
"""Steps ahead at which trouble shows: far enough for a slope to stand out of the noise, near enough to be early."""
_TROUBLE_SHORT = 6
_TROUBLE_LONG = 200
"""Entries over which the latest and the usual error of a member are measured."""
_SPIKE_WINDOW = 5
_SPIKE = 4 * 1.4826
"""Median absolute deviations beyond which a value is a spike; 1.4826 makes them standard deviations."""
_SMALLEST_SHARE = 1e-9
"""Least size of a unit, as a share of the largest value: squares of the rest stay finite."""
TINY = 1e-12
"""Added to errors, in units, before they divide: two members without error are equally good."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The tail of a series, made ready: n entries ending with the last known one, k members.

    Attributes:
        raw: shape (n,), NaN where unknown; measured from ``base`` in units of ``unit``.
        clean: shape (n,), gaps bridged and spikes clipped.
        ready: shape (n,), entries that are known and have ``MIN_SAMPLES`` known ones up to them.
        levels, slopes: shape (n, k).
        trouble: shape (n, k), latest error a few steps ahead over the usual one, at least 1.
        change: shape (n,), mean size of the latest one-step changes, spikes clipped.
        sigma: root mean square of all one-step changes, spikes and all.
    """

    raw: Floats
    clean: Floats
    ready: Mask
    levels: Floats
    slopes: Floats
    trouble: Floats
    change: Floats
    sigma: float
    base: float
    unit: float


def prepare(raw: Floats) -> Past:
    """Make the tail ready. It begins and ends with a known value."""
    base = float(raw[0])
    unit = _unit(raw - base)
    raw = (raw - base) / unit
    known = np.isfinite(raw)
    at = np.flatnonzero(known)
    clean = _without_spikes(np.interp(np.arange(len(raw)), at, raw[at]))
    levels, slopes = smooth(clean, SMOOTHERS)
    slopes = np.concatenate([slopes, _gated(slopes[:, list(_GATED)])], axis=1)
    levels = levels[:, MEMBERS]
    reach = np.array([SMOOTHERS[k].reach(_NEAR) for k in MEMBERS])
    misses = np.zeros_like(levels)
    misses[_NEAR:] = np.abs(clean[_NEAR:, None] - (levels + reach * slopes)[:-_NEAR])
    usual = running_mean(misses, _TROUBLE_LONG)
    trouble = np.maximum(1.0, (running_mean(misses, _TROUBLE_SHORT) + TINY) / (usual + TINY))
    return Past(
        raw=raw,
        clean=clean,
        ready=known & (np.cumsum(known) >= MIN_SAMPLES),
        levels=levels,
        slopes=slopes,
        trouble=trouble,
        change=running_mean(np.abs(np.diff(clean, prepend=clean[0])), _TROUBLE_LONG),
        sigma=float(np.sqrt(np.mean(np.diff(raw[at]) ** 2 / np.diff(at)))),
        base=base,
        unit=unit,
    )


def _unit(values: Floats) -> float:
    """Return the size that values usually have, so that one huge spike doesn't drown the rest in rounding."""
    sizes = np.abs(values[np.isfinite(values)])
    return max(float(np.median(sizes)), _SMALLEST_SHARE * float(sizes.max())) or 1.0


def _without_spikes(values: Floats) -> Floats:
    """Clip what lies far from the median of the latest few, as the values were known then."""
    if len(values) < _SPIKE_WINDOW:
        return values
    latest = np.lib.stride_tricks.sliding_window_view(values, _SPIKE_WINDOW)
    middle = np.median(latest, axis=1)
    reach = _SPIKE * np.median(np.abs(latest - middle[:, None]), axis=1)
    clipped = values.copy()
    clipped[_SPIKE_WINDOW - 1 :] = np.clip(values[_SPIKE_WINDOW - 1 :], middle - reach, middle + reach)
    return clipped


def _gated(slopes: Floats) -> Floats:
    """Shrink slopes toward 0 as far as they are no larger than usual (positive-part James-Stein)."""
    usual = _GATE * running_mean(np.abs(slopes), _GATE_WINDOW)
    share = np.square(np.divide(usual, slopes, out=np.ones_like(slopes), where=np.abs(slopes) > usual))
    shrunk: Floats = slopes * (1 - share)
    return shrunk


def running_mean(values: Floats, window: int, counts: Floats | None = None) -> Floats:
    """Return the mean of the latest ``window`` entries along axis 0, of fewer at the start.

    Args:
        values: shape (n,) or (n, k), 0 where not counted.
        window: entries to look at.
        counts: shape (n,), 1 where an entry counts and 0 where not; None when all do.
    """
    total = np.cumsum(values, axis=0)
    total[window:] -= total[:-window].copy()  # a cumulative sum less itself is the sum over the window
    if counts is None:
        counted: Floats = np.minimum(np.arange(1.0, len(values) + 1), window)
    else:
        counted = np.cumsum(counts)
        counted[window:] -= counted[:-window].copy()
        counted = np.maximum(counted, 1.0)
    return np.maximum(total / (counted if values.ndim == 1 else counted[:, None]), 0.0)
