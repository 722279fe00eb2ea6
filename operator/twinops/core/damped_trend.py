"""A plain, honest forecaster: damped trends, weighted on their own recent errors, with measured intervals.

How a forecast comes about, everything from the series itself and nothing tuned to any:

1. Gaps between known values are bridged by a straight line and single spikes are clipped (Hampel 1974),
   looking backwards only. Only known values are ever forecast from or scored against. When the newest
   entries are unknown, the forecast starts at the last known one and reaches that much further.
2. A fixed bank of smoothers (``holt``, ``past``), from naive to slow levels and damped trends, is run over
   it. A trend also comes gated: it counts only as far as its slope stands out of what that slope usually is,
   so that it is no burden on a flat, noisy series and is there when a ramp begins.
3. At every past origin each member's h-step errors *known by then* (an error of horizon h at origin t is
   known at t + h) give its weight: mean error to the power of -6, in the spirit of Bates & Granger (1969).
   A member whose latest few-step errors are well above its usual ones is in trouble now, which the h-step
   errors will show only h steps later; its error counts as that much larger.
4. The combined forecasts at these origins are scored against what came: that gives the confidence (error
   relative to naive on the same origins) and, divided by the error scale as known at each origin, the
   residuals whose empirical quantiles set the interval (split conformal prediction, Lei et al. 2018).
   A forecast that did worse than naive is replaced by naive.

Before ``MIN_CHECKS`` matured checks at a horizon the forecast is naive +- z sigma sqrt(h), with sigma the
root mean square of one-step changes: the width of a random walk, honest but wide, and not calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from twinops.core.forecast import MIN_CHECKS, MIN_SAMPLES, QUANTILES, HorizonForecast
from twinops.core.observation import Floats, Series
from twinops.core.past import MEMBERS, SMOOTHERS, TINY, Past, prepare, running_mean

Indices = npt.NDArray[np.intp]

ORIGINS = 500
"""Past origins that are scored: enough for a .95 quantile, few enough to stay cheap and recent."""

WARM_UP = 200
"""Entries before the first scored origin, for the smoothers to settle."""

_SCORE_WINDOW = 100
"""Matured errors that a member is weighted on."""
_POWER = 6.0
"""Exponent of the weights: large enough that a poor member hardly counts."""
_FIRST_CHECKS = 10
"""Matured errors before which members can't be told apart (naive until then); also the weight of the
random walk in the error scale."""
_SCALE_WINDOW = 50
"""Matured errors that the error scale is measured on."""
_TREND_DOUBT = 0.25
"""Share of the extrapolated rise that widens the interval: a trend may stop at any step."""
_CALM = 0.1
"""Least error scale, as a share of the usual one: after a perfect calm any error is infinitely many times it."""
_FARTHEST = 2.0
"""No interval reaches further than this many times the largest error seen. A shock after a calm is many times
the calm's error scale, and must not be multiplied with the scale of the shock in full."""
_NAIVE_TOLERANCE = 1.02
"""Error relative to naive beyond which naive is taken instead."""

_HUGE = 1e100
"""No measurement is larger; squares of such figures would overflow."""
_Z = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
_MIDDLE = QUANTILES.index(0.5)


