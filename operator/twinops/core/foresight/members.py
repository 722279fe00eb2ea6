"""The members of the ensemble: well-known forecasts, each read off the past without a state of its own.

Naive; two exponential moving averages (Brown 1959); medians of the last steps and of the last day, which a spike
does not move; the damped trend (Gardner & McKenzie 1985); seasonal naive, daily and weekly profiles with a level
correction; and a profile of the hour, for what runs by the clock (cron). A profile is added with the recent
deviation from it, averaged in different ways: that is a seasonal exponential smoothing with fixed seasonal terms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from twinops.core.foresight.config import DAY, Config
from twinops.core.foresight.views import Indices, View, read_profile
from twinops.core.observation import Floats

NAMES = (
    "naive",
    "fast mean",
    "slow mean",
    "short median",
    "long median",
    "day median",
    "damped trend",
    "yesterday + level",
    "day + fast level",
    "day + median level",
    "week + last level",
    "week + level",
    "hour",
    "hour + fast level",
    "hour + level",
)
COUNT = len(NAMES)

WINDOW = 72
"""Steps that moving averages read; their older weights are below a hundredth."""
_LEVEL = 0.1
_FEW = 16
_NOT_OVER = 23 * 3600
"""Horizons longer than this can't read yesterday's profile cells: some of them are not over yet."""


@lru_cache(maxsize=64)
def _kernels(config: Config) -> Floats:
    """Return weights of the last ``WINDOW`` values, oldest first: fast, slow, level, trend's level and slope."""
    ages = np.arange(WINDOW)[::-1]
    means = [factor * (1 - factor) ** ages for factor in (config.fast, config.slow, _LEVEL)]
    gain, relative, damping = config.trend
    level, slope, levels, slopes = 0.0, 0.0, [], []
    for value in np.eye(1, WINDOW)[0]:
        ahead = level + damping * slope
        level, slope = ahead + gain * (value - ahead), damping * slope + gain * relative * (value - ahead)
        levels.append(level)
        slopes.append(slope)
    rows = [*(kernel / kernel.sum() for kernel in means), np.array(levels[::-1]), np.array(slopes[::-1])]
    rows[3] /= rows[3].sum()
    rows[4] -= rows[4].mean()
    return np.array(rows).T


def member_forecasts(past: View, origins: Indices, horizons: Indices, config: Config) -> Floats:
    """Return every member's forecast from every origin.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), consecutive increasing indices of ``past.steps``.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen one.

    Returns:
        Shape (series, horizons, origins, members).
    """
    kernels = _kernels(config)
    last = past.steps[:, origins]
    steps = _tail(past, origins, WINDOW)
    averages = _averages(steps, kernels)
    span = np.arange(origins[0] - WINDOW + 1, origins[-1] + 1)
    width = len(origins)
    fine_now = past.fine_at(origins)
    found = np.empty((last.shape[0], len(horizons), width, COUNT))
    found[..., 0] = last[:, None]
    found[..., 1] = averages[..., 0][:, None]
    found[..., 2] = averages[..., 1][:, None]
    found[..., 3] = _middle(steps[..., -config.short_median :])[:, None]
    found[..., 4] = _middle(steps[..., -config.long_median :])[:, None]
    found[..., 5] = _day_median(past, fine_now)[:, None]
    damping = config.trend[2]
    reach = damping * (1 - damping**horizons) / (1 - damping)
    found[..., 6] = averages[..., 3][:, None] + reach[:, None] * averages[..., 4][:, None]
    _with_yesterday(past, found, origins, horizons, fine_now)
    _with_profiles(past, found, origins, horizons, span, config)
    _with_hour(past, found, origins, horizons, span, kernels)
    unknown = ~np.isfinite(found)
    if unknown.any():
        found = np.where(unknown, last[:, None, :, None], found)
    return found


def _tail(past: View, origins: Indices, length: int) -> Floats:
    """Return the last ``length`` values at each origin, shape (series, origins, length)."""
    begin = int(origins[0]) - length + 1
    padded = past.steps[:, max(begin, 0) : int(origins[-1]) + 1]
    if begin < 0:
        padded = np.concatenate([np.repeat(past.steps[:, :1], -begin, axis=1), padded], axis=1)
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)


def _averages(windows: Floats, kernels: Floats) -> Floats:
    """Return weighted sums of sliding windows, shape (series, origins, kernels).

    Many windows overlap: a convolution of the row that they slide over spares copying each.
    """
    if windows.shape[1] < _FEW:
        return windows @ kernels
    rows = np.concatenate([windows[:, 0], windows[:, 1:, -1]], axis=1)
    return np.array([[np.convolve(row, kernel[::-1], mode="valid") for kernel in kernels.T] for row in rows]).transpose(
        0, 2, 1
    )


