"""The figures that replicas are counted from: what is observed, over how many pods, and the metric's formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.observation import Observation
from twinops.metric_definitions import CPU, LATENCY, THROUGHPUT

STEP = 1.25
"""Growth where no formula tells how many replicas would do."""

MAX_REPLICAS = 10_000
"""What ``spec.autoCorrection.bounds`` allow at most; no need is stated beyond it."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a need is not acted on though its value is fresh.

    Attributes:
        reason: CamelCase.
        message: a sentence.
        blocked: whether a person has to do something about it.
    """

    reason: str
    message: str
    blocked: bool = False

    @classmethod
    def starting(cls, words: str) -> Hold:
        """Return that of pods which start up."""
        return cls("StartingUp", f"{words}: until that is over CPU and latency say nothing of the load")


def ceil(value: float) -> int:
    """Round up, but not because of a float's last digits: 3.0000000004 is 3."""
    if not math.isfinite(value):
        return MAX_REPLICAS
    rounded = math.ceil(value - _ROUNDING * max(1.0, abs(value)))
    return max(0, min(rounded, MAX_REPLICAS))


@dataclass(frozen=True, slots=True)
class Reckoning:
    """One sync's figures."""

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
        """Return the pods that the metric's value is shared by, None where they are not known.

        CPU is a mean over those that its own series count. Of a query of a person's own nobody can tell them; by the
        metric's meaning they are the ready ones.
        """
        seen = self.observation
        return seen.cpu_pods if metric == CPU and seen.cpu_counted else self.ready

    def offered(self, metric: str) -> bool:
        """Tell whether the metric is the load itself, and how much of it one replica serves is known.

        Replicas do not lower it, and need not: how many it takes is counted, whatever the last ones have done.
        """
        return metric == THROUGHPUT and bool(self.spec.limits_per_replica.get(metric))

    def hold(self, metric: str) -> Hold | None:
        """Return why no replicas can be counted from the metric, None where they can."""
        if self.pods(metric) is not None:
            return None
        return Hold(
            "PodsNotCounted",
            "how many pods the CPU is a mean over is not known: their number did not come with the value",
            blocked=True,
        )

    def load(self, metric: str) -> tuple[float, str] | None:
        """Return what the workload has to do, and the metric that tells it, None where none does.

        Requests, or else all CPU that is used: neither depends on how many replicas share it. What is judged by it
        cannot tell it.
        """
        requests = self.value(THROUGHPUT)
        if requests is not None and metric != THROUGHPUT:
            return requests, THROUGHPUT
        cpu, pods = self.value(CPU), self.pods(CPU)
        if metric == LATENCY and cpu is not None and pods is not None:
            return cpu * pods, CPU
        return None

    def replicas(self, metric: str, value: float, goal: float) -> tuple[int, str]:
        """Return the replicas by the metric's formula, and the formula with its figures."""
        if metric == CPU:
            pods = self.pods(CPU)
            if pods is None:
                return 0, "the pods behind it are not counted"
            found, words = ceil(pods * value / goal), f"ceil({pods} x {_figure(value)}/{_figure(goal)})"
        elif self.offered(metric):
            each = self.spec.limits_per_replica[metric]
            found, words = ceil(value / each), f"ceil({_figure(value)}/{_figure(each)} per replica)"
        else:
            found, words = ceil(self.ready * STEP), f"one step of 25%, ceil({self.ready} x {STEP:g})"
        return found, f"{words} = {found} replicas"


def _figure(value: float) -> str:
    return f"{value:.4g}"
