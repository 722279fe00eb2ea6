"""``python -m benchmarks.forecast``: the table, with ``JSON=file`` the figures, with ``PLOTS=folder`` the plots."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import series as data
from benchmarks.forecast import parts, peers, risk, runs, scoring
from benchmarks.forecast.scored import Scored
from benchmarks.forecast.scoring import HORIZONS
from benchmarks.series import DAY, WHERE
from twinops.core.forecast.config import CONFIG
from twinops.errors import InputError

KEYS = tuple(str(h) for h in HORIZONS)
CHOICES = """\
Choices where BENCHMARKS.md leaves one open:
- Series with 20 onsets: every step above the limit after one that is not. `hour_apart`: onsets as the warnings have
  them, an hour or more at or below the limit before.
- Two-hour windows after the shift: of the forecasts made from that time on; the worst of steps 3, 6 and 12.
  `…_trailing`: windows that end at that time, by the time of the target. The aim of one hour cannot mean these: at step
  12 every forecast of the first hour was made before the shift, and a trailing window holds that hour for three.
- Warnings: of the thresholds .2, .25 … .9 the one whose figures on the even half fall least short of the floors, in
  shares of each. `after_a_calm_hour`: only raised where nothing was above the limit for an hour.
- Other steps than five minutes: horizons of forecasts are steps 3, 6 and 12, those of risk 15, 30 and 60 minutes; days
  and weeks follow the step; day ahead is on five minutes where the step is shorter."""


def main() -> int:
    """Run everything; return the exit code."""
    folder = Path(os.environ.get("DATA") or os.environ.get("TWINOPS_BENCH_DATA") or "../shared/data")
    began = time.monotonic()
    try:
        chosen = data.series_in(folder) if folder.is_dir() else []
        if not chosen:
            print(WHERE.format(folder=folder), file=sys.stderr)
            return 2
        summary, per_series, kept = _figures(folder, chosen)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(_short(summary), indent=1))
    print(CHOICES)
    print(f"configuration {CONFIG.digest}; {len(chosen)} series; {time.monotonic() - began:.0f} s")
    if target := os.environ.get("JSON"):
        Path(target).write_text(
            json.dumps({"summary": summary, "series": per_series, "config": CONFIG.digest}, indent=1)
        )
    if target := os.environ.get("PLOTS"):
        from benchmarks.forecast import plots  # noqa: PLC0415 - matplotlib is needed for nothing else

        for path in plots.write(Path(target), chosen, kept, per_series, CONFIG):
            print(path)
    return 0


def _short(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary without the tables that are only for JSON."""
    return {
        key: _short(value) if isinstance(value, dict) else value
        for key, value in summary.items()
        if key not in ("even_by_threshold", "series") or not isinstance(value, dict)
    }


def _figures(
    folder: Path, chosen: list[data.BenchSeries]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, list[Scored]]]:
    per_series = _main_table(chosen)
    summary = _summary(chosen, per_series)
    summary["risk"], each, kept = risk.all_risk(chosen, CONFIG)
    for name, figures in each.items():
        per_series[name]["risk"] = figures
    if (folder / "nab").is_dir():
        ratios = {one.name: parts.minute_ratios(one, CONFIG) for one in data.minute_set(folder)}
        for name, ratio in ratios.items():
            per_series[name] = {"minute": dict(zip(map(str, parts.MINUTES), ratio.round(4).tolist(), strict=True))}
        if ratios:
            summary["minute"] = round(scoring.geometric(np.array([ratio.mean() for ratio in ratios.values()])), 4)
        for outage in data.outage_set(folder):
            per_series[outage.name] = _one(outage, None)
    return summary, per_series, kept


def _main_table(chosen: Sequence[data.BenchSeries]) -> dict[str, dict[str, Any]]:
    found = {}
    for step in sorted({one.step for one in chosen}):
        same = [one for one in chosen if one.step == step]
        against = _peers(same)
        for one in same:
            found[one.name] = _one(one, against[one.name])
            figures = found[one.name]
            print(f"{one.name:34s} {one.half:4s} {figures['wis_own']} day {figures['day_ahead']}", flush=True)
    return found


def _peers(same: Sequence[data.BenchSeries]) -> dict[str, dict[str, list[float]]]:
    """Return each peer's losses summed over origins, by series and peer; all series have one step."""
    values, day, week = runs.padded(same), same[0].steps(DAY), same[0].steps(7 * DAY)
    found: dict[str, dict[str, list[float]]] = {one.name: {} for one in same}
    for name, centre in peers.forecasts(runs.filled(values), day).items():
        quantiles = runs.calibrated(centre, values, CONFIG, same[0].step)
        for one, its in zip(same, quantiles, strict=True):
            loss = scoring.losses(its[: len(one.values)], scoring.targets(one.values))
            found[one.name][name] = [scoring.path_sum(loss, h, week) for h in HORIZONS]
    return found