def _middle(windows: Floats) -> Floats:
    """Return the median over the last axis, of single precision, which is twice as fast."""
    count = windows.shape[-1]
    halves = (count // 2 - 1, count // 2) if count % 2 == 0 else (count // 2,)
    parted = np.partition(windows.astype(np.float32), halves, axis=-1)
    middle: Floats = parted[..., list(halves)].mean(axis=-1, dtype=float)
    return middle


def _day_median(past: View, cells: Indices) -> Floats:
    """Return the median of the last day's fine cells; it is read anew every hour, and stands in between."""
    per_hour = past.per_hour
    numbers = (cells + past.fine.first) // per_hour
    marks, back = np.unique(numbers, return_inverse=True)
    ends = np.clip(marks * per_hour - past.fine.first, 0, None)
    length = max(1, round(DAY / past.fine.seconds))
    medians = np.empty((past.steps.shape[0], len(marks)))
    for k, end in enumerate(ends):
        part = past.fine.values[:, max(0, int(end) - length + 1) : int(end) + 1].astype(np.float32)
        ordered = np.sort(part, axis=1)
        count = np.isfinite(part).sum(axis=1)
        rows = np.arange(len(part))
        low, high = (
            ordered[rows, np.maximum((count - 1) // 2, 0)],
            ordered[rows, np.minimum(count // 2, part.shape[1] - 1)],
        )
        medians[:, k] = np.where(count > 0, (low.astype(float) + high) / 2, np.nan)
    return medians[:, back]


def _with_yesterday(past: View, found: Floats, origins: Indices, horizons: Indices, fine_now: Indices) -> None:
    """Fill in yesterday's change: what came then, moved to the level of now."""
    per_day = DAY / past.fine.seconds
    here = read_cells(past.fine.values, np.floor(past.place(origins, past.fine) + 0.5) - per_day)
    then = np.floor(past.place(origins + horizons[:, None], past.fine) + 0.5) - per_day
    ahead = read_cells(past.fine.values, np.minimum(then, fine_now))
    found[..., 7] = (past.steps[:, origins] - here)[:, None] + ahead


def read_cells(values: Floats, places: Floats) -> Floats:
    """Return the cells at these places, NaN before the first one."""
    index = np.rint(places).astype(np.intp)
    read: Floats = np.where(index >= 0, values[:, np.minimum(np.maximum(index, 0), values.shape[1] - 1)], np.nan)
    return read


def _with_profiles(
    past: View, found: Floats, origins: Indices, horizons: Indices, span: Indices, config: Config
) -> None:
    kernels = _kernels(config)
    values = past.steps[:, np.maximum(span, 0)]
    ahead = past.place(origins + horizons[:, None], past.coarse)
    late = horizons * past.step > _NOT_OVER
    day, then = _around(past.day, past.place(span, past.coarse), ahead)
    if late.any():
        then[:, late] = read_profile(past.day_without_last, ahead[late])
    deviations = _windows(_known(values - day))
    found[..., 8] = then + _averages(deviations, kernels[:, :1])[:, None, :, 0]
    found[..., 9] = then + _middle(deviations[..., -config.long_median :])[:, None]
    week, then = _around(past.week, past.place(span, past.coarse), ahead)
    if late.any():
        then[:, late] = read_profile(past.week_without_last, ahead[late])
    deviations = _windows(_known(values - week))
    found[..., 10] = then + deviations[:, None, :, -1]
    found[..., 11] = then + _averages(deviations, kernels[:, 2:3])[:, None, :, 0]


def _around(profile: Floats, span: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """Read a profile at the span before the origins and at what lies ahead, shapes (series, n), (series, h, o)."""
    read = read_profile(profile, np.concatenate([span, ahead.ravel()]))
    return read[:, : len(span)], read[:, len(span) :].reshape(-1, *ahead.shape)


def _with_hour(past: View, found: Floats, origins: Indices, horizons: Indices, span: Indices, kernels: Floats) -> None:
    per_hour = past.per_hour
    ahead = past.place(origins + horizons[:, None], past.fine)
    beyond = np.ceil(np.maximum(ahead - past.fine_at(origins) - per_hour, 0.0) / per_hour - 1e-9)
    hour, then = _around(past.hour, past.place(span, past.fine), ahead - beyond * per_hour)
    deviations = _windows(_known(past.steps[:, np.maximum(span, 0)] - hour))
    levels = _averages(deviations, kernels[:, [0, 2]])
    found[..., 12] = then
    found[..., 13], found[..., 14] = then + levels[:, None, :, 0], then + levels[:, None, :, 1]


def _known(deviations: Floats) -> Floats:
    """Return deviations, 0 where the profile is not known yet."""
    return np.where(np.isfinite(deviations), deviations, 0.0)


def _windows(values: Floats) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=1)
