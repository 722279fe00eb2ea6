"""How many replicas the workload needs, and because of what.

For ``R`` ready replicas and a metric at ``v`` that should be at most ``g``:

- CPU is shared by the replicas: ``ceil(R * v / g)``, the formula of the HorizontalPodAutoscaler
  (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details);
- throughput with a known limit per replica: ``ceil(v / limit)``;
- latency, and throughput without such a limit, do not fall in proportion to replicas: one step of 25 %.

``g`` is the limit for a risk, and the edge of what drift allows for an alert; ``v`` is the larger of the
observed value and the .95 quantile at the risk's horizon.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from twinops.api.status import Direction, Drift, Quality, Risk
from twinops.api.twin import DigitalTwinSpec
from twinops.core.baseline.live import Reading
from twinops.core.metrics import CPU, LATENCY, THROUGHPUT, facts
from twinops.core.observation import Observation
from twinops.core.risk import duration
from twinops.core.tolerance import tolerance

DRIVING = (CPU, THROUGHPUT, LATENCY)
"""Metrics that more replicas help against."""

STEP = 1.25
"""Growth where no formula tells how many replicas would do."""

MAX_REPLICAS = 10_000
"""What ``spec.autoCorrection.bounds`` allow at most; no need is stated beyond it."""

_NEVER_THERE = frozenset({"NoRequestsOrLimits", "NoScope", "NoQuery"})
"""Reasons by which a metric is missing for good; series that are not found may have been there."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Need:
    """Replicas that one driving metric asks for.

    Attributes:
        trigger: ``Risk/METRIC`` or ``Drift/METRIC``.
        fresh: whether a real, fresh value stands behind it.
        why: one sentence with the figures.
    """

    metric: str
    trigger: str
    replicas: int
    fresh: bool
    why: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What is needed now, all metrics together.

    Attributes:
        needs: what drives a correction, the largest first.
        recommended: replicas the twin would run now, before bounds, at least 1. Where nothing tells
            (no value, or nothing that replicas can be counted from), not fewer than are asked for now.
        called: replicas that drift and risks call for: what drives a correction, and every risk that is
            listed by a forecast that is trusted.
        holding: replicas below which nothing that was raised may be given back: beside ``called`` every
            listed risk counts, and what is observed.
        known: whether the metrics that drive corrections and have a goal have a fresh value. One that has
            no data at all is left out, as long as another one tells and nothing is held because of it.
            Nothing is given back on what is not known.
    """

    needs: tuple[Need, ...]
    recommended: int
    called: int
    holding: int
    known: bool


def ceil(value: float) -> int:
    """Round up, but not because of a float's last digits: 3.0000000004 is 3."""
    if not math.isfinite(value):
        return MAX_REPLICAS
    rounded = math.ceil(value - _ROUNDING * max(1.0, abs(value)))
    return max(0, min(rounded, MAX_REPLICAS))


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
    ready, desired = (observation.workload.ready, observation.workload.desired) if observation.workload else (0, 0)
    needs = [
        *_of_risks(spec, observation, [risk for risk in risks if _acts(risk, observation)], ready),
        *_of_drift(spec, observation, drift, ready),
    ]
    needs.sort(key=lambda need: -need.replicas)
    required, known, countable = _standing(spec, observation, ready, held_by)
    driven = needs[0].replicas if needs else 0
    trusted = [risk for risk in risks if _trusted(risk, observation)]
    called = max(driven, _largest(_of_risks(spec, observation, trusted, ready)))
    listed = _largest(_of_risks(spec, observation, risks, ready))
    # Without a ready replica there is no load to reckon with, however idle everything looks.
    known = known and ready > 0
    least = required if known and countable else max(required, desired)
    return Demand(
        needs=tuple(needs),
        recommended=max(1, driven, least),
        called=called,
        holding=max(called, required, listed),
        known=known,
    )


def _largest(needs: Iterator[Need]) -> int:
    return max((need.replicas for need in needs), default=0)


def _acts(risk: Risk, observation: Observation) -> bool:
    """Tell whether a risk may drive a correction: foreseen on a full history, or true already."""
    return risk.persistent and (risk.current or _trusted(risk, observation))


def _trusted(risk: Risk, observation: Observation) -> bool:
    """Tell whether the forecast behind a risk may change anything; what is observed always may."""
    return risk.calibrated and observation.history_complete


def _of_risks(spec: DigitalTwinSpec, observation: Observation, risks: Sequence[Risk], ready: int) -> Iterator[Need]:
    for risk in risks:
        observed = _value(observation, risk.metric)
        if risk.metric not in DRIVING or risk.limit <= 0:
            continue
        foreseen = risk.upper if _trusted(risk, observation) or observed is None else observed
        value = foreseen if observed is None else max(observed, foreseen)
        show = facts(risk.metric).show
        seen = "is at" if observed is not None and value <= observed else "is foreseen at"
        when = "" if seen == "is at" else f" in {duration(risk.horizon_seconds)}"
        about = f"{seen} {show(value)}{when} (limit {show(risk.limit)})"
        yield _need(spec, observation, f"Risk/{risk.metric}", risk.metric, (value, risk.limit, about), ready)


