"""Which metrics nothing is learned from because a correction changes them."""

from __future__ import annotations

from typing import Any

import pytest

from support.correcting import HPA, NOW, original, spec, state
from twinops.api.base import utc
from twinops.api.twin.corrections import CorrectionAction, CorrectionRecord, Outcome
from twinops.api.twin.spec import CorrectionMode
from twinops.core.assess.censoring import calibration_excluded, risk_excluded
from twinops.core.state import TwinState

LONGEST = 3600
BENT = {"cpuUsage", "memoryUsage", "latencyMs", "errorRate"}


def record(age: float, **more: Any) -> CorrectionRecord:
    known: dict[str, Any] = {
        "id": "one",
        "time": utc(NOW - age),
        "action": CorrectionAction.GIVE_BACK,
        "mode": CorrectionMode.APPLY,
        "object": HPA,
        "field": "spec.minReplicas",
        "trigger": "NeedPassed",
        "why": "",
        "outcome": Outcome.APPLIED,
    }
    return CorrectionRecord(**(known | more))


RAISE = {"action": CorrectionAction.RAISE}


@pytest.mark.parametrize(
    ("previous", "bent"),
    [
        pytest.param(state(), False, id="never corrected"),
        pytest.param(state(originals=[original()]), True, id="held, its decision no longer listed"),
        pytest.param(
            state(originals=[original(ours=None)], corrections=[record(0, outcome=Outcome.PENDING, **RAISE)]),
            True,
            id="about to be written",
        ),
        pytest.param(state(corrections=[record(LONGEST - 1)]), True, id="released within the longest horizon"),
        pytest.param(state(corrections=[record(LONGEST)]), False, id="released that long ago"),
        pytest.param(
            state(corrections=[record(2 * LONGEST, outcome_time=utc(NOW - 60))]), True, id="decided long before"
        ),
        pytest.param(
            state(corrections=[record(9000, outcome=Outcome.REVERTED, outcome_time=utc(NOW - 60), **RAISE)]),
            True,
            id="put back by somebody else",
        ),
        pytest.param(state(corrections=[record(60, outcome=Outcome.PREVIEWED, **RAISE)]), False, id="a preview"),
        pytest.param(state(corrections=[record(60, outcome=Outcome.BLOCKED, **RAISE)]), False, id="blocked"),
        pytest.param(state(corrections=[record(60, outcome=Outcome.FAILED, **RAISE)]), False, id="refused"),
        pytest.param(state(corrections=[record(-60)]), True, id="the clock went back since"),
        pytest.param(state(corrections=[record(60), record(9000)]), True, id="any of them counts"),
    ],
)
def test_from_a_correction_to_its_release_and_the_longest_horizon(previous: TwinState, bent: bool) -> None:  # noqa: FBT001 - a table's answer
    assert calibration_excluded(spec(), previous, NOW) == (BENT if bent else set())


def test_own_metrics_are_bent_but_for_what_replicas_share() -> None:
    own = [{"name": name, "query": "up"} for name in ("queueLength", "ordersPerMinute", "throughputRps")]
    source = {"systemType": "WebService", "targetRef": {"name": "checkout"}, "metrics": own}
    twin = spec(source=source, limitsPerReplica={"ordersPerMinute": 100, "latencyMs": 9})

    held = state(originals=[original()])

    assert calibration_excluded(twin, held, NOW) == BENT | {"queueLength"}
    # What is offered stays, but what it must not cross moves.
    assert risk_excluded(twin, held, NOW) == BENT | {"queueLength", "ordersPerMinute"}
    assert risk_excluded(twin, state(), NOW) == set()


def test_the_longest_horizon_counts() -> None:
    twin = spec(predictions={"horizonsSeconds": [300, 7200]})

    assert calibration_excluded(twin, state(corrections=[record(7199)]), NOW)
    assert not calibration_excluded(twin, state(corrections=[record(7200)]), NOW)
