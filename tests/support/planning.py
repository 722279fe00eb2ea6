"""What a sync does about corrections between assessing and writing: read what is held, then plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from twinops.api.twin.drift import Drift
from twinops.api.twin.predictions import Risk
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.controllers.twin.held_values import HeldValues
from twinops.core.correction.plan import Plan, plan
from twinops.core.lever import NoLeverReason
from twinops.core.observation import Observation
from twinops.core.state import TwinState
from twinops.ports.kubernetes import Levers, TwinRef


async def with_held(
    levers: Levers, ref: TwinRef, observation: Observation, state: TwinState, annotation: str = ""
) -> Observation:
    """Return the observation with what the twin holds in it, read as the operator reads it."""
    lever, held = await HeldValues(levers).gather(
        ref,
        observation.lever,
        state.saved_values,
        now=observation.now,
        annotation=None if observation.rival or observation.holder else annotation,
        lever_unavailable=observation.no_lever_reason == NoLeverReason.LEVER_UNAVAILABLE,
    )
    return dataclasses.replace(observation, lever=lever, held=held)


async def planned(
    levers: Levers,
    ref: TwinRef,
    spec: DigitalTwinSpec,
    observation: Observation,
    state: TwinState,
    risks: Sequence[Risk] = (),
    *,
    drift: Drift | None = None,
    annotation: str = "",
    **more: Any,
) -> tuple[Plan, Observation]:
    """Return the plan for given risks and drift, and the observation with what is held in it."""
    seen = await with_held(levers, ref, observation, state, annotation)
    found = plan(spec, state, seen, drift or Drift(), risks, **({"generation": 1} | more))
    return found, seen
