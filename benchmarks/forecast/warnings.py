"""Warnings: the probability at 60 minutes against one threshold, fixed on the even half of the series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.forecast.scored import Scored
from benchmarks.series import DAY

THRESHOLDS = np.arange(0.2, 0.91, 0.05).round(2)
LEAST = {"warned": 0.45, "lead_min": 15.0, "precision": 0.65}
MOST = {"false_per_metric_day": 0.25, "quiet_alarm_share": 0.05}


def warnings(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the figures as defined, and beside them those of warnings that are only raised after a calm hour.

    As defined, a probability that stays high after a crossing is a warning, too, although the incident is there
    already; such warnings have long leads and fill quiet time.
    """
    return _warnings(scored, calm=False) | {"after_a_calm_hour": _warnings(scored, calm=True)}


def _warnings(scored: Sequence[Scored], *, calm: bool) -> dict[str, Any]:
    """Return the figures at the threshold that falls least short of the floors on the even half."""
    halves = {half: [one for one in scored if one.series.half == half] for half in ("even", "odd")}
    tuned_on = halves["even"] or scored
    table = {float(threshold): judge(tuned_on, threshold, calm=calm) for threshold in THRESHOLDS}
    best = min(table, key=lambda threshold: _shortfall(table[threshold]))
    return judge(scored, best, calm=calm) | {
        "threshold": best,
        **{half: judge(ones, best, calm=calm) for half, ones in halves.items()},
        "series": {one.series.name: judge([one], best, calm=calm) for one in scored},
        "even_by_threshold": table,
    }


def _shortfall(figures: dict[str, float]) -> float:
    """Return by what shares of the floors the figures miss them, all together."""
    return sum(max(0.0, 1 - figures[key] / floor) for key, floor in LEAST.items()) + sum(
        max(0.0, figures[key] / floor - 1) for key, floor in MOST.items()
    )


def judge(scored: Sequence[Scored], threshold: float, *, calm: bool = False) -> dict[str, float]:
    """Return the figures of all these series together at one threshold.

    Args:
        scored: the series.
        threshold: least probability of a warning.
        calm: whether a warning needs an hour at or below the limit before it.
    """
    counts = [_count(one, threshold, calm=calm) for one in scored]
    total = {key: sum(one[key] for one, _ in counts) for key in counts[0][0]} if counts else {}
    leads = [lead for _, its in counts for lead in its]

    def share(part: str, whole: str) -> float:
        return round(total.get(part, 0.0) / max(total.get(whole, 0.0), 1e-9), 4)

    return {
        "warned": share("warned", "onsets"),
        "lead_min": round(float(np.median(leads)), 1) if leads else 0.0,
        "precision": share("hits", "episodes"),
        "false_per_metric_day": share("false", "days"),
        "quiet_alarm_share": share("alarmed", "quiet"),
    }


def _count(one: Scored, threshold: float, *, calm: bool) -> tuple[dict[str, float], list[float]]:
    """Return what there is to count in one series, and the lead of every onset that was warned of, in minutes."""
    week, hour = one.series.steps(7 * DAY), one.series.steps(3600)
    raised = np.flatnonzero(one.exceedance[:, -1] >= threshold)
    raised = raised[raised >= week]
    if calm:
        raised = raised[_calm_for(one.above, hour)[raised]]
    begins = raised[np.diff(raised, prepend=-(10**9)) > hour]
    quiet = ~one.above
    quiet[:week] = False
    leads = []
    for onset in one.onsets:
        quiet[max(0, onset - hour) : onset] = False
        before = raised[(raised >= onset - hour) & (raised < onset)]
        if len(before):
            leads.append(one.series.step / 60 * float(onset - begins[begins <= before[0]][-1]))
    episodes = hits = 0
    for begin, after in zip(begins, np.append(begins, len(one.above))[1:], strict=True):
        if one.above[begin]:
            continue
        mine = raised[(raised >= begin) & (raised < after)]
        episodes += 1
        hits += any(((mine < onset) & (mine >= onset - hour)).any() for onset in one.onsets)
    return {
        "onsets": len(one.onsets),
        "warned": len(leads),
        "episodes": episodes,
        "hits": hits,
        "false": episodes - hits,
        "quiet": float(quiet.sum()),
        "alarmed": float(quiet[raised].sum()),
        "days": (len(one.above) - week) * one.series.step / DAY,
    }, leads


def _calm_for(above: np.ndarray, steps: int) -> np.ndarray:
    """Tell at each step whether it and the steps before it all lie at or below the limit."""
    places = np.arange(len(above))
    last = np.maximum.accumulate(np.where(above, places, -(10**9)))
    calm: np.ndarray = places - last > steps
    return calm