class DampedTrend:
    """Satisfies ``core.forecast.Forecaster``. Holds no state; see the module's docstring for the method."""

    def depth(self, step: float, horizons_seconds: Sequence[int]) -> int:
        """Return how many of the newest entries are read, counted from the last known one.

        Two horizons come on top of origins and warm-up: what the newest origin foresaw came one horizon later,
        and the errors known at the oldest one are of forecasts one horizon older.

        Args:
            step: seconds between two entries.
            horizons_seconds: as for ``forecast``.
        """
        return _depth(max((_steps(horizon, step) for horizon in horizons_seconds), default=0))

    def forecast(
        self,
        series: Series,
        horizons_seconds: Sequence[int],
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> tuple[HorizonForecast, ...]:
        """Foresee the metric ``horizons_seconds`` after the last entry of ``series``.

        Horizons are rounded up to whole steps. NaN, Inf and figures beyond 1e100 are unknown. Never
        raises, whatever the values are; scaling and shifting the series does the same to the forecast
        unless a range is given.

        Args:
            series: at least ``MIN_SAMPLES`` known values; only the newest ``depth`` entries are read.
            horizons_seconds: each at least 1.
            minimum: least possible value, where there is one.
            maximum: largest possible value, where there is one.

        Returns:
            One forecast per horizon, in their order; an empty tuple when fewer than ``MIN_SAMPLES``
            values are known.
        """
        values = np.where(np.abs(series.values) < _HUGE, series.values, np.nan)
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < MIN_SAMPLES or not horizons_seconds:
            return ()
        silent = len(values) - 1 - int(known[-1])
        steps = [_steps(horizon, series.step) + silent for horizon in horizons_seconds]
        oldest = min(known[-MIN_SAMPLES], known[-1] + 1 - _depth(max(steps)))
        past = prepare(values[known[np.searchsorted(known, oldest)] : known[-1] + 1])
        return tuple(
            _foresee(past, horizon, ahead, minimum, maximum)
            for horizon, ahead in zip(horizons_seconds, steps, strict=True)
        )


def _steps(horizon: int, step: float) -> int:
    return max(1, math.ceil(horizon / step - 1e-9))


def _depth(ahead: int) -> int:
    return ORIGINS + WARM_UP + 2 * ahead


def _foresee(past: Past, horizon: int, ahead: int, minimum: float | None, maximum: float | None) -> HorizonForecast:
    """Forecast ``ahead`` steps from the past's last entry."""
    points, risen, naive, checks = *_combined(past, ahead), past.raw, _checks(past, ahead)
    confidence = None
    if len(checks) < MIN_CHECKS:
        offsets = _Z * past.sigma * np.sqrt(ahead)
        middle = naive[-1]
    else:
        came = past.raw[checks + ahead]
        error, naive_error = np.mean(np.abs(came - points[checks])), np.mean(np.abs(came - naive[checks]))
        confidence = _confidence(float(error), float(naive_error))
        if error > _NAIVE_TOLERANCE * naive_error:
            points, risen = naive, np.zeros_like(risen)
        offsets = _interval(came - points[checks], _scale(past, points, risen, ahead), checks, ahead)
        middle = points[-1]
    low, high = -np.inf if minimum is None else minimum, np.inf if maximum is None else maximum
    quantiles = np.clip(past.base + past.unit * (middle + offsets), low, high)
    return HorizonForecast(
        horizon_seconds=horizon,
        quantiles=tuple(float(value) for value in quantiles),
        confidence=confidence,
        checks=len(checks),
        calibrated=len(checks) >= MIN_CHECKS,
    )


def _checks(past: Past, ahead: int) -> Indices:
    """Return the newest ``ORIGINS`` origins whose forecast has come due and can be scored."""
    return np.flatnonzero(past.ready[:-ahead] & np.isfinite(past.raw[ahead:]))[-ORIGINS:]


def _combined(past: Past, ahead: int) -> tuple[Floats, Floats]:
    """Return the weighted forecast from every entry and the rise within it, both of shape (n,)."""
    reach = np.array([SMOOTHERS[k].reach(ahead) for k in MEMBERS])
    rises = reach * past.slopes
    members = past.levels + rises
    if ahead >= len(past.raw):
        return past.raw, np.zeros_like(past.raw)
    scored = np.isfinite(past.raw[:-ahead]) & np.isfinite(past.raw[ahead:])
    misses = np.zeros_like(members)
    misses[ahead:] = np.where(scored[:, None], np.abs(past.clean[ahead:, None] - members[:-ahead]), 0.0)
    counts = np.zeros(len(scored) + ahead)
    counts[ahead:] = scored
    score = (running_mean(misses, _SCORE_WINDOW, counts) + TINY) * past.trouble
    weights = (score.min(axis=1, keepdims=True) / score) ** _POWER
    weights /= weights.sum(axis=1, keepdims=True)
    young = np.cumsum(counts) < _FIRST_CHECKS
    points = np.where(young, past.raw, (weights * members).sum(axis=1))
    return points, np.where(young, 0.0, (weights * rises).sum(axis=1))


def _scale(past: Past, points: Floats, risen: Floats, ahead: int) -> Floats:
    """Return the expected size of the error from every entry, shape (n,), from errors known by then.

    The mean of the latest errors; what a random walk of the same changes would give stands in for those not
    there yet.
    """
    scored = past.ready[:-ahead] & np.isfinite(past.raw[ahead:])
    misses, counts = np.zeros(len(points)), np.zeros(len(points))
    misses[ahead:] = np.where(scored, np.abs(past.clean[ahead:] - points[:-ahead]), 0.0)
    counts[ahead:] = scored
    known = np.minimum(np.cumsum(counts), _SCALE_WINDOW)
    share = known / (known + _FIRST_CHECKS)
    walk = past.change * np.sqrt(ahead)
    size: Floats = share * running_mean(misses, _SCALE_WINDOW, counts) + (1 - share) * walk
    size += _TREND_DOUBT * np.abs(risen)
    return size


def _interval(errors: Floats, scale: Floats, checks: Indices, ahead: int) -> Floats:
    """Return the distance of each quantile from the point forecast, 0 in the middle: the point is the median.

    The r-th smallest of n scaled errors stands at level r / (n + 1), which keeps coverage on few checks (split
    conformal). Errors ``ahead`` steps long overlap, so n of them say no more than n / ahead independent ones:
    the levels are stretched by that uncertainty, up to the largest errors seen.

    Args:
        errors: shape (m,), what came less the point forecast, at each check.
        scale: shape (n,), expected size of the error from every entry; the last one counts now.
        checks: shape (m,), the checks' entries.
        ahead: steps.
    """
    largest = np.abs(errors).max()
    scale = np.maximum(scale, max(_CALM * scale.mean(), TINY * largest) or 1.0)
    ordered = np.sort(errors / scale[checks])
    levels = 0.5 + (np.array(QUANTILES) - 0.5) * (1 + ahead / len(ordered))
    offsets = scale[-1] * np.interp(levels * (len(ordered) + 1) - 1, np.arange(len(ordered)), ordered)
    offsets[:_MIDDLE] = np.minimum(offsets[:_MIDDLE], 0.0)
    offsets[_MIDDLE:] = np.maximum(offsets[_MIDDLE:], 0.0)
    offsets[_MIDDLE] = 0.0
    within: Floats = np.clip(offsets, -_FARTHEST * largest, _FARTHEST * largest)
    return within


def _confidence(error: float, naive_error: float) -> float:
    """Return 1 - error relative to naive, within 0..1. A forecast that was never wrong has 1."""
    if error == 0:
        return 1.0
    return float(np.clip(1 - error / naive_error, 0.0, 1.0)) if naive_error > 0 else 0.0
