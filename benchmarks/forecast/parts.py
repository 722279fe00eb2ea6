"""The parts of the forecast benchmark besides the main table: level shift, minutes, day ahead."""

from __future__ import annotations

import numpy as np

from benchmarks.forecast.runs import ours
from benchmarks.forecast.scoring import HORIZONS, geometric, inside, losses, ratio, targets
from benchmarks.series import BenchSeries, Floats
from twinops.core.foresight.config import Config
from twinops.core.foresight.views import filled

_WINDOW = 24
_COVERAGE = 0.85
_DAY = 288
_WEEK = 2016
_PER_STEP_HOURS = 1 / 12
MINUTES = (2, 4, 6)


def shift_hours(series: BenchSeries, config: Config) -> tuple[Floats, Floats]:
    """Double a series from its middle on; return hours until coverage and error are back, each per horizon.

    The windows of two hours hold the origins after the shift, at steps 3, 6 and 12, and count from their begin: what
    is asked is from when on a forecast can be trusted. (Counted from their end, the answer would hold the window's
    own length, and the aim of one hour could not be reached by anything.)
    """
    values = series.values.copy()
    middle = len(values) // 2
    values[middle:] *= 2
    found = ours(series, np.array(HORIZONS), config, values)
    came = targets(values)[:, [h - 1 for h in HORIZONS]]
    last = filled(values[None])[0]
    known = np.isfinite(came[middle:])

    def rolling(figures: Floats) -> Floats:
        windows = np.lib.stride_tricks.sliding_window_view(np.where(known, figures[middle:], 0.0), _WINDOW, axis=0)
        total: Floats = windows.sum(axis=-1)
        return total

    covered = rolling(inside(found.ours, came)) >= _COVERAGE * rolling(np.ones_like(came)) - 1e-9
    error, naive = np.abs(came - found.ours[..., 4]), np.abs(came - last[:, None])
    better = rolling(error) <= rolling(naive) * (1 + 1e-9)
    return _until(covered), _until(better)


def _until(holds: np.ndarray) -> Floats:
    return np.where(holds.any(axis=0), holds.argmax(axis=0) * _PER_STEP_HOURS, np.inf)


def minute_ratios(series: BenchSeries, config: Config) -> Floats:
    """Return the score relative to naive under the same calibration, 2, 4 and 6 minutes ahead, every five minutes."""
    found = ours(series, np.array(MINUTES), config)
    came = targets(series.values, MINUTES[-1])[:, [m - 1 for m in MINUTES]]
    origins = np.arange(7 * 1440, len(series.values), 5)
    relative: Floats = np.nansum(losses(found.ours, came)[origins], axis=0) / np.nansum(
        losses(found.naive, came)[origins], axis=0
    )
    return relative


def day_ahead(series: BenchSeries, config: Config) -> float:
    """Return the mean absolute error over the next 288 steps, every two hours, relative to the better simple one."""
    values, last = series.values, filled(series.values[None])[0]
    found = ours(series, np.arange(1, _DAY + 1), config)
    came = targets(values, _DAY)
    origins = np.arange(_WEEK, len(values) - 1, 24)
    middle = np.array([np.median(last[t - _DAY + 1 : t + 1]) for t in origins])

    def error(forecast: Floats) -> float:
        return float(np.nanmean(np.abs(came[origins] - forecast)))

    return ratio(error(found.ours[origins, :, 4]), min(error(last[origins, None]), error(middle[:, None])))


def over_series(ratios: list[float]) -> float:
    """Return their geometric mean."""
    return geometric(np.array(ratios))
