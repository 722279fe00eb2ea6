"""Each reason's properties are the sets that decisions have depended on, and its value is what status shows."""

from __future__ import annotations

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinops.api.twin.spec import CorrectionMode
from twinops.core.correction.decide import Decision
from twinops.core.correction.guards import Stop
from twinops.core.correction.reasons import BlockReason, FailureReason, RestoreTrigger
from twinops.core.lever import NoLeverReason, may_be_unread
from twinops.core.rights import RefusalReason

WAITING = {"StartingUp", "Verifying", "Cooldown", "WaitingForReplicas"}
NOTHING_TO_DO = {"Disabled", "Suspended", "NoTarget", "ScaledToZero", "NotNeeded", "InPlace"}
UNREAD = {"Forbidden", "Unauthorized", "RequestRefused", "LeverUnavailable"}

reasons = st.sampled_from(
    [each.value for family in (BlockReason, FailureReason, RestoreTrigger, NoLeverReason) for each in family]
) | st.text(max_size=20)


@given(st.sampled_from(BlockReason))
def test_only_what_a_person_can_do_something_about_blocks(reason: BlockReason) -> None:
    assert reason.waits == (reason.value in WAITING)
    assert reason.blocked == (reason.value not in WAITING | NOTHING_TO_DO)
    assert Stop(reason, "why").blocked == reason.blocked
    assert Decision(None, CorrectionMode.APPLY, reason, "why").waits == reason.waits


@given(reasons)
def test_a_reason_of_another_family_always_blocks_and_never_waits(reason: str) -> None:
    assert Stop(reason, "why").blocked
    assert not Decision(None, CorrectionMode.APPLY, reason, "why").waits


@given(reasons)
def test_a_lever_may_be_unread_for_four_reasons(reason: str) -> None:
    assert may_be_unread(reason) == (reason in UNREAD)


@given(st.sampled_from(RefusalReason))
def test_a_refusal_lasts_where_only_a_person_can_mend_it(reason: RefusalReason) -> None:
    assert reason.lasting == (reason.value in {"Forbidden", "RequestRefused"})


@pytest.mark.parametrize(("reason", "seconds"), [(FailureReason.FORBIDDEN, 300), (FailureReason.WRITE_FAILED, 60)])
def test_a_missing_right_is_tried_again_later(reason: FailureReason, seconds: float) -> None:
    assert reason.first_pause_seconds == seconds


@pytest.mark.parametrize("family", [BlockReason, FailureReason, RestoreTrigger, NoLeverReason, RefusalReason])
def test_reasons_are_camel_case(family: type[StrEnum]) -> None:
    for reason in family:
        assert reason.value.isalpha()
        assert reason.value == "".join(part.capitalize() for part in reason.name.split("_"))
