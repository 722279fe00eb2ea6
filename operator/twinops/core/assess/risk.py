"""Risks: limits that are crossed now or foreseen to be, with probability, horizon and message."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest

import numpy as np

from twinops.api.base import utc
from twinops.api.twin.predictions import Risk
from twinops.core.assess import debounce
from twinops.core.assess.predictions import rounded
from twinops.core.forecast.horizon import QUANTILES, HorizonForecast
from twinops.core.observation import Sample
from twinops.metric_definitions import definition

LIST_AT = 0.25
"""Probability from which on a risk is listed: one in four is worth a person's look, less would fill the table."""

UNLIST_BELOW = 0.10
"""Probability below which a listed risk is removed (hysteresis): a single sync below ``LIST_AT`` resets neither its
``since`` nor its window."""

OUTSIDE_AT = 0.50
"""Probability from which on a sync counts as outside: more likely than not. By :mod:`twinops.core.assess.debounce`
three of five of these make the risk persistent, and under 80 % of this, 0.40, it is cleared."""

_MIDDLE = QUANTILES.index(0.5)
_CERTAIN = 0.995
_Foreseen = tuple[HorizonForecast, float | None]
"""A forecast, and the exceedance probability until its horizon, None where that is not known."""
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def probability_beyond(forecast: HorizonForecast, limit: float, *, above: bool = True) -> float:
    """Return the probability that the metric lies beyond its limit at the forecast's very horizon, 0..1.

    It is a lower bound of the exceedance probability, which is that of *any* step until the horizon
    (:mod:`twinops.core.forecast.exceedance`), and is used where that is not known yet.

    Between the outer quantiles the distribution is read off them, linearly. Beyond them the tails are
    exponential, through the median and the outer quantile: with p = .05 the outer level and q its value,
    ``P(X > limit) = p exp(-(limit - q) / tau)`` and ``tau = (q - median) / ln(.5 / p)``. That is heavier than
    a normal tail, on purpose: there are no past forecasts to calibrate it with.

    Args:
        forecast: its quantiles, finite and not decreasing.
        limit: same unit as the metric.
        above: whether beyond means above the limit or below it.
    """
    levels, values = np.array(QUANTILES), np.array(forecast.quantiles)
    if not above:
        levels, values, limit = 1 - levels[::-1], -values[::-1], -limit
    if limit >= values[-1]:
        return float(1 - levels[-1]) * _tail(limit - values[-1], values[-1] - values[_MIDDLE])
    if limit < values[0]:
        return 1 - float(levels[0]) * _tail(values[0] - limit, values[_MIDDLE] - values[0])
    # Of several levels with the same value the highest one counts: a limit is crossed only beyond it.
    upper = int(np.searchsorted(values, limit, side="right"))
    share = (limit - values[upper - 1]) / (values[upper] - values[upper - 1])
    return float(1 - (levels[upper - 1] + share * (levels[upper] - levels[upper - 1])))


def _tail(distance: float, spread: float) -> float:
    """Return the share of the outer probability that lies further out than ``distance``."""
    if spread <= 0:
        return 0.0
    return math.exp(-distance / spread * math.log(0.5 / QUANTILES[0]))


def assess_risks(
    limits: Mapping[str, float],
    forecasts: Mapping[str, Sequence[HorizonForecast]],
    exceedance: Mapping[str, Sequence[float]],
    samples: Mapping[str, Sample],
    previous: Sequence[Risk],
    now: float,
    *,
    interval: float,
) -> tuple[Risk, ...]:
    """Return at most one risk per metric with a limit, by metric name.

    The probability is the exceedance probability where that is known, else the one at the horizon itself. Of a
    metric's horizons the earliest that is calibrated and more likely than not is named, otherwise the earliest that is
    worth listing. A metric that is beyond its limit already has probability 1. A metric without a forecast that is not
    beyond its limit has no risk.

    ``persistent`` implies that a correction may be based on the risk: the sample is real and fresh, and the forecast
    is calibrated (or the metric is beyond its limit already, which needs no forecast).

    A sample counts once in the window; after a gap in the data (``debounce.after_gap``) a risk starts anew.

    Args:
        limits: by metric name. Beyond means above, unless the metric is known to be harmful below.
        forecasts: by metric name, empty where there is none.
        exceedance: by metric name, the exceedance probability of the same horizons in the same order; missing or NaN
            where it is not known.
        samples: by metric name.
        previous: the risks of the sync before, for ``since`` and the window.
        now: Unix seconds.
        interval: seconds between two syncs.
    """
    times = {metric: _time(sample, now) for metric, sample in samples.items()}
    before = {risk.metric: risk for risk in previous if not _after_gap(risk, times.get(risk.metric), interval)}
    risks = (
        _assess(
            metric,
            limit,
            _usable(forecasts.get(metric, ()), exceedance.get(metric, ())),
            samples.get(metric),
            before.get(metric),
            now,
        )
        for metric, limit in sorted(limits.items())
        if math.isfinite(limit)
    )
    return tuple(risk for risk in risks if risk is not None)


