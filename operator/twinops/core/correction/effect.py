"""Whether more replicas have helped each metric, and what follows for the demand.

A correction is a control loop, and one without feedback runs to its bound. So the last step of every metric that
requires more replicas than there are is followed (:mod:`twinops.core.correction.step_response`), whoever added them.

The offered load (throughput) does not respond: replicas do not lower it. Without a limit per replica it is good for one
step; with one, replicas are counted from it, and no step is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinops.api.twin.corrections import ReplicaStep
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.correction.demand import Demand
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.records import metrics_held_for
from twinops.core.correction.sizing import ReplicaSizer, Suppression
from twinops.core.correction.step_response import StepResponse
from twinops.core.observation import Observation
from twinops.core.state import TwinState
from twinops.metric_definitions import Sizing, definition


@dataclass(frozen=True, slots=True)
class StepEffects:
    """What is known of the last steps of all driving metrics.

    Attributes:
        steps: for status.
        suppressed: by metric, why no further step is taken for it.
        capped: metrics that no more replicas are recommended for than are asked for now. CPU is not among them while
            its effect is being verified: its formula does not grow by itself.
        floors: by metric, how many of the present replicas the load still needs.
    """

    steps: tuple[ReplicaStep, ...]
    suppressed: Mapping[str, Suppression]
    capped: frozenset[str]
    floors: Mapping[str, int]


_NONE = StepEffects((), {}, frozenset(), {})


def follow_steps(spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand) -> StepEffects:
    """Update the last step of each metric with one sync, and return what follows.

    Args:
        spec: the twin's spec.
        observation: what this sync has read.
        state: the one before, earlier decisions settled.
        demand: what is required.
    """
    sizer = ReplicaSizer(spec, observation)
    known = {
        step.metric: step
        for step in state.replica_steps
        if step.generation == state.observed_generation and not sizer.has_limit_per_replica(step.metric)
    }
    required = {
        metric
        for metric, replicas in demand.required_by_metric().items()
        if replicas > sizer.ready and not sizer.has_limit_per_replica(metric)
    }
    if not known and not required:
        return _NONE
    held = metrics_held_for(state)
    restored = sum(record.trigger == RestoreTrigger.NEED_PASSED for record in state.corrections)
    steps: list[ReplicaStep] = []
    suppressed: dict[str, Suppression] = {}
    floors: dict[str, int] = {}
    for metric in sorted({*known, *required}):
        response = StepResponse.of(
            sizer, metric, required=metric in required, beyond=demand.is_beyond(metric), restored=restored
        )
        step = response.update(known.get(metric), state.observed_generation, held=metric in held)
        if step is not None:
            steps.append(step)
            if suppression := response.suppression(step):
                suppressed[metric] = suppression
            if replicas := response.floor(step):
                floors[metric] = replicas
    capped = frozenset(
        metric
        for metric, suppression in suppressed.items()
        if suppression.reason.blocked or definition(metric).sizing is not Sizing.SHARED_BY_PODS
    )
    return StepEffects(tuple(steps), suppressed, capped, floors)
