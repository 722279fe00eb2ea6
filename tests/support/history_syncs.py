"""Builders for tests about the history of a twin: recorded values, and syncs that read them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from fakes.metrics_backend import FakeBackend
from support.histories import Histories
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.forecast.result import ForecastResult
from twinops.core.observation import Sample
from twinops.core.schedule import next_slot
from twinops.engine.forecast_input import ForecastInput
from twinops.ports.metrics import RangeAnswer, RangeQuery, SourceAccess

STEP = 60
"""Seconds between two syncs."""
NOW = next_slot(1_800_000_000.0, STEP, "uid-1")
"""Unix seconds; a slot of the twin's time grid."""
SOURCE = SourceAccess("default", MetricsSourceSpec(url="http://prometheus:9090"))
LENGTH = 3600
"""Seconds of history."""


def daily(time: float) -> float:
    """Return a wave a day, 30 to 50."""
    return 40 + 10 * math.sin(time / 86_400 * 2 * math.pi)


def recorded(value: Callable[[float], float] = daily) -> Callable[[RangeQuery], RangeAnswer]:
    """Return a metrics backend's history: these values, at any time."""

    def answer(query: RangeQuery) -> RangeAnswer:
        times = np.arange(query.start, query.end + 1, query.step)
        return RangeAnswer(((times, np.array([value(time) for time in times])),))

    return answer


def good(value: float, metric: str = "cpuUsage") -> dict[str, Sample]:
    return {metric: Sample(metric, Quality.GOOD, value, time=NOW)}


def bad(quality: Quality = Quality.EMPTY, value: float | None = None) -> dict[str, Sample]:
    return {"cpuUsage": Sample("cpuUsage", quality, value)}


def spec(step: int = STEP, length: int = LENGTH, **more: Any) -> DigitalTwinSpec:
    predictions = {"historySeconds": length, "horizonsSeconds": [max(900, step)]}
    wire = {"source": {"systemType": "Custom"}, "syncFrequencySeconds": step, "predictions": predictions}
    return DigitalTwinSpec.from_wire(wire | more)


@asynccontextmanager
async def caching(backend: FakeBackend, patience: float = 5.0) -> AsyncIterator[Histories]:
    histories = Histories(backend, loads=1, patience_seconds=patience)
    try:
        yield histories
    finally:
        await histories.aclose()


async def sync(
    histories: Histories,
    at: float,
    samples: Mapping[str, Sample],
    *,
    uid: str = "uid-1",
    promql: str = "cpu",
    source: SourceAccess = SOURCE,
    twin: DigitalTwinSpec | None = None,
    **more: Any,
) -> ForecastResult:
    forecast_input = ForecastInput(now=at, queries=dict.fromkeys(samples, promql), samples=samples, **more)
    return await histories.sync(uid, source, twin or spec(), forecast_input)


def known(result: ForecastResult, metric: str = "cpuUsage") -> int:
    return result.samples.get(metric, 0)


def hiding(error: str, hidden: Callable[[RangeQuery], bool]) -> Callable[[RangeQuery], RangeAnswer]:
    """Know everything but what is hidden, of which it says why."""
    whole = recorded()
    return lambda query: RangeAnswer(error=error) if hidden(query) else whole(query)


WEEKS = spec(length=21 * 86_400)
