"""The members of the ensemble: well-known forecasts, each read off the past without a state of its own.

Naive; two exponential moving averages (Brown 1959); medians of the last steps and of the last day, which a spike
does not move; the damped trend (Gardner & McKenzie 1985), twice: a quick one, and one that reaches further but only
where the slope stands out of the noise, for steady climbs; seasonal naive, daily and weekly profiles with a level
correction; and a profile of the hour, for what runs by the clock (cron). A profile is added with the recent
deviation from it, averaged in different ways: that is a seasonal exponential smoothing with fixed seasonal terms.
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
"""Origins from which on a convolution is quicker than a product."""


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
    past: View, origins: Indices, horizons: Indices, config: Config, middle: Floats | None = None
) -> Floats:
    """Return every member's forecast from every origin.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), consecutive increasing indices of ``past.steps``.
        horizons: shape (h,), steps ahead, at most a day.
        config: the frozen one.
        middle: the day's median at a single origin, shape (series,), where it is known already.

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
    found[..., 3] = _middle(steps[..., -config.short_median :])[:, None]
    found[..., 4] = _middle(steps[..., -config.long_median :])[:, None]
    found[..., 5] = (_day_median(past, fine_now) if middle is None else middle[:, None])[:, None]
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
    """Return slopes, 0 where noise of the size of the latest changes could have given them, shape (series, origins).

    Independent noise of standard deviation s changes by 2 s / sqrt(pi) from step to step on average, and gives the
    slope a standard deviation of s times the norm of its weights.
    """
    moves = _windows(np.abs(row[:, 1:] - row[:, :-1]), WINDOW - 1)
    change = _averages(moves, np.full((WINDOW - 1, 1), 1 / (WINDOW - 1)))[..., 0]
    noise = change * (np.sqrt(np.pi) / 2 * np.linalg.norm(kernel))
    return np.where(np.abs(slopes) > gate * noise, slopes, 0.0)


def climbs(past: View, origins: Indices, config: Config) -> Flags:
    """Tell where values climb or fall so steadily that the trend has been right of late, and naive has not.

    That is seen a few steps ahead, on the newest values, long before the forecasts of the horizons come true: every one
    of the last naive forecasts was wrong on the same side, and the trend's errors were less than half as large.

    Args:
        past: at an origin, only values up to it are read.
        origins: shape (o,), consecutive increasing indices of ``past.steps``.
        config: the frozen one.
    """
    near, seen = config.climb_lead, config.climb_seen
    row = _tail(past, origins, WINDOW + near + seen - 1)
    kernels = _kernels(config)[:, 5:7]
    averages = _averages(_windows(row, WINDOW), kernels)
    slopes = _gated(averages[..., 1], row, kernels[:, 1], config.climb_gate)
    forecasts = averages[..., 0] + _reach(config.climb[2], np.array([near]))[0] * slopes
    came = row[:, WINDOW - 1 :]
    naive = came[:, near:] - came[:, :-near]
    trend = came[:, near:] - forecasts[:, :-near]
    naive, trend = _windows(naive, seen), _windows(trend, seen)
    one_side = (naive > 0).all(axis=-1) | (naive < 0).all(axis=-1)
    better = np.abs(trend).sum(axis=-1) < config.climb_share * np.abs(naive).sum(axis=-1)
    found: Flags = one_side & better & (slopes[:, near + seen - 1 :] != 0)
    return found


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
    """Return the median over the last axis, of single precision: numpy sorts that ten times as fast."""
    count = windows.shape[-1]
    ordered = np.sort(windows.astype(np.float32), axis=-1)
    low = ordered[..., (count - 1) // 2].astype(np.float64)
    return (low + ordered[..., count // 2]) / 2


def _day_median(past: View, cells: Indices) -> Floats:
    """Return the median of the last day's fine cells; it is read anew every hour, and stands in between."""
    marks, back = np.unique(hour_of(past, cells), return_inverse=True)
    medians = np.stack([day_median(past, int(mark)) for mark in marks], axis=1)
    return np.where(cells >= 0, medians[:, back], np.nan)


def hour_of(past: View, cells: Indices) -> Indices:
    """Return the number of the hour that these fine cells lie in."""
    hours: Indices = (cells + past.fine.first) // past.per_hour
    return hours


def day_median(past: View, hour: int) -> Floats:
    """Return the median of the day up to the first fine cell of an hour, shape (series,); NaN where none is known."""
    end = max(hour * past.per_hour - past.fine.first, 0)
    length = max(1, round(DAY / past.fine.seconds))
    return median(past.fine.values[:, max(0, end - length + 1) : end + 1].T)


def _with_yesterday(past: View, found: Floats, origins: Indices, horizons: Indices, fine_now: Indices) -> None:
    """Fill in yesterday's change: what came then, moved to the level of now."""
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
    found[..., 9] = then + _middle(deviations[..., -config.long_median :])[:, None]
    week, then = _around(seasons.week, places, ahead)
    if seasons.late and late.any():
        then[:, late] = read_profile(seasons.late[1], ahead[late])
    deviations = _windows(_known(values - week), WINDOW)
    found[..., 10] = then + deviations[:, None, :, -1]
    found[..., 11] = then + _averages(deviations, kernels[:, 2:3])[:, None, :, 0]


def _at_span(past: View, span: Indices) -> Floats:
    """Return the values at consecutive steps; before the first one it holds itself."""
    if span[0] >= 0:
        return past.steps[:, span[0] : span[-1] + 1]
    return past.steps[:, np.maximum(span, 0)]


def _around(profile: Floats, span: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """Read a profile at the span before the origins and at what lies ahead, shapes (series, n), (series, h, o)."""
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
    """Return deviations, 0 where the profile is not known yet."""
    return np.where(np.isfinite(deviations), deviations, 0.0)


def _windows(values: Floats, length: int) -> Floats:
    """Return every window of this length, shape (series, windows, length)."""
    if values.shape[1] == length:
        return values[:, None]
    return np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
