"""What was found before a restart stands until the history has been read again; nothing is corrected on it."""

from __future__ import annotations

import dataclasses

import pytest

from support.correcting import NOW, observation, spec
from twinops.api.base import utc
from twinops.api.twin.predictions import Risk
from twinops.core.assess.assessment import Assessment, assess
from twinops.core.correction.need import demand
from twinops.core.forecast.result import ForecastResult
from twinops.core.state import TwinState

TWIN = spec(limits={"cpuUsage": 95}, syncFrequencySeconds=60)


def risk(*, age: float = 60, current: bool = False) -> Risk:
    return Risk(
        metric="cpuUsage",
        limit=95,
        horizon_seconds=900,
        probability=0.9,
        upper=99,
        since=utc(NOW - 600),
        recent="11111",
        last_data_time=utc(NOW - age),
        persistent=True,
        calibrated=True,
        current=current,
        message="cpuUsage may reach 95 in 15 minutes",
    )


def found(before: Risk, *, complete: bool, cpu: float = 40) -> Assessment:
    seen = dataclasses.replace(
        observation(cpuUsage=cpu), forecast_result=ForecastResult(history_complete=complete), limits={"cpuUsage": 95.0}
    )
    state = TwinState(risks=(before,))
    result = assess(TWIN, seen, state)
    needed = demand(TWIN, seen, result.drift, result.risks)
    assert needed == demand(TWIN, seen, result.drift, ()), "a kept risk is no reason for a correction"
    return result


@pytest.mark.parametrize(
    ("before", "complete", "kept"),
    [
        pytest.param(risk(), False, True, id="foreseen, and still ahead"),
        pytest.param(risk(age=901), False, False, id="foreseen for a time that has passed"),
        pytest.param(risk(current=True), False, False, id="beyond its limit then, within it now"),
        pytest.param(risk(), True, False, id="the history has been read"),
    ],
)
def test_a_risk_outlasts_a_restart(before: Risk, complete: bool, kept: bool) -> None:  # noqa: FBT001 - table cases
    assert list(found(before, complete=complete).risks) == ([before] if kept else [])
