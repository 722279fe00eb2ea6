"""Bounds and step."""

from __future__ import annotations

from typing import Any

import pytest

from support.correcting import hpa, original, scale, spec
from twinops.core.correction.bounds import Envelope, envelope, limit

LIVE = "maxReplicas of the HPA"
SPEC = "spec.autoCorrection.bounds.maxReplicas"


@pytest.mark.parametrize(
    ("bounds", "lever", "held", "expected"),
    [
        pytest.param({}, hpa(2, maximum=20), None, Envelope(2, 20, LIVE), id="the HPA's own"),
        pytest.param({}, hpa(None, maximum=20), None, Envelope(1, 20, LIVE), id="minReplicas not set"),
        pytest.param({}, hpa(6, maximum=20), original(), Envelope(2, 20, LIVE), id="as first seen, not as raised"),
        pytest.param({}, hpa(6, maximum=30), original(), Envelope(2, 30, LIVE), id="a higher maximum came later"),
        pytest.param({}, hpa(6, maximum=10), original(), Envelope(2, 10, LIVE), id="a lower maximum came later"),
        pytest.param(
            {"minReplicas": 3, "maxReplicas": 8}, hpa(2, maximum=20), None, Envelope(3, 8, SPEC), id="the spec's"
        ),
        pytest.param({"maxReplicas": 50}, hpa(2, maximum=20), None, Envelope(2, 20, LIVE), id="never over the HPA's"),
        pytest.param({"minReplicas": 1, "maxReplicas": 9}, scale(), None, Envelope(1, 9, SPEC), id="scale"),
        pytest.param({}, scale(), None, Envelope(None, None, ""), id="scale without bounds"),
        pytest.param({"maxReplicas": 9}, None, None, Envelope(None, 9, SPEC), id="nothing to write to"),
    ],
)
def test_the_envelope(bounds: dict[str, Any], lever: Any, held: Any, expected: Envelope) -> None:
    assert envelope(spec({"bounds": bounds}), lever, held) == expected


@pytest.mark.parametrize(
    ("need", "current", "ready", "step", "value", "by"),
    [
        pytest.param(4, 2, 3, 100, 4, (), id="within everything"),
        pytest.param(9, 2, 3, 100, 6, ("spec.autoCorrection.bounds.maxStepPercent",), id="one step doubles at most"),
        pytest.param(9, 2, 3, 10, 4, ("spec.autoCorrection.bounds.maxStepPercent",), id="at least one replica"),
        pytest.param(40, 2, 15, 100, 20, (LIVE,), id="maximum"),
        pytest.param(
            40, 2, 9, 100, 18, ("spec.autoCorrection.bounds.maxStepPercent",), id="the step is nearer than the maximum"
        ),
        pytest.param(8, 6, 2, 100, 6, ("spec.autoCorrection.bounds.maxStepPercent",), id="never below the present"),
        pytest.param(3, 25, 3, 100, 25, (), id="present value beyond the bounds"),
        pytest.param(1, 1, 1, 100, 2, (), id="at least the minimum"),
    ],
)
def test_one_raise(need: int, current: int, ready: int, step: int, value: int, by: tuple[str, ...]) -> None:
    found = limit(need, current=current, ready=ready, max_step_percent=step, within=Envelope(2, 20, LIVE))
    assert (found.value, found.by) == (value, by)
