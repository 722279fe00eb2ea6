"""The members of the ensemble: well-known forecasts, each computed from the past without a state of its own.

Naive; two exponential moving averages (Brown 1959); medians of the last steps and of the last day, which are
robust against spikes; the damped trend (Gardner & McKenzie 1985), twice: a quick one, and a less damped one for steady
climbs, whose slope counts only where it is significant; seasonal naive, daily and weekly profiles with a level
correction; and a profile of the hour, for periodic jobs (cron). The recent deviation from a profile, averaged in
different ways, is added to it: that is a seasonal exponential smoothing with fixed seasonal terms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from twinops.core.forecast.config import DAY, LAYOUT, Config
from twinops.core.forecast.profiles import NOT_OVER, median, read_profile
from twinops.core.forecast.views import View
from twinops.core.series import Flags, Floats, Indices

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
    "climb",
)
COUNT = len(NAMES)
CLIMB = NAMES.index("climb")

WINDOW = LAYOUT.window
_FEW = 16
"""Number of origins from which on a convolution is quicker than a product."""


@lru_cache(maxsize=64)
def _kernels(config: Config) -> Floats:
    """Return weights of the last ``WINDOW`` values, oldest first: fast, slow, level, both trends' levels and slopes."""
    ages = np.arange(WINDOW)[::-1]
    means = [factor * (1 - factor) ** ages for factor in (config.fast, config.slow, LAYOUT.level)]
    rows = [kernel / kernel.sum() for kernel in means]
    return np.array([*rows, *_trend(*config.trend), *_trend(*config.climb)]).T


def _trend(gain: float, relative: float, damping: float) -> tuple[Floats, Floats]:
    """Return the weights that values have in a damped trend's level and in its slope."""
    level, slope, levels, slopes = 0.0, 0.0, [], []
    for value in np.eye(1, WINDOW)[0]:
        ahead = level + damping * slope
        level, slope = ahead + gain * (value - ahead), damping * slope + gain * relative * (value - ahead)
        levels.append(level)
        slopes.append(slope)
    of_level, of_slope = np.array(levels[::-1]), np.array(slopes[::-1])
    return of_level / of_level.sum(), of_slope - of_slope.mean()


def member_forecasts(
    past: View, origins: Indices, horizons: Indices, config: Config, last_day: Floats | None = None
) -> Floats:
    """Return every member's forecast from every origin.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), consecutive increasing indices of ``past.steps``.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen configuration.
        last_day: median of the last day at a single origin, shape (series,); None to compute it.

    Returns:
        Shape (series, horizons, origins, members).
    """
    kernels = _kernels(config)
    last = past.steps[:, origins]
    row = _tail(past, origins, WINDOW)
    steps = _windows(row, WINDOW)
    averages = _averages(steps, kernels)
    span = np.arange(origins[0] - WINDOW + 1, origins[-1] + 1)
    width = len(origins)
    fine_now = past.fine_at(origins)
    found = np.empty((last.shape[0], len(horizons), width, COUNT))
    found[..., 0] = last[:, None]
    found[..., 1] = averages[..., 0][:, None]
    found[..., 2] = averages[..., 1][:, None]
    found[..., 3] = _window_median(steps[..., -config.short_median :])[:, None]
    found[..., 4] = _window_median(steps[..., -config.long_median :])[:, None]
    found[..., 5] = (_day_median(past, fine_now) if last_day is None else last_day[:, None])[:, None]
    found[..., 6] = averages[..., 3][:, None] + _reach(config.trend[2], horizons) * averages[..., 4][:, None]
    slope = _gated(averages[..., 6], row, kernels[:, 6], config.climb_gate)
    found[..., 15] = averages[..., 5][:, None] + _reach(config.climb[2], horizons) * slope[:, None]
    _with_yesterday(past, found, origins, horizons, fine_now)
    _with_profiles(past, found, origins, horizons, span, config)
    _with_hour(past, found, origins, horizons, span, fine_now, kernels)
    unknown = ~np.isfinite(found)
    if unknown.any():
        found = np.where(unknown, last[:, None, :, None], found)
    return found


