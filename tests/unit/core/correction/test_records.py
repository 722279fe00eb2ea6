"""What the list of decisions tells."""

from __future__ import annotations

from typing import Any

import pytest

from support.correcting import HPA, NOW, SCALE, original, state
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.core.correction.records import metrics_held_for


def raised(metric: str, *, age: float = 60, **more: Any) -> CorrectionRecord:
    known: dict[str, Any] = {
        "id": f"{metric}-{age}",
        "time": utc(NOW - age),
        "action": CorrectionAction.RAISE,
        "mode": CorrectionMode.APPLY,
        "object": HPA,
        "field": "spec.minReplicas",
        "trigger": f"Drift/{metric}",
        "why": "",
        "outcome": Outcome.APPLIED,
    }
    return CorrectionRecord(**(known | more))


@pytest.mark.parametrize(
    ("records", "metrics"),
    [
        pytest.param([], set(), id="nothing recorded any more"),
        pytest.param([raised("cpuUsage")], {"cpuUsage"}, id="one raise"),
        pytest.param([raised("cpuUsage"), raised("latencyMs", age=30)], {"cpuUsage", "latencyMs"}, id="two in a row"),
        pytest.param([raised("cpuUsage", age=4000)], set(), id="before the value that is held was found"),
        pytest.param([raised("cpuUsage", outcome=Outcome.PREVIEWED)], set(), id="a preview"),
        pytest.param([raised("cpuUsage", outcome=Outcome.FAILED)], set(), id="refused"),
        pytest.param([raised("NeedPassed", action=CorrectionAction.GIVE_BACK)], set(), id="given back"),
        pytest.param([raised("cpuUsage", object=SCALE)], set(), id="of another object"),
    ],
)
def test_what_a_value_is_held_for(records: list[CorrectionRecord], metrics: set[str]) -> None:
    assert metrics_held_for(state(originals=[original(2)], corrections=records)) == metrics


def test_a_twin_that_holds_nothing_holds_it_for_nothing() -> None:
    assert metrics_held_for(state(corrections=[raised("cpuUsage")])) == set()
