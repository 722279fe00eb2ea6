"""What the observed values of the driving metrics require by themselves, whether or not they last."""

from __future__ import annotations

import math
from collections.abc import Collection

from twinops.api.twin.observed import Quality
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.tolerance import tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.correction.sizing import ReplicaSizer
from twinops.core.metrics.reasons import NEVER_MEASURED
from twinops.core.observation import Observation
from twinops.metric_definitions import DRIVING, Sizing, definition


class ObservedDemand:
    """What the observed values require by themselves.

    Args:
        sizer: the figures of this sync.
        held_by: the metrics that what is held now was raised for.
        idle: metrics without a value because there is no traffic.

    Attributes:
        replicas: by metric, of those that require any.
        goals: the metrics that have a goal.
    """

    def __init__(self, sizer: ReplicaSizer, held_by: Collection[str], idle: Collection[str]) -> None:
        self.replicas: dict[str, int] = {}
        self.goals: list[str] = []
        self._sizer, self._held_by, self._idle = sizer, held_by, idle
        self._known, self._any_known, self._countable, self._lost = True, False, False, False
        workload = sizer.observation.workload
        self._desired = workload.desired if workload else 0
        for metric in DRIVING:
            # A learned baseline is no goal of its own; but what is held because of it must not be restored too soon.
            baseline = sizer.observation.forecast_result.baselines.get(metric) if metric in held_by else None
            goal = _goal(sizer.spec, metric, baseline)
            sizing = definition(metric).sizing
            limited = sizing is Sizing.LIMIT_PER_REPLICA and metric in sizer.spec.limits_per_replica
            if goal is not None or limited:
                self.goals.append(metric)
                self._add(metric, goal, counts=limited or sizing is Sizing.SHARED_BY_PODS)

    @property
    def known(self) -> bool:
        """Whether the goals have fresh values to be compared with, as in ``Demand.known``."""
        return self._known and (self._any_known or not self.goals)

    @property
    def countable(self) -> bool:
        """Whether these also show when fewer replicas are enough, and no metric that could has lost its series."""
        return self._countable and not self._lost

    def _add(self, metric: str, goal: float | None, *, counts: bool) -> None:
        """Add one metric that has a goal, or a limit per replica.

        Args:
            metric: its name.
            goal: that its value should not exceed, None where only the limit per replica is given.
            counts: whether it also shows when fewer replicas are enough.
        """
        value = self._sizer.value(metric)
        sample = self._sizer.observation.samples.get(metric)
        bound = None if sample is None or not sample.bounded or goal is None else sample.deciding_value(goal)
        if metric in self._idle:
            self._any_known = True
        elif bound is not None and goal is not None:
            self._any_known = True
            if bound > goal:
                # A bound raises nothing and restores nothing.
                self.replicas[metric] = self._desired
        elif value is None or self._sizer.suppression(metric) is not None:
            reason = _without_data(self._sizer.observation, metric)
            self._known = self._known and bool(reason) and metric not in self._held_by
            self._lost = self._lost or (counts and reason not in NEVER_MEASURED)
        else:
            self._any_known = True
            self._countable = self._countable or counts
            if counts or (goal is not None and value > goal):
                self.replicas[metric] = self._sizer.replicas(metric, value, goal or math.inf)[0]


def _without_data(observation: Observation, metric: str) -> str:
    """Return why a metric has no data at all, empty when it has some that cannot be used now."""
    sample = observation.samples.get(metric)
    return sample.reason if sample is not None and sample.quality is Quality.MISSING else ""


def _goal(spec: DigitalTwinSpec, metric: str, baseline: BaselineEstimate | None) -> float | None:
    """Return the value that a metric should not exceed, None where nobody gave one and none was learned."""
    allowed = tolerance(spec, metric, baseline)
    edge = allowed.edge(above=True) if allowed else None
    goals = [goal for goal in (edge, spec.limits.get(metric)) if goal is not None and goal > 0]
    return min(goals, default=None)
