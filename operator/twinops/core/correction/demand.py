"""What a twin's metrics require now, in replicas."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from twinops.core.correction.sizing import Suppression
from twinops.metric_definitions import definition

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Need:
    """Replicas that one driving metric requires.

    Attributes:
        trigger: ``Risk/METRIC`` or ``Drift/METRIC``.
        fresh: whether it comes from a real, fresh value.
        why: one sentence with the figures.
        beyond: whether the observed value itself lies beyond the goal, and not only the forecast.
        suppression: why it is not acted on though it is fresh, None where it is.
    """

    metric: str
    trigger: str
    replicas: int
    fresh: bool
    why: str
    beyond: bool = True
    suppression: Suppression | None = None

    @property
    def actionable(self) -> bool:
        """Tell whether a correction may be made because of it."""
        return self.fresh and self.suppression is None


@dataclass(frozen=True, slots=True)
class Demand:
    """What is required now, all metrics together.

    Attributes:
        needs: what drives a correction, the largest first.
        required: replicas that drift and risks require: what drives a correction, and every risk that is listed by a
            calibrated forecast on a full history.
        hold_floor: replicas below which nothing that was raised may be restored: beside ``required`` every listed risk
            counts, and what the observed values require.
        known: whether the metrics that drive corrections and have a goal have a fresh value. A metric without any data
            is left out, as long as another one has some and nothing is held because of it; so is a metric of requests
            while there is no traffic. Nothing is restored while the demand is not known.
        observed: by metric, replicas that its observed value requires by itself, whether or not that lasts.
        goals: the metrics that have a goal.
        desired: replicas asked for now.
        countable: whether they also show when fewer replicas are enough.
        ignoring_start_up: the same without regard to pods that start up, None where that makes no difference.
    """

    needs: tuple[Need, ...]
    required: int
    hold_floor: int
    known: bool
    observed: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    goals: frozenset[str] = frozenset()
    desired: int = 0
    countable: bool = True
    ignoring_start_up: Demand | None = None

    @property
    def recommended(self) -> int:
        """Replicas the twin would run now, before bounds; see ``recommend``."""
        return self.recommend()

    def recommend(self, capped: Collection[str] = ()) -> int:
        """Return the replicas the twin would run now, before bounds, at least 1.

        Where no value is known, or replicas can be counted from none, not fewer than are asked for now.

        Args:
            capped: metrics that no more are recommended for than are asked for now.
        """
        required = [(need.metric, need.replicas) for need in self.needs if need.actionable]
        required += self.observed.items()
        wanted = [min(replicas, self.desired) if metric in capped else replicas for metric, replicas in required]
        return max(1, *wanted, 0 if self.known and self.countable else self.desired)

    def required_by_metric(self) -> Mapping[str, int]:
        """Return the most replicas that each metric requires now."""
        most = dict(self.observed)
        for need in self.needs:
            if need.actionable:
                most[need.metric] = max(need.replicas, most.get(need.metric, 0))
        return most

    def is_beyond(self, metric: str) -> bool:
        """Tell whether the metric's value itself lies beyond its goal, and not only the forecast."""
        return metric in self.observed or any(need.beyond for need in self.needs if need.metric == metric)

    def with_floors(self, floors: Mapping[str, int]) -> Demand:
        """Return the same with at least these replicas required, by metric."""
        if not floors:
            return self
        most = max(floors.values())
        observed = {**self.observed, **{m: max(n, self.observed.get(m, 0)) for m, n in floors.items()}}
        return dataclasses.replace(
            self, observed=observed, required=max(self.required, most), hold_floor=max(self.hold_floor, most)
        )

    def during_start_up(self, suppression: Suppression) -> Demand:
        """Return the same while pods start up: nothing is concluded from the metrics that they distort."""
        if self.ignoring_start_up is not None:
            return self
        distorted = any(definition(metric).distorted_by_start_up for metric in self.goals)
        return dataclasses.replace(
            self,
            needs=tuple(_suppressed(need, suppression) for need in self.needs),
            known=self.known and not distorted,
            observed={
                metric: replicas
                for metric, replicas in self.observed.items()
                if not definition(metric).distorted_by_start_up
            },
            countable=self.countable and not distorted,
            ignoring_start_up=self,
        )


def _suppressed(need: Need, suppression: Suppression) -> Need:
    if need.suppression is not None or not definition(need.metric).distorted_by_start_up:
        return need
    return dataclasses.replace(need, suppression=suppression)
