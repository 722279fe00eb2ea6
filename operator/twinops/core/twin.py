"""One sync of a twin as a pure function of its spec, its state and what was observed.

The operator calls it once per sync, between reading and writing; ``twinops replay`` calls it once per recorded row.
There is no I/O and no clock: ``observation.now`` is the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twinops.api.base import utc
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.assess.assessment import Assessment, assess
from twinops.core.assess.availability import GRACE_SECONDS
from twinops.core.correction.decide import Decision
from twinops.core.correction.plan import Plan, plan
from twinops.core.observation import Observation
from twinops.core.state import TwinState

NOT_DECIDED = "NotDecided"
"""Reason of the decision where ``step`` is called without corrections."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one sync comes to.

    Attributes:
        observation: what it was judged from.
        state: what the next sync starts from.
        assessment: health, risks, drift and predictions.
        plan: what is decided about corrections, and the events about that.
    """

    observation: Observation
    state: TwinState
    assessment: Assessment
    plan: Plan

    @property
    def decision(self) -> Decision:
        """What is to be done, and why."""
        return self.plan.decision


def step(
    spec: DigitalTwinSpec,
    state: TwinState,
    observation: Observation,
    *,
    generation: int,
    asked: bool = False,
    grace_seconds: float = GRACE_SECONDS,
    corrections: bool = True,
) -> Step:
    """Judge one observation and decide about corrections. The same arguments give the same answer.

    Args:
        spec: the twin's.
        state: that the last sync left.
        observation: what this sync has read.
        generation: of the spec.
        asked: whether a person has asked for this sync.
        grace_seconds: how long the last verdict is kept without new data.
        corrections: whether to decide about corrections. If not, what the state says of them stays as it is.
    """
    assessment = assess(spec, observation, state, grace_seconds=grace_seconds)
    if corrections:
        planned = plan(
            spec, state, observation, assessment.drift, assessment.risks, generation=generation, asked=asked
        )  # fmt: skip
    else:
        decision = Decision(None, spec.auto_correction.mode, NOT_DECIDED, "corrections are left out")
        planned = Plan(decision, state)
    return Step(
        observation=observation,
        state=replace(
            planned.state,
            observed_generation=generation,
            last_sync_time=utc(observation.now),
            observed=assessment.observed,
            health=assessment.health,
            risks=assessment.risks,
            drift=assessment.drift,
            restart_state=assessment.restart_state,
        ),
        assessment=assessment,
        plan=planned,
    )
