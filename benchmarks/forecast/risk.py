"""Risk: the probability of crossing a limit, scored as BENCHMARKS.md defines it.

Which series have "20 onsets" is left open there. The headline counts every step above the limit whose step before was
not. Beside it (``hour_apart``) onsets as the warnings have them: the first crossing after an hour at or below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.forecast.scored import Scored
from benchmarks.forecast.scoring import HORIZONS
from benchmarks.forecast.warnings import warnings
from benchmarks.series import DAY, BenchSeries, Floats
from twinops.core.forecast.backtest import backtest
from twinops.core.forecast.cells import filled
from twinops.core.forecast.config import Config
from twinops.core.forecast.exceedance_batch import backtest_exceedance, outcomes

FEWEST_ONSETS = 20
PERCENTILES = {"p95": 95, "p99": 99}
SECONDS = (900, 1800, 3600)
"""Horizons; at the benchmark's step of five minutes they are 3, 6 and 12 steps, by which the figures are named."""
_BINS = 10
_FIGURES = ("brier_skill", "onset_skill", "reliability_error")


def all_risk(
    chosen: Sequence[BenchSeries], config: Config
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, list[Scored]]]:
    """Return the summary, the figures of every series, and what they were made of, by percentile."""
    centres = [backtest(one.values[None], one.first, one.step, _horizons(one), config).centre[..., 0] for one in chosen]
    summary: dict[str, Any] = {}
    per_series: dict[str, dict[str, Any]] = {one.name: {} for one in chosen}
    kept = {}
    for name, percentile in PERCENTILES.items():
        scored = [_scored(one, centre, percentile, config) for one, centre in zip(chosen, centres, strict=True)]
        rows = {one.series.name: _figures(one) for one in scored}
        for one in scored:
            per_series[one.series.name][name] = rows[one.series.name] | {"onsets": len(one.onsets), "rises": one.rises}
        apart = [one for one in scored if len(one.onsets) >= FEWEST_ONSETS]
        kept[name] = [one for one in scored if one.rises >= FEWEST_ONSETS]
        summary[name] = _summary(kept[name], rows) | {
            "hour_apart": _summary(apart, rows),
            "not_scored": [one.series.name for one in scored if one.rises < FEWEST_ONSETS],
        }
        if name == "p95":
            summary["warnings"] = warnings(kept[name])
    return summary, per_series, kept


def _horizons(one: BenchSeries) -> np.ndarray:
    return np.unique([one.steps(seconds) for seconds in SECONDS])


def _scored(one: BenchSeries, centre: Floats, percentile: float, config: Config) -> Scored:
    limit = float(np.nanpercentile(one.values, percentile))
    horizons = _horizons(one)
    bound = np.array([limit])
    run = backtest_exceedance(one.values[None], centre, bound, horizons, one.step, config, first=one.first)
    above = one.values > limit
    event, _ = outcomes(one.values[None], above[None], horizons)
    # Where a step is longer than the shortest horizon, several are one.
    which = np.searchsorted(horizons, [one.steps(seconds) for seconds in SECONDS])
    places = np.flatnonzero(above)
    first = places[np.diff(places, prepend=-(10**9)) > one.steps(3600)]
    week = one.steps(7 * DAY)
    rises = int((above[1:] & ~above[:-1])[week - 1 :].sum())
    return Scored(one, limit, above, run.exceedance[:, 0, which], event[0, which], first[first > week], rises)


def _figures(one: Scored) -> dict[str, Any]:
    row: dict[str, Any] = {key: {} for key in (*_FIGURES, "diagram")}
    week = one.series.steps(7 * DAY)
    calm_now = filled(one.series.values[None])[0] <= one.limit
    for k, name in enumerate(map(str, HORIZONS)):
        crossed, exceedance = one.event[k, week:], one.exceedance[week:, k]
        known = np.isfinite(crossed)
        calm = known & calm_now[week:]
        row["brier_skill"][name] = round(_skill(exceedance[known], crossed[known]), 4)
        row["onset_skill"][name] = round(_skill(exceedance[calm], crossed[calm]), 4)
        pairs, error = _reliability(exceedance[known], crossed[known])
        row["reliability_error"][name] = round(error, 4)
        row["diagram"][name] = pairs
    return row


def _reliability(exceedance: Floats, crossed: Floats) -> tuple[list[tuple[float, float]], float]:
    """Return mean probability and frequency of ten equal-count bins, and the mean difference."""
    bins = [part for part in np.array_split(np.argsort(exceedance, kind="stable"), _BINS) if len(part)]
    pairs = [(float(exceedance[part].mean()), float(crossed[part].mean())) for part in bins]
    error = sum(len(part) * abs(a - b) for part, (a, b) in zip(bins, pairs, strict=True))
    return [(round(a, 4), round(b, 4)) for a, b in pairs], error / max(len(exceedance), 1)


def _skill(exceedance: Floats, crossed: Floats) -> float:
    base = float(np.mean((crossed - crossed.mean()) ** 2)) if len(crossed) else 0.0
    return float(1 - np.mean((exceedance - crossed) ** 2) / base) if base > 0 else 0.0


def _summary(scored: Sequence[Scored], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means over series, of both halves and of each."""
    found = _mean([rows[one.series.name] for one in scored])
    for half in ("even", "odd"):
        found[half] = _mean([rows[one.series.name] for one in scored if one.series.half == half])
    return found


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"series": 0}
    figures: dict[str, Any] = {
        key: {str(h): round(float(np.mean([row[key][str(h)] for row in rows])), 4) for h in HORIZONS}
        for key in _FIGURES
    }
    figures["brier_skill_min"] = min(value for row in rows for value in row["brier_skill"].values())
    figures["series"] = len(rows)
    return figures
