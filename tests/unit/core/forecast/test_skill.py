"""How the skill of forecasts stands in status."""

from __future__ import annotations

import math

import pytest

from twinops.core.forecast.result import Skill
from twinops.core.forecast.skill import skill_for_status, states


def of(metric: str, error: float | None = 0.5, width: float | None = 0.8, **more: object) -> Skill:
    known = {"metric": metric, "error": error, "coverage": 0.9, "width": width, "checks": 100, "state": f"of {metric}"}
    return Skill(**(known | more))  # type: ignore[arg-type]


def test_nothing_foreseen_has_no_skill() -> None:
    assert skill_for_status([]) is None
    assert states(None) == {}


def test_twin_is_the_geometric_mean_of_its_metrics_and_the_least_of_their_checks() -> None:
    skill = skill_for_status([of("latencyMs", 2.0, 1.25), of("cpuUsage", 0.5, 0.8, checks=40)])
    assert skill is not None
    assert [one.name for one in skill.metrics] == ["cpuUsage", "latencyMs"]
    assert (skill.error, skill.width, skill.coverage, skill.checks) == (1.0, 1.0, 0.9, 40)


def test_metrics_without_checks_do_not_count_but_are_listed() -> None:
    skill = skill_for_status([of("cpuUsage"), of("errorRate", None, None, coverage=None, checks=3)])
    assert skill is not None
    assert (skill.error, skill.checks) == (0.5, 3)
    assert skill.metrics[1].error is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(math.inf, 1e6, id="naive was never wrong"),
        pytest.param(0.0, 0.0, id="never wrong"),
        pytest.param(0.123456, 0.123, id="rounded"),
        pytest.param(math.nan, None, id="unknown"),
    ],
)
def test_figures_are_finite_and_short(error: float, told: float | None) -> None:
    skill = skill_for_status([of("cpuUsage", error)])
    assert skill is not None
    assert skill.metrics[0].error == told


def test_states_are_what_a_restart_resumes_from() -> None:
    skill = skill_for_status([of("cpuUsage"), of("latencyMs", state="")])
    assert states(skill) == {"cpuUsage": "of cpuUsage"}