def _assess(
    metric: str,
    limit: float,
    foreseen: Sequence[_Foreseen],
    sample: Sample | None,
    before: Risk | None,
    now: float,
) -> Risk | None:
    above = definition(metric).harmful_above is not False
    value = None if sample is None else _value(sample, limit, above=above)
    current = value is not None and (value > limit if above else value < limit)
    chosen = _choose(foreseen, limit, above=above, listed=before is not None)
    if current and foreseen:
        chosen = (foreseen[0][0], 1.0)
    if chosen is None and not current:
        return None
    forecast, probability = chosen or (None, 1.0)
    trusted = value is not None and (current or (forecast is not None and forecast.calibrated))
    at = None if sample is None or value is None else _time(sample, now)
    recent, counted = _window(before, at, outside=trusted and probability >= OUTSIDE_AT)
    lasts = debounce.persistent(
        recent,
        before is not None and before.persistent,
        cleared=value is not None and probability < debounce.CLEARED_BELOW * OUTSIDE_AT,
    )
    horizon = forecast.horizon_seconds if forecast else 1
    return Risk(
        metric=metric,
        limit=limit,
        horizon_seconds=horizon,
        probability=round(probability, 2),
        upper=rounded(forecast.upper if forecast else limit if value is None else value),
        since=before.since if before else utc(now),
        recent=recent,
        last_data_time=counted,
        persistent=trusted and lasts,
        calibrated=forecast is not None and forecast.calibrated,
        current=current,
        message=_now_beyond(metric, limit, value, measured=sample is not None and sample.actionable)
        if current and value is not None
        else _may_reach(metric, limit, horizon, probability, above=above),
    )


def _value(sample: Sample, limit: float, *, above: bool) -> float | None:
    """Return a real, fresh value, or a bound that lies beyond the limit; None where there is neither."""
    if sample.actionable:
        return sample.value
    return sample.least if above and sample.least is not None and sample.least > limit else None


def _time(sample: Sample, now: float) -> float | None:
    """Return the time of a real, fresh value, None where there is none."""
    if not sample.actionable and not sample.bounded:
        return None
    return now if sample.time is None else sample.time


def _after_gap(risk: Risk, at: float | None, interval: float) -> bool:
    return at is not None and debounce.after_gap(risk.last_data_time, at, interval)


def _window(before: Risk | None, at: float | None, *, outside: bool) -> tuple[str, datetime | None]:
    """Return the window, with this sync in it when its data are new, and the time of the newest data in it."""
    recent, last = (before.recent, before.last_data_time) if before else ("", None)
    if at is None or not debounce.is_new(last, at):
        return recent, last
    return debounce.push(recent, outside), utc(at)


def _choose(
    foreseen: Sequence[_Foreseen], limit: float, *, above: bool, listed: bool
) -> tuple[HorizonForecast, float] | None:
    """Return the forecast whose horizon is named, with its probability, None when no risk is worth listing."""
    exceedance = [
        (one, probability_beyond(one, limit, above=above) if probability is None else probability)
        for one, probability in foreseen
    ]
    likely = [pair for pair in exceedance if pair[0].calibrated and pair[1] >= OUTSIDE_AT]
    least = UNLIST_BELOW if listed else LIST_AT
    possible = [pair for pair in exceedance if pair[1] >= LIST_AT] or [pair for pair in exceedance if pair[1] >= least]
    return next(iter(likely or possible), None)


def _usable(forecasts: Sequence[HorizonForecast], exceedance: Sequence[float]) -> list[_Foreseen]:
    """Return the finite forecasts, the nearest horizon first, each with its exceedance probability where known."""
    pairs = [
        (one, probability if probability is not None and math.isfinite(probability) else None)
        for one, probability in zip_longest(forecasts, exceedance[: len(forecasts)])
        if one.finite
    ]
    return sorted(pairs, key=lambda pair: pair[0].horizon_seconds)


def duration(seconds: int) -> str:
    """Return a length of time in words: ``45 seconds``, ``30 minutes``, ``1 hour 15 minutes``, ``1 day``.

    At most two units, the rest cut off; up to two hours in minutes where they come out even.
    """
    if 60 <= seconds < 7200 and seconds % 60 == 0 and seconds != 3600:  # noqa: PLR2004 - one minute, one and two hours
        return _count(seconds // 60, "minute")
    parts: list[str] = []
    for size, word in _UNITS:
        amount, rest = divmod(seconds, size)
        if amount or (word == "second" and not parts):
            parts.append(_count(amount, word))
        if parts and (rest == 0 or len(parts) == 2):  # noqa: PLR2004 - two units are enough
            break
        seconds = rest
    return " ".join(parts)


def _count(amount: int, word: str) -> str:
    return f"{amount} {word}" if amount == 1 else f"{amount} {word}s"


def _may_reach(metric: str, limit: float, horizon: int, probability: float, *, above: bool) -> str:
    verb = "reach" if above else "fall to"
    percent = "over 99 %" if probability > _CERTAIN else f"{100 * probability:.0f} %"
    known = definition(metric)
    return f"{known.subject} may {verb} {known.show(limit)} in {duration(horizon)} ({percent})"


def _now_beyond(metric: str, limit: float, value: float, *, measured: bool) -> str:
    known = definition(metric)
    least = "" if measured else "least "
    return f"{known.subject} is at {least}{known.show(value)}, beyond its limit of {known.show(limit)}"
