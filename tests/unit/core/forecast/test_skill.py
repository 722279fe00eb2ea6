"""How the skill of forecasts stands in status."""

from __future__ import annotations

import math

import pytest

from twinops.api.twin.predictions import ForecastSkill, MetricSkill
from twinops.core.forecast.restart_state import decode
from twinops.core.forecast.result import Skill
from twinops.core.forecast.skill import former_restart_state, skill_for_status


def of(metric: str, error: float | None = 0.5, width: float | None = 0.8, **more: object) -> Skill:
    known = {"metric": metric, "error": error, "coverage": 0.9, "width": width, "checks": 100, "state": f"of {metric}"}
    return Skill(**(known | more))  # type: ignore[arg-type]


def test_nothing_foreseen_has_no_skill() -> None:
    assert skill_for_status([]) is None
    assert skill_for_status([of("cpuUsage")], withdrawn=["cpuUsage"]) is None


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


def test_the_skill_of_a_metric_that_is_not_foreseen_is_not_shown() -> None:
    skill = skill_for_status([of("cpuUsage"), of("latencyMs", 2.0)], withdrawn=["latencyMs"])
    assert skill is not None
    assert ([one.name for one in skill.metrics], skill.error) == (["cpuUsage"], 0.5)


def test_states_beside_the_skill_as_older_versions_wrote_them_are_read() -> None:
    listed = [
        MetricSkill(name="cpuUsage", state="b2Y0"),
        MetricSkill(name="latencyMs"),
        MetricSkill(name="a", state="?"),
    ]
    assert decode(former_restart_state(ForecastSkill(metrics=listed))) == {"cpuUsage": "b2Y0"}
    assert former_restart_state(ForecastSkill(metrics=listed[1:])) == former_restart_state(None) == ""