def _one(one: data.BenchSeries, against: dict[str, list[float]] | None) -> dict[str, Any]:
    """Return the figures of one series."""
    week = one.steps(7 * DAY)
    last = runs.filled(one.values[None])[0]
    observed = scoring.targets(one.values)
    forecast = runs.ours(one, runs.ALL_STEPS, CONFIG)
    loss, naive = scoring.losses(forecast.ours, observed), scoring.losses(forecast.naive, observed)
    static = scoring.losses(scoring.static_naive(one.values, last, week), observed)
    within = scoring.inside(forecast.ours, observed)[week:]
    width = (forecast.ours[..., -1] - forecast.ours[..., 0])[week:]
    naive_width = (forecast.naive[..., -1] - forecast.naive[..., 0])[week:]
    own = {str(h): scoring.path_sum(loss, h, week) for h in HORIZONS}
    found: dict[str, Any] = {
        "half": one.half,
        "wis_own": {str(h): scoring.ratio(own[str(h)], scoring.path_sum(naive, h, week)) for h in HORIZONS},
        "wis_own_at": {
            str(h): scoring.ratio(scoring.step_sum(loss, h, week), scoring.step_sum(naive, h, week)) for h in HORIZONS
        },
        "wis_static": {str(h): scoring.ratio(own[str(h)], scoring.path_sum(static, h, week)) for h in HORIZONS},
        "coverage90": {str(h): float(np.nanmean(within[:, h - 1])) for h in HORIZONS},
        "coverage90_rolling": {str(h): scoring.rolling_low(within[:, h - 1], one.steps(DAY)) for h in HORIZONS},
        "width": {
            str(h): scoring.ratio(float(width[:, h - 1].mean()), float(naive_width[:, h - 1].mean())) for h in HORIZONS
        },
        "peers": {
            n: {str(h): scoring.ratio(own[str(h)], rows[k]) for k, h in enumerate(HORIZONS)}
            for n, rows in (against or {}).items()
        },
    }
    back = parts.shift_hours(one, CONFIG)
    for kind, ahead, trailing in (
        ("coverage", back.coverage_ahead, back.coverage),
        ("error", back.error_ahead, back.error),
    ):
        found[f"shift_{kind}_h"] = dict(zip(KEYS, ahead.tolist(), strict=True))
        found[f"shift_{kind}_h_trailing"] = dict(zip(KEYS, trailing.tolist(), strict=True))
    found["day_ahead"] = round(parts.day_ahead(one, CONFIG), 4)
    return {key: _rounded(value) for key, value in found.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _summary(chosen: list[data.BenchSeries], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [found[one.name] for one in chosen]
    even = np.array([one.half == "even" for one in chosen])

    def column(key: str, h: str) -> data.Floats:
        return _column(rows, key, h)

    names = list(rows[0]["peers"])
    peer = {name: {h: np.array([row["peers"][name][h] for row in rows]) for h in KEYS} for name in names}
    # The best peer has the lowest score itself, so against it we have the highest ratio.
    best = max(names, key=lambda name: np.mean([scoring.geometric(peer[name][h]) for h in KEYS]))
    summary: dict[str, Any] = {
        key: {h: round(scoring.geometric(column(key, h)), 4) for h in KEYS}
        for key in ("wis_static", "wis_own", "wis_own_at", "width")
    }
    summary["wis_best_peer"] = {h: round(scoring.geometric(peer[best][h]), 4) for h in KEYS}
    summary["best_peer"] = best
    summary["peers"] = {name: {h: round(scoring.geometric(peer[name][h]), 4) for h in KEYS} for name in names}
    summary["coverage90_mean"] = {h: round(float(column("coverage90", h).mean()), 4) for h in KEYS}
    summary["coverage90_min"] = {h: round(float(column("coverage90", h).min()), 4) for h in KEYS}
    summary["coverage90_rolling_median"] = {
        h: round(float(np.median(column("coverage90_rolling", h))), 4) for h in KEYS
    }
    summary["coverage90_rolling_worst"] = {h: round(float(column("coverage90_rolling", h).min()), 4) for h in KEYS}
    for key in ("shift_coverage_h", "shift_error_h", "shift_coverage_h_trailing", "shift_error_h_trailing"):
        each = {h: float(np.median(column(key, h))) for h in KEYS}
        summary[key] = round(max(each.values()), 3)
        summary[f"{key}_at"] = {h: round(value, 3) for h, value in each.items()}
    summary["day_ahead"] = round(scoring.geometric(np.array([row["day_ahead"] for row in rows])), 4)
    if even.any() and not even.all():
        summary |= _by_halves(rows, even)
    return summary


def _by_halves(rows: Sequence[dict[str, Any]], even: np.ndarray) -> dict[str, Any]:
    """Return the figures of each half, bootstrap intervals, and the gap between the halves.

    Args:
        rows: figures of the series.
        even: whether each of them belongs to the even half, shape (series,).
    """
    found: dict[str, Any] = {}
    for half, mask in (("even", even), ("odd", ~even)):
        found[half] = {
            key: {h: round(scoring.geometric(_column(rows, key, h)[mask]), 4) for h in KEYS}
            for key in ("wis_static", "wis_own", "width")
        }
        found[half]["day_ahead"] = round(scoring.geometric(np.array([r["day_ahead"] for r in rows])[mask]), 4)
    own = {h: _column(rows, "wis_own", h) for h in KEYS}
    found["wis_own_interval"] = {h: [round(v, 4) for v in scoring.bootstrap(own[h])] for h in KEYS}
    found["halves_gap"] = {}
    for h in KEYS:
        theirs = own[h] / np.array([row["peers"]["EWMA .3"][h] for row in rows])
        found["halves_gap"][h] = [round(v, 4) for v in scoring.gap_interval(own[h], theirs, even)]
    return found


def _column(rows: Sequence[dict[str, Any]], key: str, h: str) -> data.Floats:
    """Return one figure of every series at one horizon, shape (series,)."""
    return np.array([row[key][h] for row in rows])


if __name__ == "__main__":
    sys.exit(main())
