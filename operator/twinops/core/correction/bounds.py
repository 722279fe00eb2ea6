"""How far one correction may go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twinops.api.twin.corrections import Original
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.observation import Lever


@dataclass(frozen=True, slots=True)
class Envelope:
    """The replicas between which corrections stay.

    Attributes:
        minimum: None where nobody gave one.
        maximum: likewise.
        stop: what sets the maximum, in the words of a person who would change it.
    """

    minimum: int | None
    maximum: int | None
    stop: str

    def clip(self, replicas: int) -> int:
        """Return the replicas within the envelope."""
        if self.minimum is not None:
            replicas = max(replicas, self.minimum)
        return replicas if self.maximum is None else min(replicas, self.maximum)


@dataclass(frozen=True, slots=True)
class Limited:
    """A value after bounds and step.

    Attributes:
        by: what kept it lower than the need.
    """

    value: int
    by: tuple[str, ...] = ()


def original_of(originals: Iterable[Original], lever: Lever) -> Original | None:
    """Return what stands recorded for the lever, None before its first correction."""
    return next((o for o in originals if o.object == lever.object and o.field == lever.field), None)


def envelope(spec: DigitalTwinSpec, lever: Lever | None, original: Original | None) -> Envelope:
    """Return what the spec says; where it is silent, the HPA's own: minimum as first seen, maximum as it is now.

    A correction changes the minimum and never the maximum: a person who raises the latter means it to count at once.
    It is never exceeded, whatever the spec says: the API server refuses a larger minReplicas.
    """
    bounds = spec.auto_correction.bounds
    minimum = bounds.min_replicas
    caps = [] if bounds.max_replicas is None else [(bounds.max_replicas, "spec.autoCorrection.bounds.maxReplicas")]
    if lever is not None and lever.is_hpa:
        first_min = lever.minimum if original is None or original.bounds_min is None else original.bounds_min
        minimum = first_min if minimum is None else minimum
        if lever.maximum is not None:
            caps.append((lever.maximum, "maxReplicas of the HPA"))
    # Of two equal ones the live HPA's is named: it must be raised in any case.
    maximum, stop = min(caps, key=lambda cap: (cap[0], cap[1] != "maxReplicas of the HPA"), default=(None, ""))
    return Envelope(minimum, maximum, stop)


def limit(need: int, *, current: int, ready: int, max_step_percent: int, within: Envelope) -> Limited:
    """Return how far a need may be met at once; never below ``current``.

    Args:
        need: replicas wanted.
        current: value of the field now.
        ready: ready replicas, which the step is reckoned from.
        max_step_percent: one correction adds at most this share of the ready replicas, at least one replica.
        within: bounds.
    """
    value = within.clip(need)
    by = (within.stop,) if value < need else ()
    farthest = ready + max(1, ready * max_step_percent // 100)
    if value > farthest:
        # A bound farther away than the step did not hold it back.
        value, by = farthest, ("spec.autoCorrection.bounds.maxStepPercent",)
    return Limited(max(value, current), by)
