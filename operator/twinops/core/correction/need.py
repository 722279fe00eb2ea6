"""How many replicas the workload requires, and because of what.

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

from collections.abc import Collection, Iterator, Sequence

from twinops.api.twin.drift import Direction, Drift
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.risk import duration
from twinops.core.assess.tolerance import tolerance
from twinops.core.correction.demand import Demand, Need
from twinops.core.correction.observed_demand import ObservedDemand
from twinops.core.correction.sizing import ReplicaSizer, Suppression
from twinops.core.correction.start_up import starting
from twinops.core.metrics.idle import idle_metrics
from twinops.core.observation import Observation
from twinops.metric_definitions import definition


def demand(
    spec: DigitalTwinSpec,
    observation: Observation,
    drift: Drift,
    risks: Sequence[Risk],
    *,
    held_by: Collection[str] = (),
) -> Demand:
    """Return what is required now.

    Args:
        spec: the twin's spec.
        observation: with the workload; without one nothing is required.
        drift: alerts; the persistent, eligible ones drive a correction.
        risks: the persistent ones drive a correction.
        held_by: the metrics that what is held now was raised for.
    """
    sizer = ReplicaSizer(spec, observation)
    idle = idle_metrics(observation.samples)
    listed = [risk for risk in risks if risk.metric not in idle]
    trusted = [risk for risk in listed if _trusted(risk, observation)]
    needs = [
        *_of_risks(sizer, [risk for risk in listed if _drives(risk, observation)]),
        *_of_drift(sizer, drift),
    ]
    needs.sort(key=lambda need: -need.replicas)
    required = max(_largest(needs), _largest(_of_risks(sizer, trusted)))
    observed = ObservedDemand(sizer, held_by, idle)
    found = Demand(
        needs=tuple(needs),
        required=required,
        hold_floor=max(required, *observed.replicas.values(), _largest(_of_risks(sizer, listed)), 0),
        # Without a ready replica no load can be measured, however idle everything looks.
        known=observed.known and sizer.ready > 0,
        observed=observed.replicas,
        goals=frozenset(observed.goals),
        desired=observation.workload.desired if observation.workload else 0,
        countable=observed.countable,
    )
    words = starting(observation)
    return found.during_start_up(Suppression.starting_up(words)) if words else found


def _largest(needs: Iterator[Need] | Sequence[Need]) -> int:
    return max((need.replicas for need in needs), default=0)


def _drives(risk: Risk, observation: Observation) -> bool:
    """Tell whether a risk may drive a correction: foreseen on a full history, or true already."""
    return risk.persistent and not _bounded(observation, risk.metric) and (risk.current or _trusted(risk, observation))


def _trusted(risk: Risk, observation: Observation) -> bool:
    """Tell whether the forecast behind a risk may change anything; what is observed always may."""
    return risk.calibrated and observation.forecast_result.history_complete


def _of_risks(sizer: ReplicaSizer, risks: Sequence[Risk]) -> Iterator[Need]:
    for risk in risks:
        observed = sizer.value(risk.metric)
        if not definition(risk.metric).drives_corrections or risk.limit <= 0:
            continue
        foreseen = risk.upper if _trusted(risk, sizer.observation) or observed is None else observed
        value = foreseen if observed is None else max(observed, foreseen)
        show = definition(risk.metric).show
        seen, when = "is foreseen at", f" in {duration(risk.horizon_seconds)}"
        if observed is not None and value <= observed:
            seen, when = "is at", ""
        elif observed is None and risk.current:
            seen, when = "was last at", ""
        about = f"{seen} {show(value)}{when} (limit {show(risk.limit)})"
        yield _need(sizer, f"Risk/{risk.metric}", risk.metric, (value, risk.limit, about))


def _of_drift(sizer: ReplicaSizer, drift: Drift) -> Iterator[Need]:
    baselines = sizer.observation.forecast_result.baselines
    for alert in drift.alerts:
        metric = alert.component
        if (
            not (alert.persistent and alert.eligible)
            or not definition(metric).drives_corrections
            or alert.direction is not Direction.ABOVE
        ):
            continue
        allowed = tolerance(sizer.spec, metric, baselines.get(metric))
        value = sizer.value(metric)
        edge = allowed.edge(above=True) if allowed else None
        if allowed is None or value is None or edge is None or edge <= 0:
            continue
        show = definition(metric).show
        about = f"is at {show(value)} (expected {show(allowed.expected)}, at most {show(edge)})"
        yield _need(sizer, f"Drift/{metric}", metric, (value, edge, about))


def _need(sizer: ReplicaSizer, trigger: str, metric: str, judged: tuple[float, float, str]) -> Need:
    value, goal, about = judged
    replicas, words = sizer.replicas(metric, value, goal)
    sample, observed = sizer.observation.samples.get(metric), sizer.value(metric)
    return Need(
        metric=metric,
        trigger=trigger,
        replicas=replicas,
        fresh=sample is not None and sample.actionable,
        why=f"{definition(metric).word} {about}: {words}",
        beyond=observed is not None and observed > goal,
        suppression=sizer.suppression(metric),
    )


def _bounded(observation: Observation, metric: str) -> bool:
    sample = observation.samples.get(metric)
    return sample is not None and sample.bounded
