"""Conditions move their time only with their status."""

from __future__ import annotations

import pytest

from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.core.status.conditions import Conditions
from twinops.core.text import MAX_MESSAGE, shorten

READY = ConditionType.READY


def told(status: ConditionStatus, *, at: float = 100.0, reason: str = "Before") -> Condition:
    return Condition(type=READY, status=status, reason=reason, last_transition_time=utc(at), observed_generation=1)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([], 200.0, id="the first time"),
        pytest.param([told(ConditionStatus.TRUE)], 100.0, id="the same status"),
        pytest.param([told(ConditionStatus.FALSE)], 200.0, id="another status"),
        pytest.param([told(ConditionStatus.UNKNOWN)], 200.0, id="known now"),
    ],
)
def test_the_transition_time_moves_with_the_status(before: list[Condition], expected: float) -> None:
    (condition,) = Conditions(before, now=200.0, generation=2).set_true(READY, "Synced").as_list()
    assert condition.last_transition_time == utc(expected)
    assert (condition.reason, condition.observed_generation) == ("Synced", 2)


def test_what_is_not_told_anew_stays() -> None:
    kept = told(ConditionStatus.TRUE)
    assert Conditions([kept], now=200.0, generation=2).as_list() == [kept]


def test_conditions_that_stand_only_while_true_come_last_and_go() -> None:
    conditions = (
        Conditions([], now=1.0, generation=1).set_true(ConditionType.STALLED, "Broken").set_false(READY, "Broken")
    )
    assert [c.type for c in conditions.as_list()] == ["Ready", "Stalled"]
    assert [c.type for c in conditions.remove(ConditionType.STALLED).as_list()] == ["Ready"]


@pytest.mark.parametrize("length", [0, MAX_MESSAGE - 1, MAX_MESSAGE, MAX_MESSAGE + 1, 10 * MAX_MESSAGE])
def test_a_message_fits_the_schema(length: int) -> None:
    short = shorten("x" * length)
    assert len(short) == min(length, MAX_MESSAGE)
    assert short.endswith("…") == (length > MAX_MESSAGE)
