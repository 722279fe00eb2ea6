"""Risk: the probability of crossing a limit, scored as BENCHMARKS.md defines it.

A series is scored with twenty onsets after day 7: steps above the limit whose step before was not. The warnings, whose
onset events need an hour at or below the limit, are scored on the series with twenty of those.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.forecast.runs import padded
from benchmarks.forecast.scoring import HORIZONS, WEEK
from benchmarks.series import BenchSeries, Floats
from twinops.core.foresight.backtest import backtest
from twinops.core.foresight.config import Config
from twinops.core.foresight.crossing import backtest_crossing, outcomes
from twinops.core.foresight.views import filled

FEWEST_ONSETS = 20
_HOUR = 12
_BINS = 10
THRESHOLDS = np.arange(0.2, 0.81, 0.05)


def all_risk(chosen: list[BenchSeries], config: Config) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the summary, and the figures of every series."""
    values = padded(chosen)
    centre = np.zeros((values.shape[1], len(chosen), len(HORIZONS)))
    for k, one in enumerate(chosen):
        done = backtest(one.values[None], int(one.start // one.step), one.step, np.array(HORIZONS), config)
        centre[: len(one.values), k] = done.centre[:, 0, :, 0]
    even = np.array([one.half == "even" for one in chosen])
    summary: dict[str, Any] = {}
    per_series: dict[str, dict[str, Any]] = {one.name: {} for one in chosen}
    for name, percentile in (("p95", 95), ("p99", 99)):
        limit = np.array([np.nanpercentile(one.values, percentile) for one in chosen])
        chance = backtest_crossing(values, centre, limit, np.array(HORIZONS), 300.0, config)
        rows = _scores(chosen, values, limit, chance)
        for one, row in zip(chosen, rows, strict=True):
            per_series[one.name][name] = row or "not scored: fewer than 20 onsets"
        summary[name] = _mean(rows)
        for half, mask in (("even", even), ("odd", ~even)):
            summary[name][half] = _mean([row if use else None for row, use in zip(rows, mask, strict=True)])
        if percentile == 95:  # noqa: PLR2004 - warnings are defined on this limit
            summary["warnings"] = _warnings(chosen, limit, chance[..., -1], even)
    return summary, per_series


def _scores(chosen: list[BenchSeries], values: Floats, limit: Floats, chance: Floats) -> list[dict[str, Any] | None]:
    event, _ = outcomes(values, limit, np.array(HORIZONS))
    last = filled(values)
    rows: list[dict[str, Any] | None] = []
    for k, one in enumerate(chosen):
        above = np.nan_to_num(one.values, nan=-np.inf) > limit[k]
        onsets = above[1:] & ~above[:-1]
        if onsets[WEEK - 1 :].sum() < FEWEST_ONSETS:
            rows.append(None)
            continue
        row: dict[str, Any] = {"brier_skill": {}, "onset_skill": {}, "reliability_error": {}, "diagram": {}}
        for h, horizon in enumerate(HORIZONS):
            came, p = event[k, h, WEEK : len(one.values)], chance[WEEK : len(one.values), k, h]
            known = np.isfinite(came)
            calm = known & (last[k, WEEK : len(one.values)] <= limit[k])
            row["brier_skill"][str(horizon)] = _skill(p[known], came[known])
            row["onset_skill"][str(horizon)] = _skill(p[calm], came[calm])
            bins = np.array_split(np.argsort(p[known], kind="stable"), _BINS)
            pairs = [(float(p[known][part].mean()), float(came[known][part].mean())) for part in bins]
            row["reliability_error"][str(horizon)] = float(
                sum(len(part) * abs(a - b) for part, (a, b) in zip(bins, pairs, strict=True)) / known.sum()
            )
            row["diagram"][str(horizon)] = pairs
        rows.append(row)
    return rows


def _skill(chance: Floats, came: Floats) -> float:
    base = float(np.mean((came - came.mean()) ** 2))
    return float(1 - np.mean((chance - came) ** 2) / base) if base > 0 else 0.0


def _mean(rows: list[dict[str, Any] | None]) -> dict[str, Any]:
    known = [row for row in rows if row is not None]
    if not known:
        return {"series": 0}
    figures: dict[str, Any] = {
        key: {str(h): round(float(np.mean([row[key][str(h)] for row in known])), 4) for h in HORIZONS}
        for key in ("brier_skill", "onset_skill", "reliability_error")
    }
    figures["brier_skill_min"] = round(min(v for row in known for v in row["brier_skill"].values()), 4)
    figures["series"] = len(known)
    return figures


def _warnings(chosen: list[BenchSeries], limit: Floats, chance: Floats, even: np.ndarray) -> dict[str, Any]:
    events = []
    for k, one in enumerate(chosen):
        above = np.nan_to_num(one.values, nan=-np.inf) > limit[k]
        places = np.flatnonzero(above)
        first = places[np.diff(places, prepend=-(10**6)) > _HOUR]
        events.append((above, first[first > WEEK]))
    scored = np.array([len(first) >= FEWEST_ONSETS for _, first in events])
    table = {float(t): _warned(events, chance, np.flatnonzero(scored & even), t) for t in THRESHOLDS}
    # The threshold that comes nearest the floors on the even half: warned, precision, quiet time.
    best = max(
        table,
        key=lambda t: (
            min(table[t]["warned"] / 0.45, table[t]["precision"] / 0.65, 1.0)
            - max(0.0, table[t]["quiet_alarm_share"] - 0.05)
        ),
    )
    figures = _warned(events, chance, np.flatnonzero(scored), best)
    return figures | {"threshold": round(best, 2), "even": table[best]}


def _warned(
    events: list[tuple[np.ndarray, np.ndarray]], chance: Floats, which: np.ndarray, threshold: float
) -> dict[str, Any]:
    onsets = warned = episodes = hits = quiet = alarmed = 0
    leads, days = [], 0.0
    for k in which:
        above, first = events[k]
        count = len(above)
        raised = np.flatnonzero(chance[:count, k] >= threshold)
        raised = raised[raised >= WEEK]
        begins = raised[np.diff(raised, prepend=-(10**6)) > _HOUR]
        calm = ~above
        calm[:WEEK] = False
        for onset in first:
            calm[max(0, onset - _HOUR) : onset] = False
            before = raised[(raised >= onset - _HOUR) & (raised < onset)]
            if len(before):
                warned += 1
                leads.append(5.0 * (onset - begins[begins <= before[0]][-1]))
        for begin, after in zip(begins, np.append(begins, count)[1:], strict=True):
            if above[begin]:
                continue
            mine = raised[(raised >= begin) & (raised < after)]
            episodes += 1
            hits += bool(any(((mine < onset) & (mine >= onset - _HOUR)).any() for onset in first))
        onsets += len(first)
        quiet += int(calm.sum())
        alarmed += int(calm[raised].sum())
        days += (count - WEEK) / 288
    return {
        "warned": round(warned / max(onsets, 1), 4),
        "lead_min": float(np.median(leads)) if leads else 0.0,
        "precision": round(hits / max(episodes, 1), 4),
        "false_per_metric_day": round((episodes - hits) / max(days, 1e-9), 4),
        "quiet_alarm_share": round(alarmed / max(quiet, 1), 4),
    }
