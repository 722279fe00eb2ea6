"""What must hold before anything is raised: an ordered chain of checks. The first that fails gives the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twinops.api.twin.spec import CorrectionMode, DigitalTwinSpec
from twinops.core.correction import fights, ownership, records
from twinops.core.correction.bounds import Limited
from twinops.core.correction.demand import Need
from twinops.core.correction.reasons import BlockReason, FailureReason
from twinops.core.lever import Lever
from twinops.core.observation import Observation
from twinops.core.state import TwinState


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing is raised.

    Attributes:
        reason: CamelCase; one that is not a ``BlockReason`` is shown only: of a SpecError, an owner or a failed write.
        message: with what would have to change.
    """

    reason: str
    message: str

    @property
    def blocked(self) -> bool:
        """Tell whether something is in the way; else there is nothing to do yet, or a person wants nothing done."""
        return not isinstance(self.reason, BlockReason) or self.reason.blocked


@dataclass(frozen=True, slots=True)
class Situation:
    """What every guard may use.

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


_ROUNDING_SECONDS = 1.0
"""Seconds that a time in status may lie ahead of the clock: status keeps whole seconds."""

Guard = Callable[[Situation], Stop | None]


def first_stop(situation: Situation) -> Stop | None:
    """Return what stops a raise, None when nothing does."""
    return next((stop for guard in CHAIN if (stop := guard(situation))), None)


def enabled(situation: Situation) -> Stop | None:
    """The spec wants corrections."""
    if situation.spec.auto_correction.enabled:
        return None
    return Stop(BlockReason.DISABLED, "spec.autoCorrection.enabled is false")


def not_suspended(situation: Situation) -> Stop | None:
    """The twin is not suspended."""
    return Stop(BlockReason.SUSPENDED, "spec.suspend is true") if situation.spec.suspend else None


def workload_present(situation: Situation) -> Stop | None:
    """There is a workload, and nobody has scaled it to zero."""
    ref, workload = situation.spec.source.target_ref, situation.observation.workload
    if ref is None:
        return Stop(BlockReason.NO_TARGET, "the twin has no spec.source.targetRef: there is nothing to correct")
    if workload is None:
        return Stop(BlockReason.TARGET_NOT_FOUND, f"{ref.kind}/{ref.name} could not be read")
    if workload.desired == 0:
        return Stop(BlockReason.SCALED_TO_ZERO, f"{ref.kind}/{ref.name} is scaled to zero")
    return None


def no_rival(situation: Situation) -> Stop | None:
    """No older twin corrects the same target, and no other twin holds a value that would be saved as the original."""
    seen = situation.observation
    if seen.rival:
        message = f"the older twin {seen.rival} corrects this target; this one only observes"
        return Stop(BlockReason.ANOTHER_TWIN, message)
    if seen.holder and situation.spec.auto_correction.mode is CorrectionMode.APPLY:
        message = f"the twin {seen.holder} still holds what it raised; this one corrects once that is given back"
        return Stop(BlockReason.ANOTHER_TWIN, message)
    return None


def lever_present(situation: Situation) -> Stop | None:
    """There is something to write to."""
    seen = situation.observation
    if seen.lever is not None:
        return None
    return Stop(seen.no_lever_reason or BlockReason.NO_LEVER, seen.no_lever_message or "nothing to correct")


def bounds_given(situation: Situation) -> Stop | None:
    """A workload without an HPA is corrected only between bounds that a person gave."""
    lever, bounds = _lever(situation), situation.spec.auto_correction.bounds
    if lever.kind.has_maximum or (bounds.min_replicas is not None and bounds.max_replicas is not None):
        return None
    return Stop(
        BlockReason.NO_BOUNDS,
        f"no HPA targets {lever.object.kind}/{lever.object.name}: set minReplicas and maxReplicas in "
        "spec.autoCorrection.bounds, or make an HPA",
    )


def may_write(situation: Situation) -> Stop | None:
    """Whoever owns the field leaves it to us."""
    value = situation.limited.value if situation.limited else None
    policy = situation.spec.auto_correction.ownership_policy
    further = situation.observation.one_shot_managers
    verdict = ownership.judge(_lever(situation), policy, value=value, further=further)
    return None if verdict.allowed else Stop(verdict.reason, verdict.message)


def not_fighting(situation: Situation) -> Stop | None:
    """Nobody keeps putting our values back."""
    fight = situation.state.fight
    if fight is None or not fights.backing_off(fight, situation.now):
        return None
    if fights.given_up(fight):
        return Stop(
            BlockReason.GAVE_UP,
            f"our value was put back again and again, last by {fight.manager}: settle who sets the field, "
            "then change the spec",
        )
    until = "" if fight.until is None else f" until {fight.until:%H:%M:%S} UTC"
    return Stop(
        BlockReason.BACKED_OFF,
        f"our value was put back twice within ten minutes, last by {fight.manager}: waiting{until}",
    )


def not_failing(situation: Situation) -> Stop | None:
    """The last attempt was not refused a moment ago."""
    last = records.waiting_failure(situation.state.corrections, _lever(situation).object, situation.now)
    return Stop(last.reason or FailureReason.WRITE_FAILED, last.message) if last else None


def needed(situation: Situation) -> Stop | None:
    """Something drives a correction."""
    return (
        None if situation.need else Stop(BlockReason.NOT_NEEDED, "no lasting drift or risk that replicas help against")
    )


def fresh(situation: Situation) -> Stop | None:
    """The need comes from a real, fresh value."""
    need = situation.need
    if need is None or need.fresh:
        return None
    return Stop(BlockReason.NO_FRESH_METRICS, f"{need.metric} has no fresh value: {need.why}")


def not_suppressed(situation: Situation) -> Stop | None:
    """Pods that start up do not distort the metric, and the last step for it has had an effect."""
    need = situation.need
    if need is None or need.suppression is None:
        return None
    return Stop(need.suppression.reason, f"{need.suppression.message} ({need.why})")


def not_in_place(situation: Situation) -> Stop | None:
    """The field is below the need."""
    need, lever = situation.need, _lever(situation)
    # Of 0 replicas, which could not be counted, nothing is known to be in place.
    if need is None or not need.replicas or lever.current < need.replicas:
        return None
    return Stop(BlockReason.IN_PLACE, f"{lever.field} is {lever.value}, {need.replicas} are needed")


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
        BlockReason.COOLDOWN,
        f"the last correction is {since:.0f} s old; the next may follow in {left:.0f} s",
    )


def room_left(situation: Situation) -> Stop | None:
    """Bounds and step leave room above the present value."""
    need, limited, lever = situation.need, situation.limited, _lever(situation)
    if need is None or limited is None or limited.value > lever.current:
        return None
    message = f"{need.replicas} replicas are needed ({need.why})"
    if limited.bound:
        message = f"{message}, and {lever.field} is {lever.value}: {limited.bound} allows no more, raise it"
        return Stop(BlockReason.AT_MAXIMUM, message)
    return Stop(BlockReason.WAITING_FOR_REPLICAS, f"{message}; {lever.value} were asked for and are not ready yet")


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
    not_in_place,
    not_suppressed,
    cooled_down,
    room_left,
)


def _lever(situation: Situation) -> Lever:
    """Return the lever; the guards before have made sure that there is one."""
    lever = situation.observation.lever
    if lever is None:
        raise ValueError("guards were asked out of order")
    return lever
