"""``python -m benchmarks.cost``: CPU time and memory of the forecasting core, beside a fixed numpy reference."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from twinops.core.foresight.backtest import backtest
from twinops.core.foresight.config import CONFIG
from twinops.core.foresight.live import advance, start

METRICS = 6
HORIZONS = np.array([3, 6, 12])
FIRST_ORIGINS = 45
"""Origins of the short backtest of a first sync."""
FULL_ORIGINS = 1440
"""Origins of a full one: three days of skill, and two before for weights and scale to settle."""
BATCH = 60
"""Metrics that a full backtest takes at once: ten twins'."""
_REPEATS = 5
_SYNCS = 288


def main() -> int:
    """Measure, print the table, return the exit code."""
    rng = np.random.default_rng(1)
    week = _series(rng, BATCH, 2016)
    twin = week[:METRICS]
    more = _series(rng, METRICS, 21 * 288)
    live = start(twin, 0, 300.0, HORIZONS, CONFIG, origins=FULL_ORIGINS, days=7)
    fresh = _series(rng, METRICS, _REPEATS * _SYNCS)
    position = [2016]

    def day() -> None:
        for _ in range(_SYNCS):
            advance(live, position[0], fresh[:, position[0] - 2016], CONFIG)
            position[0] += 1

    reference = rng.normal(size=(64, 2016))
    figures = {
        "reference_ms": _ms(lambda: reference.T @ reference),
        "first_sync_ms_per_metric": _ms(lambda: start(twin, 0, 300.0, HORIZONS, CONFIG, origins=FIRST_ORIGINS))
        / METRICS,
        "full_backtest_ms_per_metric": _ms(lambda: backtest(week, 0, 300.0, HORIZONS, CONFIG, origins=FULL_ORIGINS))
        / BATCH,
        "steady_sync_ms_per_twin": _ms(day) / _SYNCS,
        "bytes_per_twin_7_days": start(twin, 0, 300.0, HORIZONS, CONFIG, origins=FIRST_ORIGINS, days=7).nbytes,
        "bytes_per_twin_21_days": start(more, 0, 300.0, HORIZONS, CONFIG, origins=FIRST_ORIGINS, days=21).nbytes,
    }
    for name, value in figures.items():
        print(f"{name:32s} {value:10.3f}" if isinstance(value, float) else f"{name:32s} {value:10d}")
    if target := os.environ.get("JSON"):
        Path(target).write_text(json.dumps({"summary": figures, "config": CONFIG.digest}, indent=1))
    return 0


def _series(rng: np.random.Generator, count: int, length: int) -> np.ndarray:
    wave = 50 + 30 * np.sin(np.arange(length) * 2 * np.pi / 288)
    return wave + rng.normal(0, 4, (count, length)) + rng.gamma(0.2, 20, (count, length))


def _ms(work: Callable[[], object]) -> float:
    """Return the CPU time of a call in milliseconds, the median of five."""
    work_times = []
    for _ in range(_REPEATS):
        began = time.process_time()
        work()
        work_times.append(time.process_time() - began)
    return 1000 * median(work_times)


if __name__ == "__main__":
    sys.exit(main())
