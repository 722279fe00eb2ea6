"""``python -m benchmarks.cost``: CPU time and memory of a forecaster and of whole syncs, beside a numpy reference."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.whole_sync import whole_sync
from twinops.core.forecast.config import CONFIG, DAY
from twinops.core.forecast.forecaster import QUICK_ORIGINS, RECENT_STEPS, Forecaster
from twinops.core.forecast.recorded import Recorded
from twinops.core.series import Floats, Series
from twinops.metric_definitions import STANDARD

METRICS = tuple(STANDARD)
HORIZONS = (900, 1800, 3600)
LIMITS = {"cpuUsage": 90.0, "memoryUsage": 95.0}
STEP = 300.0
"""Seconds between two syncs; at each of them a new cell begins, which is the most expensive case."""
MINUTE = 60.0
_OLDER = 300.0
_NOW = 1_800_000_000.0
_REPEATS = 5
_SYNCS = 288
_TWINS = 100


def main() -> int:
    """Measure, print the table, return the exit code."""
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(64, 2016))
    figures: dict[str, float | int] = {"reference_ms": _ms(lambda: reference.T @ reference)}
    week = _past(rng, 7, STEP)
    figures["first_sync_ms_per_metric"] = _ms(lambda: _first_sync(week)) / len(METRICS)
    figures["full_backtest_ms_per_metric"] = _ms(lambda: _learned(week, STEP)) / len(METRICS)
    for label, step in (("", STEP), ("_each_minute", MINUTE)):
        for days in (7, 21):
            forecaster = _learned(_past(rng, days, step), step)
            forecaster.observe(_NOW + step, dict.fromkeys(METRICS, 50.0), limits=LIMITS, replicas=3)
            figures[f"bytes_per_twin_{days}_days{label}"] = forecaster.nbytes
            if days == 21:  # noqa: PLR2004 - the most expensive
                figures[f"steady_sync_ms_per_twin{label}"] = _ms(_a_day(forecaster, rng)) / _SYNCS
    forecaster = _learned(week, STEP, learned=True)
    figures["steady_sync_ms_per_twin_with_baseline"] = _ms(_a_day(forecaster, rng)) / _SYNCS
    parts = whole_sync(_past(rng, 7, MINUTE), MINUTE, LIMITS, _TWINS)
    figures |= {f"whole_sync_ms_{part}": each for part, each in parts.items()}
    for name in [name for name in figures if "_ms" in name and name != "reference_ms"]:
        figures[name.replace("_ms_", "_references_")] = figures[name] / figures["reference_ms"]
    for name, value in figures.items():
        print(f"{name:50s} {value:10.3f}" if isinstance(value, float) else f"{name:50s} {value:10d}")
    if target := os.environ.get("JSON"):
        Path(target).write_text(json.dumps({"summary": figures, "series": {}, "config": CONFIG.digest}, indent=1))
    return 0


def _series(rng: np.random.Generator, times: Floats, step: float) -> Series:
    wave = 50 + 30 * np.sin(times * 2 * np.pi / DAY)
    return Series(times, wave + rng.normal(0, 4, len(times)) + rng.gamma(0.2, 20, len(times)), step)


def _past(rng: np.random.Generator, days: int, step: float) -> dict[str, Recorded]:
    """Return history as the operator reads it: at one step from five minutes on, else in two resolutions."""
    length = days * DAY
    if step >= _OLDER:
        times = _NOW - step * np.arange(length // step, dtype=np.float64)[::-1]
        return {name: Recorded(_series(rng, times, step)) for name in METRICS}
    times = _NOW - step * np.arange(RECENT_STEPS, dtype=np.float64)[::-1]
    before = np.arange(_NOW - length, times[0], _OLDER)
    return {name: Recorded(_series(rng, times, step), _series(rng, before, _OLDER)) for name in METRICS}


def _learned(
    past: dict[str, Recorded], step: float, origins: int | None = None, *, learned: bool = False
) -> Forecaster:
    forecaster = Forecaster(METRICS, step, HORIZONS, learned=learned)
    forecaster.learn(past, limits=LIMITS, origins=origins)
    return forecaster


def _first_sync(past: dict[str, Recorded]) -> None:
    forecaster = _learned(past, STEP, QUICK_ORIGINS)
    forecaster.observe(_NOW + STEP, dict.fromkeys(METRICS, 50.0), limits=LIMITS, replicas=3)


def _a_day(forecaster: Forecaster, rng: np.random.Generator) -> Callable[[], None]:
    """Return a function that does 288 syncs each time it is called."""
    values = 50 + rng.normal(0, 4, (_SYNCS, len(METRICS))) + rng.gamma(0.2, 20, (_SYNCS, len(METRICS)))

    def work() -> None:
        if forecaster.newest is None:
            raise AssertionError("it has learned")
        begin = forecaster.newest + 1
        for k, row in enumerate(values.tolist()):
            fresh = dict(zip(METRICS, row, strict=True))
            forecaster.observe((begin + k) * forecaster.step, fresh, limits=LIMITS, replicas=3)

    return work


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
