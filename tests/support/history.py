"""Recorded history that is made up: daily waves with noise, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twinops.replay.recording import Recording

START = 1_777_593_600.0
DAY = 86_400


def waves(rows: int, step: float = 900.0, names: Sequence[str] = ("load",), *, seed: int = 5) -> Recording:
    """Return metrics with a daily wave, noise and a burst now and then."""
    rng = np.random.default_rng(seed)
    times = START + step * np.arange(rows, dtype=np.float64)
    wave = 50 - 30 * np.cos(2 * np.pi * (times % DAY) / DAY)
    bursts = rng.gamma(0.15, 25, (len(names), rows))
    return Recording(tuple(names), times, wave + rng.normal(0, 3, (len(names), rows)) + bursts, step, "made up")


def write_csv(recording: Recording, file: Path) -> Path:
    """Write it as a CSV; what is not known is an empty cell."""
    lines = [",".join(["time", *recording.names])]
    for k, time in enumerate(recording.times):
        cells = ["" if np.isnan(value) else f"{value:.6g}" for value in recording.values[:, k]]
        lines.append(",".join([f"{time:.0f}", *cells]))
    file.write_text("\n".join(lines) + "\n")
    return file
