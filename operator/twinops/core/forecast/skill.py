"""The skill of forecasts, as status holds it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from twinops.api.twin.predictions import ForecastSkill, MetricSkill
from twinops.api.twin.spec import MAX_METRICS
from twinops.core.forecast.restart_state import encode
from twinops.core.forecast.result import Skill

_LARGEST = 1e6
"""Bound of the relative error, which is infinite where naive was never wrong; status holds finite numbers."""
_SMALLEST = 1e-6


def skill_for_status(skills: Sequence[Skill], withdrawn: Collection[str] = ()) -> ForecastSkill | None:
    """Render the skill of every metric, and of the twin as a whole over those that have any.

    Args:
        skills: one per metric with a forecast.
        withdrawn: metrics whose forecasts are not published. They are left out.

    Returns:
        None where nothing is published.
    """
    listed = [
        MetricSkill(
            name=one.metric,
            error=_rounded(one.error),
            coverage=_rounded(one.coverage),
            width=_rounded(one.width),
            checks=one.checks,
            trusted=one.trusted,
        )
        for one in sorted(skills, key=lambda one: one.metric)[:MAX_METRICS]
        if one.metric not in withdrawn
    ]
    if not listed:
        return None
    covered = [one.coverage for one in listed if one.coverage is not None]
    return ForecastSkill(
        error=_geometric_mean(one.error for one in listed),
        coverage=_rounded(sum(covered) / len(covered)) if covered else None,
        width=_geometric_mean(one.width for one in listed),
        checks=min((one.checks for one in listed), default=0),
        metrics=listed,
    )


def former_restart_state(skill: ForecastSkill | None) -> str:
    """Return the restart state that a status of an older version keeps with the skill of each metric."""
    return "" if skill is None else encode({one.name: one.state for one in skill.metrics if one.state})


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(min(value, _LARGEST), 3)


def _geometric_mean(values: Iterable[float | None]) -> float | None:
    logs = [math.log(max(value, _SMALLEST)) for value in values if value is not None]
    return _rounded(math.exp(sum(logs) / len(logs))) if logs else None
