"""What the condition ``Drifted`` says while a baseline is being learned."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.api.conditions import ConditionType, find
from twinops.api.twin.drift import Drift
from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.api.twin.status import DigitalTwinStatus
from twinops.core.assess.assessment import assess
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.forecast.result import ForecastResult
from twinops.core.observation import Observation, Sample
from twinops.core.state import TwinState
from twinops.core.status.base import Sync
from twinops.core.status.render import render_synced

UNKNOWN, KNOWN = BaselineEstimate(None, None, None), BaselineEstimate(40.0, 30.0, 50.0)
WORDS = "still learning what is normal for "


@pytest.mark.parametrize(
    ("expected", "baselines", "found", "message"),
    [
        pytest.param({}, {}, "Unknown Learning", f"{WORDS}cpuUsage, latencyMs, which takes a day of data", id="all"),
        pytest.param(
            {},
            {"cpuUsage": KNOWN, "latencyMs": UNKNOWN},
            "False WithinThreshold",
            f"everything is as expected; {WORDS}latencyMs",
            id="one of two",
        ),
        pytest.param(
            {"metrics": {"latencyMs": 100}},
            {"cpuUsage": UNKNOWN},
            "False WithinThreshold",
            f"everything is as expected; {WORDS}cpuUsage",
            id="the other one is given",
        ),
        pytest.param(
            {},
            {"cpuUsage": KNOWN, "latencyMs": KNOWN},
            "False WithinThreshold",
            "everything is as expected",
            id="learned",
        ),
    ],
)
def test_drifted_while_learning(
    expected: dict[str, Any], baselines: dict[str, BaselineEstimate], found: str, message: str
) -> None:
    spec = DigitalTwinSpec.from_wire(
        {"source": {"systemType": "WebService"}, "expectedState": {"learned": True} | expected}
    )
    samples = {name: Sample(name, Quality.GOOD, value) for name, value in (("cpuUsage", 40), ("latencyMs", 100))}
    observation = Observation(now=1000.0, samples=samples, forecast_result=ForecastResult(baselines=baselines))
    before = DigitalTwinStatus()
    assessment = assess(spec, observation, TwinState())
    assert assessment.drift == Drift()
    status = render_synced(before, spec, Sync(1, 1000.0, None), observation, assessment, {}, None)
    condition = find(status.conditions, ConditionType.DRIFTED)
    assert condition is not None
    assert (f"{condition.status} {condition.reason}", condition.message) == (found, message)
