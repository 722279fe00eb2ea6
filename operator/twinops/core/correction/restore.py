"""When a saved value is restored, and by which requests.

Never by applying a manifest without the field: that resets ``minReplicas`` to 1 and ``/scale`` to 0. The former owner's
operation decides how, so that its next apply of another value succeeds. Source:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twinops.api.twin.corrections import Original
from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction.demand import Demand
from twinops.core.correction.ownership import is_ours, others_of
from twinops.core.correction.reasons import RestoreTrigger
from twinops.core.correction.saved_values import key_of, value_to_restore
from twinops.core.lever import Lever, LeverValue
from twinops.core.observation import Observation
from twinops.core.state import TwinState

BELOW_SECONDS = 600
"""Seconds for which less must have been required than is held, before it is restored: two of the HPA's default
stabilization windows for scaling down."""


class RestoreMethod(StrEnum):
    """How a value is restored."""

    LEAVE = "Leave"
    UPDATE_AS = "UpdateAs"
    APPLY = "Apply"
    APPLY_AND_HAND_OVER = "ApplyAndHandOver"
    HAND_OVER = "HandOver"


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """How one value is restored.

    Attributes:
        value: of the field afterwards.
        manager: who owns the field afterwards; empty where we keep it.
        message: for the record.
    """

    method: RestoreMethod
    value: LeverValue | None
    manager: str = ""
    message: str = ""


def restore_plan(saved: Original, lever: Lever) -> RestorePlan:
    """Return how the field is restored; only a value that is still ours is changed."""
    value = value_to_restore(saved)
    message = f"given back to {saved.manager}"
    if only_ownership_missing(saved, lever):
        return RestorePlan(RestoreMethod.HAND_OVER, value, saved.manager, message)
    kept = _left_as_it_is(saved, lever)
    if kept is not None:
        return kept
    if saved.operation == "Apply":
        return RestorePlan(RestoreMethod.APPLY_AND_HAND_OVER, value, saved.manager, message)
    if saved.operation == "Update":
        return RestorePlan(RestoreMethod.UPDATE_AS, value, saved.manager, message)
    return RestorePlan(RestoreMethod.APPLY, value, message="nobody owned it before")


def _left_as_it_is(saved: Original, lever: Lever) -> RestorePlan | None:
    """Return the plan where the present value stays, None when the saved value is to be set."""
    if not is_ours(lever, saved.ours):
        return RestorePlan(
            RestoreMethod.LEAVE, lever.value, message=f"it is {lever.value} and no longer ours: left as it is"
        )
    if value_to_restore(saved) > (saved.ours or 0):
        # Corrections only raise: a saved value above what they set is wrong, whatever a status says.
        return RestorePlan(
            RestoreMethod.LEAVE, lever.value, message="the recorded original is above the value held: left as it is"
        )
    heirs = [owner for owner in others_of(lever) if owner.operation == "Apply"]
    if heirs:
        message = f"{heirs[0].manager} has applied the same value: it stays"
        return RestorePlan(RestoreMethod.HAND_OVER, lever.value, heirs[0].manager, message)
    if lever.applied_value == saved.ours:
        # A client-side apply of the value that is in place changes nothing, so its manager does not become the owner.
        return RestorePlan(
            RestoreMethod.LEAVE, lever.value, message="the manifest that was applied last says the same: it stays"
        )
    return None


def only_ownership_missing(saved: Original, lever: Lever) -> bool:
    """Tell whether the value is restored, but not yet the ownership that its former owner had by applying."""
    return saved.operation == "Apply" and is_ours(lever, value_to_restore(saved))


@dataclass(frozen=True, slots=True)
class RestoreReason:
    """Why a value is restored."""

    trigger: RestoreTrigger
    why: str


def below_since(
    spec: DigitalTwinSpec, observation: Observation, state: TwinState, demand: Demand, saved: Original | None
) -> float | None:
    """Return since when (Unix seconds) less has been required than is held, None when it is not.

    Only time in which the demand was known counts: a gap, in metrics or between syncs, starts it afresh.
    """
    lever = observation.lever
    if saved is None or saved.ours is None or lever is None or not demand.known:
        return None
    value = value_to_restore(saved)
    # Above a floor an autoscaler keeps what its own metrics need; without one the saved value must be enough by itself.
    enough = saved.ours - 1 if lever.kind.is_floor else value
    # What requires more than the saved value would raise it again as soon as it is restored.
    if demand.required > value or demand.hold_floor > enough:
        return None
    before = state.need_below_since.timestamp() if state.need_below_since else None
    last = state.last_sync_time.timestamp() if state.last_sync_time else observation.now
    away = observation.now - last > max(BELOW_SECONDS, 2 * spec.sync_frequency_seconds)
    return observation.now if before is None or away or before > observation.now else before


def restore_reason(
    spec: DigitalTwinSpec, observation: Observation, saved: Original, below: float | None
) -> RestoreReason | None:
    """Return why this value is restored now, None when it is kept."""
    reason = unwanted(spec) or _elsewhere(spec, observation, saved) or _beyond(spec, observation, saved)
    if reason is not None:
        return reason
    if saved.ours == value_to_restore(saved):
        return RestoreReason(RestoreTrigger.UNFINISHED, "the value is back, its ownership not yet")
    if below is not None and observation.now - below >= BELOW_SECONDS:
        return RestoreReason(
            RestoreTrigger.NEED_PASSED, f"the need has been below {saved.ours} for {observation.now - below:.0f} s"
        )
    return None


def unwanted(spec: DigitalTwinSpec) -> RestoreReason | None:
    """Return why the spec wants nothing to be held, None when it does."""
    correction = spec.auto_correction
    if not correction.enabled:
        return RestoreReason(RestoreTrigger.DISABLED, "spec.autoCorrection.enabled is false")
    if spec.suspend:
        return RestoreReason(RestoreTrigger.SUSPENDED, "spec.suspend is true")
    if correction.mode is CorrectionMode.PREVIEW:
        return RestoreReason(RestoreTrigger.PREVIEW, "spec.autoCorrection.mode is Preview")
    return None


def _elsewhere(spec: DigitalTwinSpec, observation: Observation, saved: Original) -> RestoreReason | None:
    """Return why the twin may not hold this value any more."""
    lever, bounds = observation.lever, spec.auto_correction.bounds
    if observation.lever_unread:
        return None
    if lever is None or lever.key != key_of(saved):
        return RestoreReason(RestoreTrigger.LEVER_CHANGED, "the twin corrects something else now, or nothing")
    if observation.rival:
        return RestoreReason(RestoreTrigger.ANOTHER_TWIN, f"the older twin {observation.rival} corrects this target")
    if not lever.kind.has_maximum and (bounds.min_replicas is None or bounds.max_replicas is None):
        return RestoreReason(
            RestoreTrigger.NO_BOUNDS, "spec.autoCorrection.bounds no longer give minReplicas and maxReplicas"
        )
    return None


def _beyond(spec: DigitalTwinSpec, observation: Observation, saved: Original) -> RestoreReason | None:
    """Return why a floor that is held lies above what the spec allows now.

    To lower an HPA's maxReplicas below what is held, a person lowers this bound; after the restore the API server
    accepts it. The HPA keeps what its own metrics need meanwhile. A number of replicas would fall at once, and stay.
    """
    maximum, lever = spec.auto_correction.bounds.max_replicas, observation.lever
    if lever is None or not lever.kind.is_floor or maximum is None or (saved.ours or 0) <= maximum:
        return None
    return RestoreReason(
        RestoreTrigger.ABOVE_MAXIMUM, f"{saved.ours} is above spec.autoCorrection.bounds.maxReplicas ({maximum})"
    )
