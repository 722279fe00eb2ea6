"""When values are given back, and the way plan."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from support.correcting import (
    HPA,
    KUBECTL,
    NOW,
    OURS,
    SCALE,
    SERVER_SIDE,
    hpa,
    observation,
    original,
    risk,
    scale,
    spec,
    state,
)
from twinops.api.base import utc
from twinops.api.twin.corrections import Original
from twinops.api.twin.drift import Drift
from twinops.core.correction.need import demand
from twinops.core.correction.restore import RestoreMethod, below_since, restore_plan, restore_reason
from twinops.core.lever import Lever
from twinops.core.observation import Observation

BOUNDS = {"bounds": {"minReplicas": 1, "maxReplicas": 9}}


@pytest.mark.parametrize(
    ("held", "lever", "way", "value", "manager"),
    [
        pytest.param(
            original(2),
            hpa(6, OURS),
            RestoreMethod.UPDATE_AS,
            2,
            "kubectl-client-side-apply",
            id="the former owner updated",
        ),
        pytest.param(
            original(None),
            hpa(6, OURS),
            RestoreMethod.UPDATE_AS,
            1,
            "kubectl-client-side-apply",
            id="minReplicas was not set",
        ),
        pytest.param(
            original(2, manager="kubectl", operation="Apply"),
            hpa(6, OURS),
            RestoreMethod.APPLY_AND_HAND_OVER,
            2,
            "kubectl",
            id="the former owner applied",
        ),
        pytest.param(
            original(2, manager="kubectl", operation="Apply"),
            hpa(2, OURS),
            RestoreMethod.HAND_OVER,
            2,
            "kubectl",
            id="half way",
        ),
        pytest.param(
            original(2, manager="", operation=""), hpa(6, OURS), RestoreMethod.APPLY, 2, "", id="nobody owned it"
        ),
        pytest.param(original(2), hpa(4, KUBECTL), RestoreMethod.LEAVE, 4, "", id="somebody else's value stands"),
        pytest.param(original(2), hpa(6, KUBECTL), RestoreMethod.LEAVE, 6, "", id="somebody else owns our value"),
        pytest.param(original(2), hpa(7, OURS), RestoreMethod.LEAVE, 7, "", id="not the value we wrote"),
        pytest.param(
            original(2), hpa(6, OURS, applied_value=6), RestoreMethod.LEAVE, 6, "", id="the manifest says our value now"
        ),
        pytest.param(
            original(2),
            hpa(6, OURS, applied_value=2),
            RestoreMethod.UPDATE_AS,
            2,
            "kubectl-client-side-apply",
            id="old",
        ),
        pytest.param(
            original(2), hpa(6, OURS, SERVER_SIDE), RestoreMethod.HAND_OVER, 6, "kubectl", id="applied by others, too"
        ),
        pytest.param(original(2, ours=None), hpa(2, KUBECTL), RestoreMethod.LEAVE, 2, "", id="never written"),
        pytest.param(original(300), hpa(6, OURS), RestoreMethod.LEAVE, 6, "", id="a forged original above what we set"),
    ],
)
def test_the_way_back(held: Original, lever: Lever, way: RestoreMethod, value: int, manager: str) -> None:
    plan = restore_plan(held, lever)
    assert (plan.method, plan.value, plan.manager) == (way, value, manager)


@pytest.mark.parametrize(
    ("lever", "held", "values", "before", "last", "below"),
    [
        pytest.param(hpa(6, OURS), original(2), {"cpuUsage": 90}, None, 60, NOW, id="need 3 under 6: begins"),
        pytest.param(hpa(6, OURS), original(2), {"cpuUsage": 90}, 300, 60, NOW - 300, id="goes on"),
        pytest.param(hpa(6, OURS), original(2), {"cpuUsage": 190}, 300, 60, None, id="need 6 again: over"),
        pytest.param(hpa(6, OURS), original(2), {}, 300, 60, None, id="no value: begins anew"),
        pytest.param(hpa(6, OURS), original(2), {}, None, 60, None, id="no value: does not begin"),
        pytest.param(hpa(6, OURS), original(2), {"cpuUsage": 90}, 4000, 3600, NOW, id="nobody looked for an hour"),
        pytest.param(hpa(6, OURS), original(2), {"cpuUsage": 90}, -50, 60, NOW, id="the clock was set back"),
        pytest.param(hpa(2), None, {"cpuUsage": 90}, 300, 60, None, id="nothing held"),
        pytest.param(hpa(2), original(2, ours=None), {"cpuUsage": 90}, 300, 60, None, id="nothing written yet"),
        pytest.param(
            scale(6, OURS),
            original(2, object=SCALE, field="spec.replicas"),
            {"cpuUsage": 90},
            None,
            60,
            None,
            id="scale: the original 2 would not be enough for 3",
        ),
        pytest.param(
            scale(6, OURS),
            original(3, object=SCALE, field="spec.replicas"),
            {"cpuUsage": 90},
            None,
            60,
            NOW,
            id="scale: the original 3 is enough",
        ),
    ],
)
def test_since_when_the_need_is_below(
    lever: Lever,
    held: Original | None,
    values: dict[str, Any],
    before: float | None,
    last: float,
    below: float | None,
) -> None:
    twin = spec(BOUNDS, limits={"cpuUsage": 95})
    seen = observation(lever, **values)
    previous = state(need_below_since=None if before is None else utc(NOW - before), last_sync_time=utc(NOW - last))
    assert below_since(twin, seen, previous, demand(twin, seen, Drift(), []), held) == below


def test_a_long_interval_is_no_gap() -> None:
    twin = spec(limits={"cpuUsage": 95}, syncFrequencySeconds=3600)
    seen = observation(hpa(6, OURS), cpuUsage=20)
    previous = state(need_below_since=utc(NOW - 3600), last_sync_time=utc(NOW - 3600))
    assert below_since(twin, seen, previous, demand(twin, seen, Drift(), []), original(2)) == NOW - 3600


@pytest.mark.parametrize(
    ("given", "seen", "below"),
    [
        pytest.param([risk(upper=83)], 60.0, None, id="a lasting risk needs 7, the original is 2"),
        pytest.param([risk(upper=83, persistent=False)], 60.0, None, id="a risk that is only listed"),
        pytest.param([risk(upper=20)], 20.0, NOW, id="the original is enough for the risk"),
        pytest.param([risk(upper=83, calibrated=False)], 60.0, NOW, id="not calibrated: what is observed counts"),
        pytest.param([], 60.0, NOW, id="observed alone: 6 of 8, the HPA goes on from there"),
    ],
)
def test_an_hpa_is_not_given_back_while_a_need_would_raise_it_again(
    given: list[Any], seen: float, below: float | None
) -> None:
    twin, looked = spec(limits={"cpuUsage": 95}), observation(hpa(8, OURS), ready=8, cpuUsage=seen)
    needed = demand(twin, looked, Drift(), given)
    assert below_since(twin, looked, state(), needed, original(2, ours=8)) == below


def test_a_listed_risk_keeps_what_is_held() -> None:
    twin, seen = spec(limits={"cpuUsage": 95}), observation(hpa(6, OURS), cpuUsage=20)
    needed = demand(twin, seen, Drift(), [risk(upper=190, persistent=False)])
    assert below_since(twin, seen, state(need_below_since=utc(NOW - 300)), needed, original(2)) is None


@pytest.mark.parametrize(
    ("twin", "seen", "below", "trigger"),
    [
        pytest.param(spec(), observation(hpa(6, OURS)), NOW - 600, "NeedPassed", id="ten minutes"),
        pytest.param(spec(), observation(hpa(6, OURS)), NOW - 599, None, id="not quite ten minutes"),
        pytest.param(spec(), observation(hpa(6, OURS)), None, None, id="needed"),
        pytest.param(spec({"enabled": False}), observation(hpa(6, OURS)), None, "Disabled", id="switched off"),
        pytest.param(spec({"mode": "Preview"}), observation(hpa(6, OURS)), None, "Preview", id="mode changed"),
        pytest.param(spec(suspend=True), observation(hpa(6, OURS)), None, "Suspended", id="suspended"),
        pytest.param(
            spec(),
            observation(hpa(2, object=HPA.model_copy(update={"name": "other"}))),
            None,
            "LeverChanged",
            id="another HPA",
        ),
        pytest.param(
            spec(), dataclasses.replace(observation(), lever=None), None, "LeverChanged", id="no single HPA any more"
        ),
        pytest.param(
            spec(),
            dataclasses.replace(observation(hpa(6, OURS)), rival="older"),
            None,
            "AnotherTwin",
            id="an older twin corrects it",
        ),
    ],
)
def test_when_it_is_due(twin: Any, seen: Observation, below: float | None, trigger: str | None) -> None:
    reason = restore_reason(twin, seen, original(2), below)
    assert (reason.trigger if reason else None) == trigger


def test_scale_is_given_back_when_its_bounds_go() -> None:
    held = original(2, object=SCALE, field="spec.replicas")
    assert restore_reason(spec(BOUNDS), observation(scale(6, OURS)), held, None) is None
    reason = restore_reason(spec(), observation(scale(6, OURS)), held, None)
    assert reason is not None
    assert reason.trigger == "NoBounds"


@pytest.mark.parametrize(
    ("lever", "held", "maximum", "trigger"),
    [
        (hpa(6, OURS), original(2), 5, "AboveMaximum"),
        (hpa(6, OURS), original(2), 6, None),
        (scale(6, OURS), original(2, object=SCALE, field="spec.replicas"), 5, None),
    ],
)
def test_a_maximum_below_what_is_held(lever: Lever, held: Original, maximum: int, trigger: str | None) -> None:
    reason = restore_reason(
        spec({"bounds": {"minReplicas": 1, "maxReplicas": maximum}}), observation(lever), held, None
    )
    assert (reason.trigger if reason else None) == trigger


def test_a_lever_that_could_not_be_read_is_kept() -> None:
    for reason in ("Forbidden", "LeverUnavailable"):
        seen = dataclasses.replace(observation(), lever=None, no_lever_reason=reason)
        assert restore_reason(spec(), seen, original(2), None) is None
        assert restore_reason(spec(suspend=True), seen, original(2), None) is not None


def test_a_value_that_is_back_is_finished_at_once() -> None:
    reason = restore_reason(spec(), observation(hpa(2, OURS)), original(2, ours=2, operation="Apply"), None)
    assert reason is not None
    assert reason.trigger == "Unfinished"
