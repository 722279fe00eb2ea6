"""Which status may replace the one that stands, after the object changed."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.controllers.shared.status_kind import Purpose, ReadObject, unless_changed, unless_changed_or_unguarded

FINALIZER = "example.com/guard"
STATUS = {"healthScore": 80}
OBSERVATION, INTENT, OUTCOME = Purpose.OBSERVATION, Purpose.INTENT, Purpose.OUTCOME


def body(generation: int = 1, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation, **metadata}, "status": status or STATUS}


@pytest.mark.parametrize(
    ("fresh", "refused"),
    [
        pytest.param(body(), (), id="nothing that counts"),
        pytest.param(body(labels={"team": "shop"}), (), id="labels"),
        pytest.param(body(generation=2), (OBSERVATION, INTENT), id="the spec"),
        pytest.param(body(status={"healthScore": 55}), (OBSERVATION, INTENT, OUTCOME), id="the status"),
        pytest.param({"metadata": {"generation": 1}}, (OBSERVATION, INTENT, OUTCOME), id="the status is gone"),
    ],
)
def test_a_changed_spec_or_status_is_not_written_over(fresh: dict[str, Any], refused: tuple[Purpose, ...]) -> None:
    assert tuple(purpose for purpose in Purpose if unless_changed(ReadObject.of(body()), fresh, purpose)) == refused


def test_an_object_without_status_is_as_one_with_an_empty_status() -> None:
    assert unless_changed(ReadObject.of({"metadata": {}}), {"metadata": {}, "status": {}}, OBSERVATION) == ""


@pytest.mark.parametrize(
    ("fresh", "refused"),
    [
        pytest.param(body(finalizers=[FINALIZER]), (), id="guarded"),
        pytest.param(body(finalizers=["example.com/other"]), (INTENT,), id="the finalizer was taken off"),
        pytest.param(body(), (INTENT,), id="no finalizers at all"),
        pytest.param(
            body(finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z"), (INTENT,), id="being deleted"
        ),
        pytest.param(body(2, finalizers=[FINALIZER]), (OBSERVATION, INTENT), id="guarded, but the spec changed"),
    ],
)
def test_an_intent_needs_the_guarding_finalizer(fresh: dict[str, Any], refused: tuple[Purpose, ...]) -> None:
    rule = unless_changed_or_unguarded(FINALIZER)
    assert tuple(purpose for purpose in Purpose if rule(ReadObject.of(body()), fresh, purpose)) == refused
