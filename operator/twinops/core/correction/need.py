"""How many replicas the workload needs, and because of what.

For a metric at ``v`` that should be at most ``g``:

- CPU is shared by the pods it is a mean over: ``ceil(P * v / g)`` for ``P`` of them, the formula of the
  HorizontalPodAutoscaler (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details).
  They are counted by the metric's own series: a new pod is ready before it has a rate;
- throughput with a known limit per replica: ``ceil(v / limit)``;
- latency, and throughput without such a limit, do not fall in proportion to replicas: one step of 25 % of the ready
  ones, and a further one only where that helped (:mod:`twinops.core.correction.effect`).

``g`` is the limit for a risk, and the edge of what drift allows for an alert; ``v`` is the larger of the
observed value and the .95 quantile at the risk's horizon.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from twinops.api.twin.drift import Direction, Drift
from twinops.api.twin.observed import Quality
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.risk import duration
from twinops.core.assess.tolerance import tolerance
from twinops.core.baseline.estimate import BaselineEstimate
from twinops.core.correction.sizing import MAX_REPLICAS, STEP, Hold, Reckoning, ceil
from twinops.core.correction.start_up import starting
from twinops.core.metrics.idle import idle_metrics
from twinops.core.metrics.reasons import NEVER_MEASURED
from twinops.core.observation import Observation
from twinops.metric_definitions import CPU, DISTORTED_BY_START_UP, DRIVING, THROUGHPUT, definition

__all__ = ["MAX_REPLICAS", "STEP", "Demand", "Hold", "Need", "ceil", "demand"]

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Need:
    """Replicas that one driving metric asks for.

    Attributes:
        trigger: ``Risk/METRIC`` or ``Drift/METRIC``.
        fresh: whether a real, fresh value stands behind it.
        why: one sentence with the figures.
        beyond: whether the observed value itself lies beyond the goal, and not only what is foreseen.
        hold: why it is not acted on though it is fresh, None where it is.
    """

    metric: str
    trigger: str
    replicas: int
    fresh: bool
    why: str
    beyond: bool = True
    hold: Hold | None = None

    @property
    def acts(self) -> bool:
        """Tell whether anything may be done because of it."""
        return self.fresh and self.hold is None


@dataclass(frozen=True, slots=True)
class Demand:
    """What is needed now, all metrics together.

    Attributes:
        needs: what drives a correction, the largest first.
        called: replicas that drift and risks call for: what drives a correction, and every risk that is
            listed by a forecast that is trusted.
        holding: replicas below which nothing that was raised may be given back: beside ``called`` every
            listed risk counts, and what is observed.
        known: whether the metrics that drive corrections and have a goal have a fresh value. One that has
            no data at all is left out, as long as another one tells and nothing is held because of it; so is
            one of requests while there is no traffic. Nothing is given back on what is not known.
        standing: by metric, what the observed value asks for by itself, whether or not that lasts.
        goals: the metrics that have a goal.
        desired: replicas asked for now.
        countable: whether all of it can be counted in replicas downwards, too.
        regardless: the same without regard to pods that start up, None where that makes no difference.
    """

    needs: tuple[Need, ...]
    called: int
    holding: int
    known: bool
    standing: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    goals: frozenset[str] = frozenset()
    desired: int = 0
    countable: bool = True
    regardless: Demand | None = None

    @property
    def recommended(self) -> int:
        """Replicas the twin would run now, before bounds; see ``recommend``."""
        return self.recommend()

    def recommend(self, stopped: Collection[str] = ()) -> int:
        """Return the replicas the twin would run now, before bounds, at least 1.

        Where nothing tells (no value, or nothing that replicas can be counted from), not fewer than are asked for now.

        Args:
            stopped: metrics that ask for no more than there are.
        """
        asked = [(need.metric, need.replicas) for need in self.needs if need.acts] + list(self.standing.items())
        wanted = [min(replicas, self.desired) if metric in stopped else replicas for metric, replicas in asked]
        return max(1, *wanted, 0 if self.known and self.countable else self.desired)

    def asks(self) -> Mapping[str, int]:
        """Return by metric the most replicas that it asks for now."""
        most = dict(self.standing)
        for need in self.needs:
            if need.acts:
                most[need.metric] = max(need.replicas, most.get(need.metric, 0))
        return most

    def keeping(self, kept: Mapping[str, int]) -> Demand:
        """Return the same with these replicas kept, by metric, that are there and that the load still needs."""
        if not kept:
            return self
        most = max(kept.values())
        standing = {**self.standing, **{m: max(n, self.standing.get(m, 0)) for m, n in kept.items()}}
        return dataclasses.replace(
            self, standing=standing, called=max(self.called, most), holding=max(self.holding, most)
        )

    def held(self, hold: Hold) -> Demand:
        """Return the same while CPU and latency say nothing, because pods start up."""
        if self.regardless is not None:
            return self
        bent = bool(self.goals & DISTORTED_BY_START_UP)
        return dataclasses.replace(
            self,
            needs=tuple(
                dataclasses.replace(n, hold=n.hold or hold) if n.metric in DISTORTED_BY_START_UP else n
                for n in self.needs
            ),
            known=self.known and not bent,
            standing={
                metric: replicas for metric, replicas in self.standing.items() if metric not in DISTORTED_BY_START_UP
            },
            countable=self.countable and not bent,
            regardless=self,
        )


def demand(
    spec: DigitalTwinSpec,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    *,
    held_by: Collection[str] = (),
) -> Demand:
    """Work out what is needed.

    Args:
        spec: the twin's spec.
        observation: with the workload; without one nothing is needed.
        drift: alerts; the persistent, eligible ones drive a correction.
        risks: the persistent ones drive a correction.
        held_by: the metrics that what is held now was raised for.
    """
    reckoning = Reckoning(spec, observation)
    idle = idle_metrics(observation.samples)
    listed = [risk for risk in risks if risk.metric not in idle]
    trusted = [risk for risk in listed if _trusted(risk, observation)]
    needs = [
        *_of_risks(reckoning, [risk for risk in listed if _acts(risk, observation)]),
        *_of_drift(reckoning, drift),
    ]
    needs.sort(key=lambda need: -need.replicas)
    called = max(_largest(needs), _largest(_of_risks(reckoning, trusted)))
    standing = _Standing(reckoning, held_by, idle)
    found = Demand(
        needs=tuple(needs),
        called=called,
        holding=max(called, *standing.replicas.values(), _largest(_of_risks(reckoning, listed)), 0),
        # Without a ready replica there is no load to reckon with, however idle everything looks.
        known=standing.known and reckoning.ready > 0,
        standing=standing.replicas,
        goals=frozenset(standing.goals),
        desired=observation.workload.desired if observation.workload else 0,
        countable=standing.countable,
    )
    words = starting(observation)
    return found.held(Hold.starting(words)) if words else found


def _largest(needs: Iterator[Need] | Sequence[Need]) -> int:
    return max((need.replicas for need in needs), default=0)


def _acts(risk: Risk, observation: Observation) -> bool:
    """Tell whether a risk may drive a correction: foreseen on a full history, or true already."""
    return risk.persistent and not _bounded(observation, risk.metric) and (risk.current or _trusted(risk, observation))


def _trusted(risk: Risk, observation: Observation) -> bool:
    """Tell whether the forecast behind a risk may change anything; what is observed always may."""
    return risk.calibrated and observation.forecast_result.history_complete


def _of_risks(reckoning: Reckoning, risks: Sequence[Risk]) -> Iterator[Need]:
    for risk in risks:
        observed = reckoning.value(risk.metric)
        if risk.metric not in DRIVING or risk.limit <= 0:
            continue
        foreseen = risk.upper if _trusted(risk, reckoning.observation) or observed is None else observed
        value = foreseen if observed is None else max(observed, foreseen)
        show = definition(risk.metric).show
        seen, when = "is foreseen at", f" in {duration(risk.horizon_seconds)}"
        if observed is not None and value <= observed:
            seen, when = "is at", ""
        elif observed is None and risk.current:
            seen, when = "was last at", ""
        about = f"{seen} {show(value)}{when} (limit {show(risk.limit)})"
        yield _need(reckoning, f"Risk/{risk.metric}", risk.metric, (value, risk.limit, about))


def _of_drift(reckoning: Reckoning, drift: Drift) -> Iterator[Need]:
    baselines = reckoning.observation.forecast_result.baselines
    for alert in drift.alerts:
        metric = alert.component
        if not (alert.persistent and alert.eligible) or metric not in DRIVING or alert.direction is not Direction.ABOVE:
            continue
        allowed = tolerance(reckoning.spec, metric, baselines.get(metric))
        value = reckoning.value(metric)
        edge = allowed.edge(above=True) if allowed else None
        if allowed is None or value is None or edge is None or edge <= 0:
            continue
        show = definition(metric).show
        about = f"is at {show(value)} (expected {show(allowed.expected)}, at most {show(edge)})"
        yield _need(reckoning, f"Drift/{metric}", metric, (value, edge, about))


def _need(reckoning: Reckoning, trigger: str, metric: str, judged: tuple[float, float, str]) -> Need:
    value, goal, about = judged
    replicas, words = reckoning.replicas(metric, value, goal)
    sample, observed = reckoning.observation.samples.get(metric), reckoning.value(metric)
    return Need(
        metric=metric,
        trigger=trigger,
        replicas=replicas,
        fresh=sample is not None and sample.actionable,
        why=f"{definition(metric).word} {about}: {words}",
        beyond=observed is not None and observed > goal,
        hold=reckoning.hold(metric),
    )


class _Standing:
    """What the observed values ask for by themselves.

    Attributes:
        replicas: by metric, of those that ask for any.
        known: whether the goals have fresh values to be held against, as ``Demand.known`` tells.
        countable: whether these can be counted in replicas downwards, too, with no series out of sight that could be.
        goals: the metrics that have one.
    """

    def __init__(self, reckoning: Reckoning, held_by: Collection[str], idle: Collection[str]) -> None:
        self.replicas: dict[str, int] = {}
        self.goals: list[str] = []
        self._reckoning, self._held_by, self._idle = reckoning, held_by, idle
        self._known, self._told, self._countable, self._lost = True, False, False, False
        workload = reckoning.observation.workload
        self._desired = workload.desired if workload else 0
        for metric in DRIVING:
            # What was learned is no goal of its own; but what is held because of it is not to be given back too soon.
            baseline = reckoning.observation.forecast_result.baselines.get(metric) if metric in held_by else None
            goal = _goal(reckoning.spec, metric, baseline)
            counts = metric == CPU or (metric == THROUGHPUT and metric in reckoning.spec.limits_per_replica)
            if goal is not None or (counts and metric != CPU):
                self.goals.append(metric)
                self._look(metric, goal, counts=counts)

    @property
    def known(self) -> bool:
        return self._known and (self._told or not self.goals)

    @property
    def countable(self) -> bool:
        return self._countable and not self._lost

    def _look(self, metric: str, goal: float | None, *, counts: bool) -> None:
        value = self._reckoning.value(metric)
        sample = self._reckoning.observation.samples.get(metric)
        bound = None if sample is None or not sample.bounded or goal is None else sample.deciding_value(goal)
        if metric in self._idle:
            self._told = True
        elif bound is not None and goal is not None:
            self._told = True
            if bound > goal:
                # Nothing is raised on a bound, and nothing let go.
                self.replicas[metric] = self._desired
        elif value is None or self._reckoning.hold(metric) is not None:
            reason = _without_data(self._reckoning.observation, metric)
            self._known = self._known and bool(reason) and metric not in self._held_by
            self._lost = self._lost or (counts and reason not in NEVER_MEASURED)
        else:
            self._told = True
            self._countable = self._countable or counts
            if counts or (goal is not None and value > goal):
                self.replicas[metric] = self._reckoning.replicas(metric, value, goal or math.inf)[0]


def _bounded(observation: Observation, metric: str) -> bool:
    sample = observation.samples.get(metric)
    return sample is not None and sample.bounded


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
