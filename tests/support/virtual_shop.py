"""A virtual workload under a plain HPA, whose replicas corrections may raise ahead: real enough to be learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEP = 300
PER_DAY = 86_400 // STEP
EACH = 100.0
"""Requests per second that one replica can serve."""

_TARGET = 60.0
_TOLERANCE = 0.1
_LEAST, _MOST = 2, 30
_SCALE_DOWN_STEPS = 1
"""The HPA's stabilization window of 300 s."""
_STARTING_STEPS = 1
_RUSHES = (10.5, 18.5)
"""Hours of the day."""
_CORRECTED_RUSHES = 0.85
_QUICKEST_MS = 20.0
_FULL = 0.97


@dataclass(frozen=True, slots=True)
class ForecastInput:
    """What one sync finds.

    Attributes:
        held: whether a correction keeps the replicas up.
        released: whether it gives them back now.
    """

    now: float
    values: dict[str, float]
    ready: int
    held: bool
    released: bool


def raised(days: int, seed: int) -> list[int]:
    """Return the replicas that a correction keeps at each step, 0 for none: ahead of each rush, for hours.

    As corrections are: never at the same time as the day before, nor as far, and not every time.
    """
    rng = np.random.default_rng(seed + 2)
    floors = np.zeros(days * PER_DAY, dtype=int)
    for day in range(days):
        for rush in _RUSHES:
            begin = day * PER_DAY + round((rush + rng.uniform(-3.0, 0.0)) * PER_DAY / 24)
            if rng.random() < _CORRECTED_RUSHES:
                floors[begin : begin + rng.integers(2 * PER_DAY // 24, 5 * PER_DAY // 24)] = rng.integers(12, 24)
    kept: list[int] = floors.tolist()
    return kept


def offered(days: int, seed: int) -> list[float]:
    """Return requests per second: two rushes a day, noise that lasts, days that differ, and a sudden ramp a day."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * PER_DAY) % PER_DAY * 24 / PER_DAY
    rush = sum(np.exp(-(((hours - hour) / 2.0) ** 2)) for hour in _RUSHES)
    busy = np.repeat(rng.normal(1, 0.08, days), PER_DAY)
    noise, ramps = np.zeros(days * PER_DAY), np.ones(days * PER_DAY)
    for step in range(1, len(noise)):
        noise[step] = 0.85 * noise[step - 1] + rng.normal(0, 0.035)
    for begin in rng.integers(0, PER_DAY, days) + PER_DAY * np.arange(days):
        shape = np.minimum(np.arange(1, 13) / 4, 1.0)[: len(ramps) - begin]
        ramps[begin : begin + 12] += rng.uniform(0.2, 0.6) * shape
    load: list[float] = (300 * (1 + rush) * busy * ramps * np.exp(noise)).tolist()
    return load


def run(days: int, *, corrected_from: int | None, seed: int = 7, start: float = 1_800_000_000.0) -> list[ForecastInput]:
    """Let the HPA run for some days.

    Args:
        days: how many.
        corrected_from: the day from which on replicas are raised ahead, None for never.
        seed: of the load, and of what is measured.
        start: Unix seconds.
    """
    rng = np.random.default_rng(seed + 1)
    asked = [6] * (_STARTING_STEPS + 1)
    lows: list[int] = []
    floors = [
        0 if corrected_from is None or step < corrected_from * PER_DAY else floor
        for step, floor in enumerate(raised(days, seed))
    ]
    moments = []
    for step, load in enumerate(offered(days, seed)):
        ready = asked[-1 - _STARTING_STEPS]
        use = load / (ready * EACH)
        cpu = 100 * min(use, 1.0) * rng.normal(1, 0.02)
        served = min(load, _FULL * ready * EACH)
        values = {
            "cpuUsage": cpu,
            "throughputRps": served * rng.normal(1, 0.01),
            "latencyMs": _QUICKEST_MS / (1 - min(use, _FULL)) * rng.lognormal(0, 0.08),
            "errorRate": 1 - served / load,
        }
        floor, before = floors[step], floors[max(step - 1, 0)]
        moments.append(ForecastInput(start + step * STEP, values, ready, held=floor > 0, released=floor == 0 < before))
        lows.append(_hpa(asked[-1], cpu))
        asked.append(min(max(*lows[-1 - _SCALE_DOWN_STEPS :], floor, _LEAST), _MOST))
    return moments


def _hpa(replicas: int, cpu: float) -> int:
    """Return what the HPA's formula asks for."""
    ratio = cpu / _TARGET
    return replicas if abs(ratio - 1) <= _TOLERANCE else math.ceil(replicas * ratio)