def _tail(past: View, origins: Indices, length: int) -> Floats:
    """Return the ``length`` values up to the first origin, and all up to the last, (series, origins + length - 1)."""
    begin = int(origins[0]) - length + 1
    padded = past.steps[:, max(begin, 0) : int(origins[-1]) + 1]
    if begin < 0:
        padded = np.concatenate([np.repeat(past.steps[:, :1], -begin, axis=1), padded], axis=1)
    return padded


def _reach(damping: float, horizons: Indices) -> Floats:
    """Return how many slopes lie between now and each horizon, shape (h, 1)."""
    reach: Floats = (damping * (1 - damping ** horizons.astype(np.float64)) / (1 - damping))[:, None]
    return reach


def _gated(slopes: Floats, row: Floats, kernel: Floats, gate: float) -> Floats:
    """Return slopes, 0 where they are not significant against the latest changes, shape (series, origins).

    Independent noise of standard deviation s changes by 2 s / sqrt(pi) from step to step on average; the slope then has
    a standard deviation of s times the norm of its weights.
    """
    moves = _windows(np.abs(row[:, 1:] - row[:, :-1]), WINDOW - 1)
    change = _averages(moves, np.full((WINDOW - 1, 1), 1 / (WINDOW - 1)))[..., 0]
    noise = change * (np.sqrt(np.pi) / 2 * np.linalg.norm(kernel))
    return np.where(np.abs(slopes) > gate * noise, slopes, 0.0)


def climbs(past: View, origins: Indices, config: Config) -> Flags:
    """Return where values climb or fall steadily, shape (series, o): of late the trend was right, and naive was not.

    Forecasts a few steps ahead show it, long before those of the horizons mature: all of the last naive forecasts
    were wrong on the same side, and the sum of the trend's errors is below ``climb_share`` of theirs.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), consecutive increasing indices of ``past.steps``.
        config: the frozen configuration.
    """
    near, seen = config.climb_lead, config.climb_seen
    row = _tail(past, origins, WINDOW + near + seen - 1)
    kernels = _kernels(config)[:, 5:7]
    averages = _averages(_windows(row, WINDOW), kernels)
    slopes = _gated(averages[..., 1], row, kernels[:, 1], config.climb_gate)
    forecasts = averages[..., 0] + _reach(config.climb[2], np.array([near]))[0] * slopes
    outcomes = row[:, WINDOW - 1 :]
    naive = outcomes[:, near:] - outcomes[:, :-near]
    trend = outcomes[:, near:] - forecasts[:, :-near]
    naive, trend = _windows(naive, seen), _windows(trend, seen)
    one_side = (naive > 0).all(axis=-1) | (naive < 0).all(axis=-1)
    better = np.abs(trend).sum(axis=-1) < config.climb_share * np.abs(naive).sum(axis=-1)
    found: Flags = one_side & better & (slopes[:, near + seen - 1 :] != 0)
    return found


def _averages(windows: Floats, kernels: Floats) -> Floats:
    """Return weighted sums of sliding windows, shape (series, origins, kernels).

    Where many windows overlap, a convolution of the row that they slide over avoids copying each.
    """
    if windows.shape[1] < _FEW:
        return windows @ kernels
    rows = np.concatenate([windows[:, 0], windows[:, 1:, -1]], axis=1)
    return np.array([[np.convolve(row, kernel[::-1], mode="valid") for kernel in kernels.T] for row in rows]).transpose(
        0, 2, 1
    )


