"""The parts of the forecast benchmark besides the main table: level shift, minutes, day ahead."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.forecast.runs import ours
from benchmarks.forecast.scoring import HORIZONS, inside, losses, ratio, targets
from benchmarks.series import DAY, BenchSeries, Floats
from twinops.core.forecast.cells import filled
from twinops.core.forecast.config import Config

_WINDOW_SECONDS = 7200
_COVERAGE = 0.85
_DAY_STEP = 300.0
MINUTES = (2, 4, 6)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """Hours until it is well again after a shift, each of shape (horizons,).

    Attributes:
        coverage: of the 90 % interval, by trailing windows.
        error: against naive's, by trailing windows.
        coverage_ahead: by windows that begin at that time.
        error_ahead: likewise.
    """

    coverage: Floats
    error: Floats
    coverage_ahead: Floats
    error_ahead: Floats


def shift_hours(series: BenchSeries, config: Config) -> Recovery:
    """Double a series from its middle on; return how long it takes to be well again, for steps 3, 6 and 12.

    Windows hold the forecasts whose targets lie in two hours. A trailing window ends at the time that counts; hours
    run from the shift to the end of the last window in the first six hours that is not well, so a spoilt window is
    waited for until it is over. A window ahead holds the forecasts made in the two hours from that time on: from when
    on forecasts can be trusted.
    """
    values = series.values.copy()
    middle, window = len(values) // 2, series.steps(_WINDOW_SECONDS)
    values[middle:] *= 2
    found = ours(series, np.array(HORIZONS), config, values)
    observed = targets(values)[:, [h - 1 for h in HORIZONS]]
    last = filled(values[None])[0]
    known = np.isfinite(observed)
    covered = np.nan_to_num(inside(found.ours, observed))
    error = np.where(known, np.abs(observed - found.ours[..., 4]), 0.0)
    naive = np.where(known, np.abs(observed - last[:, None]), 0.0)
    hours = series.step / 3600

    def sums(figures: Floats, begin: int, count: int) -> Floats:
        windows = np.lib.stride_tricks.sliding_window_view(figures[begin : begin + count + window - 1], window, axis=0)
        total: Floats = windows.sum(axis=-1)
        return total

    def spoilt(begin: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        covers = sums(covered, begin, count) < _COVERAGE * sums(known.astype(float), begin, count) - 1e-9
        return covers, sums(error, begin, count) > sums(naive, begin, count) * (1 + 1e-9)

    trailing = np.zeros((2, len(HORIZONS)))
    for k, h in enumerate(HORIZONS):
        # The window that ends with the target at middle + i holds the origins up to middle + i - h.
        both = spoilt(middle - h - window + 1, 3 * window)
        for which, bad in enumerate(both):
            trailing[which, k] = _back(bad[:, k]) * hours
    ahead = [np.where((~bad).any(axis=0), (~bad).argmax(axis=0) * hours, np.inf) for bad in spoilt(middle, 3 * window)]
    return Recovery(trailing[0], trailing[1], ahead[0], ahead[1])


def _back(bad: np.ndarray) -> float:
    """Return the steps from the shift until the first spell of bad windows is over; 0 where there is none."""
    if not bad.any():
        return 0.0
    begin = int(bad.argmax())
    good = np.flatnonzero(~bad[begin:])
    return float(begin + good[0]) if len(good) else float("inf")


def minute_ratios(series: BenchSeries, config: Config) -> Floats:
    """Return the score relative to naive under the same calibration, 2, 4 and 6 minutes ahead, every five minutes."""
    found = ours(series, np.array(MINUTES), config)
    observed = targets(series.values, MINUTES[-1])[:, [m - 1 for m in MINUTES]]
    origins = np.arange(7 * 1440, len(series.values), 5)
    relative: Floats = np.nansum(losses(found.ours, observed)[origins], axis=0) / np.nansum(
        losses(found.naive, observed)[origins], axis=0
    )
    return relative


def day_ahead(series: BenchSeries, config: Config) -> float:
    """Return the mean absolute error over the next day, every two hours, relative to the better simple one.

    A series finer than five minutes is averaged over five first.
    """
    series = _coarser(series)
    values, last = series.values, filled(series.values[None])[0]
    day = series.steps(DAY)
    found = ours(series, np.arange(1, day + 1), config)
    observed = targets(values, day)
    origins = np.arange(series.steps(7 * DAY), len(values) - 1, series.steps(7200))
    middle = np.array([np.median(last[t - day + 1 : t + 1]) for t in origins])

    def error(forecast: Floats) -> float:
        return float(np.nanmean(np.abs(observed[origins] - forecast)))

    return ratio(error(found.ours[origins, :, 4]), min(error(last[origins, None]), error(middle[:, None])))


def _coarser(series: BenchSeries) -> BenchSeries:
    group = int(_DAY_STEP // series.step)
    if group <= 1:
        return series
    count = len(series.values) // group
    cells = series.values[: count * group].reshape(count, group)
    known = np.isfinite(cells)
    means = np.where(known, cells, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    values = np.where(known.any(axis=1), means, np.nan)
    return dataclasses.replace(series, values=values, step=series.step * group)
