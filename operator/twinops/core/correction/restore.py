"""When a value is given back, and the way back.

Never by applying less: dropping the field resets ``minReplicas`` to 1 and ``/scale`` to 0. The former
owner's operation decides the way, so that its next apply of another value succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twinops.api.twin.corrections import Original
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction.need import Demand
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.observation import Lever, Observation
from twinops.core.state import TwinState

BELOW_SECONDS = 600
"""How long the need must have been below what is held."""

NEED_PASSED = "NeedPassed"
"""What ends a need by itself, as it stands in status."""

DEFAULTED = 1
"""What the API server puts where minReplicas or replicas is not set."""


class Way(StrEnum):
    """How a value goes back."""

    LEAVE = "Leave"
    UPDATE_AS = "UpdateAs"
    APPLY = "Apply"
    APPLY_AND_HAND_OVER = "ApplyAndHandOver"
    HAND_OVER = "HandOver"


@dataclass(frozen=True, slots=True)
class Return:
    """The way one value goes back.

    Attributes:
        value: that stands afterwards.
        manager: who owns the field afterwards; empty where we keep it.
        message: for the record.
    """

    way: Way
    value: int | None
    manager: str = ""
    message: str = ""


def way_back(original: Original, lever: Lever) -> Return:
    """Return how the field is given back; only a value that is still ours is undone."""
    value = DEFAULTED if original.value is None else original.value
    told = f"given back to {original.manager}"
    if half_way(original, lever):
        return Return(Way.HAND_OVER, value, original.manager, told)
    kept = _kept(original, lever)
    if kept is not None:
        return kept
    if original.operation == "Apply":
        return Return(Way.APPLY_AND_HAND_OVER, value, original.manager, told)
    if original.operation == "Update":
        return Return(Way.UPDATE_AS, value, original.manager, told)
    return Return(Way.APPLY, value, message="nobody owned it before")


def _kept(original: Original, lever: Lever) -> Return | None:
    """Return why the present value stays, None when it is to be undone."""
    if not is_ours(lever, original.ours):
        return Return(Way.LEAVE, lever.value, message=f"it is {lever.value} and no longer ours: left as it is")
    if (DEFAULTED if original.value is None else original.value) > (original.ours or 0):
        # Corrections only raise: no original of theirs lies above what they set, whatever a status says.
        return Return(Way.LEAVE, lever.value, message="the recorded original is above the value held: left as it is")
    heirs = [owner for owner in others_of(lever) if owner.operation == "Apply"]
    if heirs:
        told = f"{heirs[0].manager} has applied the same value: it stays"
        return Return(Way.HAND_OVER, lever.value, heirs[0].manager, told)
    if lever.applied_value == original.ours:
        # A client-side apply that finds its value in place changes nothing and so never becomes the owner.
        return Return(Way.LEAVE, lever.value, message="the manifest that was applied last says the same: it stays")
    return None


def half_way(original: Original, lever: Lever) -> bool:
    """Tell whether the value is back, but the ownership that its former owner had by applying is not."""
    return original.operation == "Apply" and is_ours(lever, DEFAULTED if original.value is None else original.value)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value is given back."""

    trigger: str
    why: str


def below_since(
    spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand, held: Original | None
) -> float | None:
    """Return since when (Unix seconds) the need has been below what is held, None when it is not.

    Only time in which the need was known counts: a gap, of knowledge or of looking, starts it anew.
    """
    lever = observation.lever
    if held is None or held.ours is None or lever is None or not demand.known:
        return None
    value = DEFAULTED if held.value is None else held.value
    # An HPA goes on from its own metrics when we let go; without one the original must be enough by itself.
    enough = held.ours - 1 if lever.is_hpa else value
    # What calls for more than the original would raise it again as soon as it is back.
    if demand.called > value or demand.holding > enough:
        return None
    before = state.need_below_since.timestamp() if state.need_below_since else None
    last = state.last_sync_time.timestamp() if state.last_sync_time else observation.now
    away = observation.now - last > max(BELOW_SECONDS, 2 * spec.sync_frequency_seconds)
    return observation.now if before is None or away or before > observation.now else before


def due(spec: DigitalTwinSpec, observation: Observation, original: Original, below: float | None) -> Reason | None:
    """Return why this value is given back now, None when it is kept."""
    reason = unwanted(spec) or _elsewhere(spec, observation, original) or _beyond(spec, observation, original)
    if reason is not None:
        return reason
    if original.ours == (DEFAULTED if original.value is None else original.value):
        return Reason("Unfinished", "the value is back, its ownership not yet")
    if below is not None and observation.now - below >= BELOW_SECONDS:
        return Reason(NEED_PASSED, f"the need has been below {original.ours} for {observation.now - below:.0f} s")
    return None


def unwanted(spec: DigitalTwinSpec) -> Reason | None:
    """Return why the spec wants nothing to be held, None when it does."""
    correction = spec.auto_correction
    if not correction.enabled:
        return Reason("Disabled", "spec.autoCorrection.enabled is false")
    if spec.suspend:
        return Reason("Suspended", "spec.suspend is true")
    if correction.mode is CorrectionMode.PREVIEW:
        return Reason("Preview", "spec.autoCorrection.mode is Preview")
    return None


def _elsewhere(spec: DigitalTwinSpec, observation: Observation, original: Original) -> Reason | None:
    """Return why this value is not the twin's to hold any more."""
    lever, bounds = observation.lever, spec.auto_correction.bounds
    if observation.lever_unread:
        return None
    if lever is None or (lever.object, lever.field) != (original.object, original.field):
        return Reason("LeverChanged", "the twin corrects something else now, or nothing")
    if observation.rival:
        return Reason("AnotherTwin", f"the older twin {observation.rival} corrects this target")
    if not lever.is_hpa and (bounds.min_replicas is None or bounds.max_replicas is None):
        return Reason("NoBounds", "spec.autoCorrection.bounds no longer give minReplicas and maxReplicas")
    return None


def _beyond(spec: DigitalTwinSpec, observation: Observation, original: Original) -> Reason | None:
    """Return why an HPA's minimum lies higher than the spec allows now.

    Whoever wants to lower the HPA's maxReplicas below what is held says so here, and the API server then takes it. The
    HPA goes on from its own metrics meanwhile; replicas set by way of ``/scale`` would drop at once, and stay.
    """
    maximum, lever = spec.auto_correction.bounds.max_replicas, observation.lever
    if lever is None or not lever.is_hpa or maximum is None or (original.ours or 0) <= maximum:
        return None
    return Reason("AboveMaximum", f"{original.ours} is above spec.autoCorrection.bounds.maxReplicas ({maximum})")