def _of_drift(spec: DigitalTwinSpec, observation: Observation, drift: Drift, ready: int) -> Iterator[Need]:
    for alert in drift.alerts:
        metric = alert.component
        if not (alert.persistent and alert.eligible) or metric not in DRIVING or alert.direction is not Direction.ABOVE:
            continue
        allowed = tolerance(spec, metric, observation.outlook.readings.get(metric))
        value = _value(observation, metric)
        edge = allowed.edge(above=True) if allowed else None
        if allowed is None or value is None or edge is None or edge <= 0:
            continue
        show = facts(metric).show
        about = f"is at {show(value)} (expected {show(allowed.expected)}, at most {show(edge)})"
        yield _need(spec, observation, f"Drift/{metric}", metric, (value, edge, about), ready)


def _need(
    spec: DigitalTwinSpec,
    observation: Observation,
    trigger: str,
    metric: str,
    judged: tuple[float, float, str],
    ready: int,
) -> Need:
    value, goal, about = judged
    replicas, reckoning = _replicas(spec, metric, value, goal, ready)
    sample = observation.samples.get(metric)
    return Need(
        metric=metric,
        trigger=trigger,
        replicas=replicas,
        fresh=sample is not None and sample.actionable,
        why=f"{facts(metric).word} {about}: {reckoning} = {replicas} replicas",
    )


def _replicas(spec: DigitalTwinSpec, metric: str, value: float, goal: float, ready: int) -> tuple[int, str]:
    """Return the replicas by the metric's formula, and the formula with its figures."""
    if metric == CPU:
        return ceil(ready * value / goal), f"ceil({ready} x {_figure(value)}/{_figure(goal)})"
    each = spec.limits_per_replica.get(metric)
    if metric == THROUGHPUT and each:
        return ceil(value / each), f"ceil({_figure(value)}/{_figure(each)} per replica)"
    return ceil(ready * STEP), f"one step of 25%, ceil({ready} x {STEP:g})"


def _standing(
    spec: DigitalTwinSpec, observation: Observation, ready: int, held_by: Collection[str]
) -> tuple[int, bool, bool]:
    """Return what the observed values ask for by themselves.

    Returns:
        Replicas, 0 where nothing asks for any; whether the goals have fresh values to be held against, as
        ``Demand.known`` tells; and whether these can be counted in replicas downwards, too, with no series
        out of sight that could be.
    """
    required, known, countable, lost, goals, told = 0, True, False, False, 0, 0
    for metric in DRIVING:
        # What was learned is no goal of its own; but what is held because of it is not to be given back too soon.
        goal = _goal(spec, metric, observation.outlook.readings.get(metric) if metric in held_by else None)
        each = spec.limits_per_replica.get(metric) if metric == THROUGHPUT else None
        if goal is None and each is None:
            continue
        value, counts = _value(observation, metric), metric == CPU or each is not None
        goals, told = goals + 1, told + (value is not None)
        if value is None:
            reason = _without_data(observation, metric)
            known = known and bool(reason) and metric not in held_by
            lost = lost or (counts and reason not in _NEVER_THERE)
        elif counts:
            required = max(required, _replicas(spec, metric, value, goal or math.inf, ready)[0])
            countable = True
        elif goal is not None and value > goal:
            required = max(required, _replicas(spec, metric, value, goal, ready)[0])
    return required, known and (told > 0 or goals == 0), countable and not lost


def _without_data(observation: Observation, metric: str) -> str:
    """Return why a metric has no data at all, empty when it has some that cannot be used now."""
    sample = observation.samples.get(metric)
    return sample.reason if sample is not None and sample.quality is Quality.MISSING else ""


def _goal(spec: DigitalTwinSpec, metric: str, reading: Reading | None) -> float | None:
    """Return the value that a metric should not exceed, None where nobody gave one and none was learned."""
    allowed = tolerance(spec, metric, reading)
    edge = allowed.edge(above=True) if allowed else None
    goals = [goal for goal in (edge, spec.limits.get(metric)) if goal is not None and goal > 0]
    return min(goals, default=None)


def _value(observation: Observation, metric: str) -> float | None:
    """Return a real, fresh, finite value, None where there is none."""
    sample = observation.samples.get(metric)
    usable = sample is not None and sample.actionable and sample.value is not None and math.isfinite(sample.value)
    return sample.value if sample is not None and usable else None


def _figure(value: float) -> str:
    return f"{value:.4g}"
