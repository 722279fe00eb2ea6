"""``python -m benchmarks.forecast``: the table, and with ``JSON=file`` the figures."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import series as data
from benchmarks.forecast import parts, peers, risk, runs, scoring
from benchmarks.forecast.scoring import HORIZONS
from twinops.core.foresight.config import CONFIG

_WHERE = """No series in {folder}. The public originals:
  nab/           https://github.com/numenta/NAB (data/realAWSCloudwatch, labels/combined_windows.json)
  wc98_min.csv   https://github.com/nimamahmoudi/worldcup98-dataset (requests per minute)
  nasa_min.csv   https://github.com/PasanBhanu/time-series-forecasting-with-facebook-prophet-lstm-hybrid-model
Put them there, or name their folder: TWINOPS_BENCH_DATA=folder."""
KEYS = tuple(str(h) for h in HORIZONS)


def main() -> int:
    """Run everything; return the exit code."""
    folder = Path(os.environ.get("DATA") or os.environ.get("TWINOPS_BENCH_DATA") or "../shared/data")
    flat = not (folder / "nab").exists()
    if not folder.is_dir() or (flat and not any(folder.glob("*.csv"))):
        print(_WHERE.format(folder=folder), file=sys.stderr)
        return 2
    began = time.monotonic()
    chosen = (
        [one for one in data.flat_set(folder) if len(one.values) > scoring.WEEK + 100]
        if flat
        else data.forecast_set(folder)
    )
    per_series = _main_table(chosen)
    summary = _summary(chosen, per_series)
    summary["risk"], each = risk.all_risk(chosen, CONFIG)
    for name, figures in each.items():
        per_series[name]["risk"] = figures
    if not flat:
        ratios = {one.name: parts.minute_ratios(one, CONFIG) for one in data.minute_set(folder)}
        for name, ratio in ratios.items():
            per_series[name] = {"minute": dict(zip(map(str, parts.MINUTES), ratio.round(4).tolist(), strict=True))}
        summary["minute"] = round(scoring.geometric(np.array([ratio.mean() for ratio in ratios.values()])), 4)
        outage = data.nasa_whole(folder)
        per_series[outage.name] = _one(outage, None)
    print(json.dumps(summary, indent=1))
    print(f"configuration {CONFIG.digest}; {time.monotonic() - began:.0f} s")
    if target := os.environ.get("JSON"):
        Path(target).write_text(
            json.dumps({"summary": summary, "series": per_series, "config": CONFIG.digest}, indent=1)
        )
    return 0


def _main_table(chosen: list[data.BenchSeries]) -> dict[str, dict[str, Any]]:
    values = runs.padded(chosen)
    score: dict[str, list[list[float]]] = {}
    for name, centre in peers.forecasts(runs.filled(values)).items():
        quantiles = runs.calibrated(centre, values, CONFIG)
        score[name] = [
            [scoring.path_sum(scoring.losses(q[: len(one.values)], scoring.targets(one.values)), h) for h in HORIZONS]
            for q, one in zip(quantiles, chosen, strict=True)
        ]
        del quantiles
    found = {}
    for k, one in enumerate(chosen):
        found[one.name] = _one(one, {name: rows[k] for name, rows in score.items()})
        print(
            f"{one.name:34s} {one.half:4s} {found[one.name]['wis_own']} day {found[one.name]['day_ahead']}", flush=True
        )
    return found


def _one(one: data.BenchSeries, against: dict[str, list[float]] | None) -> dict[str, Any]:
    """Return the figures of one series."""
    last = runs.filled(one.values[None])[0]
    came = scoring.targets(one.values)
    forecast = runs.ours(one, runs.ALL_STEPS, CONFIG)
    loss, naive = scoring.losses(forecast.ours, came), scoring.losses(forecast.naive, came)
    static = scoring.losses(scoring.static_naive(one.values, last), came)
    within = scoring.inside(forecast.ours, came)[scoring.WEEK :]
    width = (forecast.ours[..., -1] - forecast.ours[..., 0])[scoring.WEEK :]
    naive_width = (forecast.naive[..., -1] - forecast.naive[..., 0])[scoring.WEEK :]
    own = {str(h): scoring.path_sum(loss, h) for h in HORIZONS}
    found: dict[str, Any] = {
        "half": one.half,
        "wis_own": {str(h): scoring.ratio(own[str(h)], scoring.path_sum(naive, h)) for h in HORIZONS},
        "wis_own_at": {str(h): scoring.ratio(scoring.step_sum(loss, h), scoring.step_sum(naive, h)) for h in HORIZONS},
        "wis_static": {str(h): scoring.ratio(own[str(h)], scoring.path_sum(static, h)) for h in HORIZONS},
        "coverage90": {str(h): float(np.nanmean(within[:, h - 1])) for h in HORIZONS},
        "coverage90_rolling": {str(h): scoring.rolling_low(within[:, h - 1]) for h in HORIZONS},
        "width": {
            str(h): scoring.ratio(float(width[:, h - 1].mean()), float(naive_width[:, h - 1].mean())) for h in HORIZONS
        },
        "peers": {
            n: {str(h): scoring.ratio(own[str(h)], rows[k]) for k, h in enumerate(HORIZONS)}
            for n, rows in (against or {}).items()
        },
    }
    covered, better = parts.shift_hours(one, CONFIG)
    found["shift_coverage_h"] = dict(zip(KEYS, covered.tolist(), strict=True))
    found["shift_error_h"] = dict(zip(KEYS, better.tolist(), strict=True))
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
        return np.array([row[key][h] for row in rows])

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
    for key in ("shift_coverage_h", "shift_error_h"):
        each = {h: float(np.median(column(key, h))) for h in KEYS}
        summary[key] = round(float(np.mean(list(each.values()))), 3)
        summary[f"{key}_at"] = {h: round(value, 3) for h, value in each.items()}
    summary["day_ahead"] = round(scoring.geometric(np.array([row["day_ahead"] for row in rows])), 4)
    if even.any() and not even.all():
        for half, mask in (("even", even), ("odd", ~even)):
            summary[half] = {
                key: {h: round(scoring.geometric(column(key, h)[mask]), 4) for h in KEYS}
                for key in ("wis_static", "wis_own", "width")
            }
            summary[half]["day_ahead"] = round(scoring.geometric(np.array([r["day_ahead"] for r in rows])[mask]), 4)
        summary["wis_own_interval"] = {h: [round(v, 4) for v in scoring.bootstrap(column("wis_own", h))] for h in KEYS}
        summary["halves_gap"] = {}
        for h in KEYS:
            theirs = column("wis_own", h) / peer["EWMA .3"][h]
            summary["halves_gap"][h] = [round(v, 4) for v in scoring.gap_interval(column("wis_own", h), theirs, even)]
    return summary


if __name__ == "__main__":
    sys.exit(main())