def _window_median(windows: Floats) -> Floats:
    """Return the median over the last axis, in single precision, which numpy sorts ten times as fast."""
    count = windows.shape[-1]
    ordered = np.sort(windows.astype(np.float32), axis=-1)
    low = ordered[..., (count - 1) // 2].astype(np.float64)
    return (low + ordered[..., count // 2]) / 2


def _day_median(past: View, cells: Indices) -> Floats:
    """Return the median of the last day's fine cells; it is computed once per hour."""
    marks, back = np.unique(hour_of(past, cells), return_inverse=True)
    medians = np.stack([day_median(past, int(mark)) for mark in marks], axis=1)
    return np.where(cells >= 0, medians[:, back], np.nan)


def hour_of(past: View, cells: Indices) -> Indices:
    """Return the number of the hour that these fine cells lie in."""
    hours: Indices = (cells + past.fine.first) // past.per_hour
    return hours


def day_median(past: View, hour: int) -> Floats:
    """Return the median of the day up to the first fine cell of an hour, shape (series,); NaN without a known value."""
    end = max(hour * past.per_hour - past.fine.first, 0)
    length = max(1, round(DAY / past.fine.seconds))
    return median(past.fine.values[:, max(0, end - length + 1) : end + 1].T)


def _with_yesterday(past: View, found: Floats, origins: Indices, horizons: Indices, fine_now: Indices) -> None:
    """Fill in seasonal naive: yesterday's change, added to the level of now."""
    per_day = DAY / past.fine.seconds
    fine = past.fine
    here = read_cells(fine.values, np.floor(past.place(origins, fine.first, fine.seconds) + 0.5) - per_day)
    then = np.floor(past.place(origins + horizons[:, None], fine.first, fine.seconds) + 0.5) - per_day
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
    kernels, seasons = _kernels(config), past.seasons
    values = _at_span(past, span)
    places = past.place(span, seasons.first, seasons.seconds)
    ahead = past.place(origins + horizons[:, None], seasons.first, seasons.seconds)
    late = horizons * past.step > NOT_OVER
    day, then = _around(seasons.day, places, ahead)
    if seasons.late and late.any():
        then[:, late] = read_profile(seasons.late[0], ahead[late])
    deviations = _windows(_known(values - day), WINDOW)
    found[..., 8] = then + _averages(deviations, kernels[:, :1])[:, None, :, 0]
    found[..., 9] = then + _window_median(deviations[..., -config.long_median :])[:, None]
    week, then = _around(seasons.week, places, ahead)
    if seasons.late and late.any():
        then[:, late] = read_profile(seasons.late[1], ahead[late])
    deviations = _windows(_known(values - week), WINDOW)
    found[..., 10] = then + deviations[:, None, :, -1]
    found[..., 11] = then + _averages(deviations, kernels[:, 2:3])[:, None, :, 0]


def _at_span(past: View, span: Indices) -> Floats:
    """Return the values at consecutive steps; before the first one its value is repeated."""
    if span[0] >= 0:
        return past.steps[:, span[0] : span[-1] + 1]
    return past.steps[:, np.maximum(span, 0)]


def _around(profile: Floats, span: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """Interpolate a profile at the span before the origins and at the targets, shapes (series, n), (series, h, o)."""
    read = read_profile(profile, np.concatenate([span, ahead.ravel()]))
    return read[:, : len(span)], read[:, len(span) :].reshape(-1, *ahead.shape)


def _with_hour(
    past: View, found: Floats, origins: Indices, horizons: Indices, span: Indices, fine_now: Indices, kernels: Floats
) -> None:
    per_hour, fine = past.per_hour, past.fine
    ahead = past.place(origins + horizons[:, None], fine.first, fine.seconds)
    beyond = np.ceil(np.maximum(ahead - fine_now - per_hour, 0.0) / per_hour - 1e-9)
    profile, begin = past.hour()
    places = past.place(span, fine.first, fine.seconds) - begin
    hour, then = _around(profile, places, ahead - beyond * per_hour - begin)
    deviations = _windows(_known(_at_span(past, span) - hour), WINDOW)
    levels = _averages(deviations, kernels[:, [0, 2]])
    found[..., 12] = then
    found[..., 13], found[..., 14] = then + levels[:, None, :, 0], then + levels[:, None, :, 1]


def _known(deviations: Floats) -> Floats:
    """Return deviations, 0 where the profile is unknown."""
    return np.where(np.isfinite(deviations), deviations, 0.0)


def _windows(values: Floats, length: int) -> Floats:
    """Return every window of this length, shape (series, windows, length)."""
    if values.shape[1] == length:
        return values[:, None]
    return np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
