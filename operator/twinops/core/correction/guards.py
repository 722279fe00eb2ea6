"""What must hold before anything is written: an ordered chain of checks, the first that fails speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction import fights, ownership, records
from twinops.core.correction.bounds import Limited
from twinops.core.correction.need import Need
from twinops.core.observation import Lever, Observation
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing is raised.

    Attributes:
        reason: CamelCase.
        message: with what would have to change.
        blocked: True when something is in the way; False when there is simply nothing to do, or a
            person wants nothing done.
    """

    reason: str
    message: str
    blocked: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What every guard may look at.

    Attributes:
        state: the one before, earlier decisions settled.
        need: what drives a correction now, None when nothing does.
        limited: the need within bounds and step, None without a need or a lever.
        now: Unix seconds.
    """

    spec: DigitalTwinSpec
    observation: Observation
    state: TwinState
    need: Need | None
    limited: Limited | None
    now: float


WAITING = frozenset({"StartingUp", "Verifying", "Cooldown", "WaitingForReplicas"})
"""Reasons for which a need is only not met yet; a person has nothing to do about them."""

_ROUNDING_SECONDS = 1.0
"""Times are rounded where they are kept; a moment ago may so lie ahead."""

Guard = Callable[[Situation], Stop | None]


def first_stop(situation: Situation) -> Stop | None:
    """Return what stops a raise, None when nothing does."""
    return next((stop for guard in CHAIN if (stop := guard(situation))), None)


def enabled(situation: Situation) -> Stop | None:
    """The spec wants corrections."""
    if situation.spec.auto_correction.enabled:
        return None
    return Stop("Disabled", "spec.autoCorrection.enabled is false", blocked=False)


def not_suspended(situation: Situation) -> Stop | None:
    """The twin is not suspended."""
    return Stop("Suspended", "spec.suspend is true", blocked=False) if situation.spec.suspend else None


def workload_present(situation: Situation) -> Stop | None:
    """There is a workload, and nobody has scaled it to zero."""
    ref, workload = situation.spec.source.target_ref, situation.observation.workload
    if ref is None:
        return Stop("NoTarget", "the twin has no spec.source.targetRef: there is nothing to correct", blocked=False)
    if workload is None:
        return Stop("TargetNotFound", f"{ref.kind}/{ref.name} could not be read", blocked=True)
    if workload.desired == 0:
        return Stop("ScaledToZero", f"{ref.kind}/{ref.name} is scaled to zero", blocked=False)
    return None


def no_rival(situation: Situation) -> Stop | None:
    """No older twin corrects the same target, and no other twin holds a value that would be taken for the original."""
    seen = situation.observation
    if seen.rival:
        told = f"the older twin {seen.rival} corrects this target; this one only observes"
        return Stop("AnotherTwin", told, blocked=True)
    if seen.holder and situation.spec.auto_correction.mode is CorrectionMode.APPLY:
        told = f"the twin {seen.holder} still holds what it raised; this one corrects once that is given back"
        return Stop("AnotherTwin", told, blocked=True)
    return None


def lever_present(situation: Situation) -> Stop | None:
    """There is something to write to."""
    seen = situation.observation
    if seen.lever is not None:
        return None
    return Stop(seen.no_lever_reason or "NoLever", seen.no_lever_message or "nothing to correct", blocked=True)


def bounds_given(situation: Situation) -> Stop | None:
    """A workload without an HPA is corrected only between bounds that a person gave."""
    lever, bounds = _lever(situation), situation.spec.auto_correction.bounds
    if lever.is_hpa or (bounds.min_replicas is not None and bounds.max_replicas is not None):
        return None
    return Stop(
        "NoBounds",
        f"no HPA targets {lever.object.kind}/{lever.object.name}: set minReplicas and maxReplicas in "
        "spec.autoCorrection.bounds, or make an HPA",
        blocked=True,
    )


def may_write(situation: Situation) -> Stop | None:
    """Whoever owns the field leaves it to us."""
    value = situation.limited.value if situation.limited else None
    policy = situation.spec.auto_correction.ownership_policy
    further = situation.observation.one_shot_managers
    verdict = ownership.judge(_lever(situation), policy, value=value, further=further)
    return None if verdict.allowed else Stop(verdict.reason, verdict.message, blocked=True)


def not_fighting(situation: Situation) -> Stop | None:
    """Nobody keeps putting our values back."""
    fight = situation.state.fight
    if fight is None or not fights.paused(fight, situation.now):
        return None
    if fights.given_up(fight):
        return Stop(
            "GaveUp",
            f"our value was put back again and again, last by {fight.manager}: settle who sets the field, "
            "then change the spec",
            blocked=True,
        )
    until = "" if fight.until is None else f" until {fight.until:%H:%M:%S} UTC"
    return Stop(
        "BackedOff",
        f"our value was put back twice within ten minutes, last by {fight.manager}: waiting{until}",
        blocked=True,
    )


def not_failing(situation: Situation) -> Stop | None:
    """The last attempt was not refused a moment ago."""
    last = records.failing(situation.state.corrections, _lever(situation).object, situation.now)
    return Stop(last.reason or records.WRITE_FAILED, last.message, blocked=True) if last else None


def needed(situation: Situation) -> Stop | None:
    """Something drives a correction."""
    return (
        None
        if situation.need
        else Stop("NotNeeded", "no lasting drift or risk that replicas help against", blocked=False)
    )


def fresh(situation: Situation) -> Stop | None:
    """A real, fresh value stands behind the need."""
    need = situation.need
    if need is None or need.fresh:
        return None
    return Stop("NoFreshMetrics", f"{need.metric} has no fresh value: {need.why}", blocked=True)


def acting(situation: Situation) -> Stop | None:
    """Its value says something of the load, and more replicas have not been in vain."""
    need = situation.need
    if need is None or need.hold is None:
        return None
    return Stop(need.hold.reason, f"{need.hold.message} ({need.why})", need.hold.blocked)


def not_there_yet(situation: Situation) -> Stop | None:
    """The field is below the need."""
    need, lever = situation.need, _lever(situation)
    # No replicas are those that could not be counted: nothing is known to be in place.
    if need is None or not need.replicas or (lever.value or 0) < need.replicas:
        return None
    return Stop("InPlace", f"{lever.field} is {lever.value}, {need.replicas} are needed", blocked=False)


def cooled_down(situation: Situation) -> Stop | None:
    """The last raise had time to show; previews keep the same distance."""
    preview = situation.spec.auto_correction.mode is CorrectionMode.PREVIEW
    last = records.last_raise(situation.state.corrections, previewed=preview)
    if last is None:
        return None
    since = situation.now - (last.outcome_time or last.time).timestamp()
    left = situation.spec.auto_correction.cooldown_seconds - since
    # A clock that was set back must not stretch the wait.
    if left <= 0 or since < -_ROUNDING_SECONDS:
        return None
    return Stop(
        "Cooldown", f"the last correction is {since:.0f} s old; the next may follow in {left:.0f} s", blocked=False
    )


def room_left(situation: Situation) -> Stop | None:
    """Bounds and step leave room above the present value."""
    need, limited, lever = situation.need, situation.limited, _lever(situation)
    if need is None or limited is None or limited.value > (lever.value or 0):
        return None
    told = f"{need.replicas} replicas are needed ({need.why})"
    stops = [word for word in limited.by if not word.endswith("maxStepPercent")]
    if stops and limited.by[-1] == stops[-1]:
        told = f"{told}, and {lever.field} is {lever.value}: {stops[-1]} allows no more, raise it"
        return Stop("AtMaximum", told, blocked=True)
    return Stop("WaitingForReplicas", f"{told}; {lever.value} were asked for and are not ready yet", blocked=False)


CHAIN: tuple[Guard, ...] = (
    enabled,
    not_suspended,
    workload_present,
    no_rival,
    lever_present,
    bounds_given,
    may_write,
    not_fighting,
    not_failing,
    needed,
    fresh,
    not_there_yet,
    acting,
    cooled_down,
    room_left,
)


def _lever(situation: Situation) -> Lever:
    """Return the lever; the guards before have made sure that there is one."""
    lever = situation.observation.lever
    if lever is None:
        raise ValueError("guards were asked out of order")
    return lever
