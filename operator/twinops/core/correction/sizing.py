"""Required replicas by the formula of a metric, and the figures that go into it.

Which formula a metric has stands in its definition (:class:`twinops.metric_definitions.Sizing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.correction.reasons import BlockReason
from twinops.core.observation import Observation
from twinops.metric_definitions import DRIVING, Sizing, definition

STEP = 1.25
"""Growth, as a factor of the ready replicas, for metrics without a formula: large enough to show an effect."""

MAX_REPLICAS = 10_000
"""What ``spec.autoCorrection.bounds`` allow at most; no more are ever required."""

_ROUNDING = 1e-9
"""Relative error of a division; a quotient that exceeds a whole number by less counts as that number."""

_OFFERED_LOADS = tuple(metric for metric in DRIVING if definition(metric).offered)
_MEANS_PER_POD = tuple(metric for metric in DRIVING if definition(metric).mean_per_pod)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why a need is not acted on though its value is fresh.

    Attributes:
        message: a sentence.
    """

    reason: BlockReason
    message: str

    @classmethod
    def starting_up(cls, words: str) -> Suppression:
        """Return the one for metrics that pods which start up distort.

        Args:
            words: what starts up.
        """
        message = f"{words}: until that is over CPU and latency say nothing of the load"
        return cls(BlockReason.STARTING_UP, message)


def ceil(value: float) -> int:
    """Round up to 0..MAX_REPLICAS, but not because of a float's last digits: 3.0000000004 is 3."""
    if not math.isfinite(value):
        return MAX_REPLICAS
    rounded = math.ceil(value - _ROUNDING * max(1.0, abs(value)))
    return max(0, min(rounded, MAX_REPLICAS))


@dataclass(frozen=True, slots=True)
class ReplicaSizer:
    """The figures of one sync that replicas are counted from."""

    spec: DigitalTwinSpec
    observation: Observation

    @property
    def ready(self) -> int:
        """Ready replicas."""
        return self.observation.workload.ready if self.observation.workload else 0

    def value(self, metric: str) -> float | None:
        """Return a real, fresh, finite value, None where there is none."""
        sample = self.observation.samples.get(metric)
        if sample is None or not sample.actionable or sample.value is None or not math.isfinite(sample.value):
            return None
        return sample.value

    def pods(self, metric: str) -> int | None:
        """Return the pods that the metric's value is shared by, None where their number is not known.

        A mean over pods is shared by those that its own series count. A person's own query gives no such count; then
        they are the ready ones.
        """
        seen = self.observation
        return seen.cpu_pods if definition(metric).mean_per_pod and seen.cpu_counted else self.ready

    def has_limit_per_replica(self, metric: str) -> bool:
        """Tell whether the spec says how much of the metric's load one replica serves.

        Replicas do not lower that load, and need not: they are counted from it, whatever earlier ones have done.
        """
        counted = definition(metric).sizing is Sizing.LIMIT_PER_REPLICA
        return counted and bool(self.spec.limits_per_replica.get(metric))

    def suppression(self, metric: str) -> Suppression | None:
        """Return why no replicas can be counted from the metric, None where they can."""
        if self.pods(metric) is not None:
            return None
        return Suppression(
            BlockReason.PODS_NOT_COUNTED,
            f"how many pods the {definition(metric).word} is a mean over is not known: their number did not come "
            "with the value",
        )

    def load(self, metric: str) -> tuple[float, str] | None:
        """Return the load that a metric's response to replicas is judged at, and the metric that gives the load.

        That is the offered load, or else, for a metric without a formula, the total CPU use: neither depends on how
        many replicas share it. None where neither is known; a metric is never judged at a load that it gives itself.
        """
        for offered in _OFFERED_LOADS:
            value = self.value(offered)
            if value is not None and metric != offered:
                return value, offered
        if definition(metric).sizing is not Sizing.STEP:
            return None
        for mean in _MEANS_PER_POD:
            value, pods = self.value(mean), self.pods(mean)
            if value is not None and pods is not None:
                return value * pods, mean
        return None

    def replicas(self, metric: str, value: float, goal: float) -> tuple[int, str]:
        """Return the required replicas by the metric's formula, and the formula with its figures.

        Args:
            metric: its name.
            value: of the metric.
            goal: that the value should not exceed.
        """
        if definition(metric).sizing is Sizing.SHARED_BY_PODS:
            pods = self.pods(metric)
            if pods is None:
                return 0, "the pods behind it are not counted"
            found, words = ceil(pods * value / goal), f"ceil({pods} x {_figure(value)}/{_figure(goal)})"
        elif self.has_limit_per_replica(metric):
            each = self.spec.limits_per_replica[metric]
            found, words = ceil(value / each), f"ceil({_figure(value)}/{_figure(each)} per replica)"
        else:
            found, words = ceil(self.ready * STEP), f"one step of 25%, ceil({self.ready} x {STEP:g})"
        return found, f"{words} = {found} replicas"


def _figure(value: float) -> str:
    return f"{value:.4g}"
