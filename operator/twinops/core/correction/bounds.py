"""How far one correction may go."""

from __future__ import annotations

from dataclasses import dataclass

from twinops.api.twin.corrections import Original
from twinops.api.twin.spec import DigitalTwinSpec
from twinops.core.lever import Lever, LeverValue

MAX_STEP = "spec.autoCorrection.bounds.maxStepPercent"
"""What limits one correction when neither bound does, as ``limitedBy`` in status shows it."""

_MAX_REPLICAS = "spec.autoCorrection.bounds.maxReplicas"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The replicas between which corrections stay.

    Attributes:
        minimum: None where nobody gave one.
        maximum: likewise.
        maximum_words: what sets the maximum, in the words of a person who would change it.
    """

    minimum: LeverValue | None
    maximum: LeverValue | None
    maximum_words: str

    def clip(self, replicas: LeverValue) -> LeverValue:
        """Return the replicas within the envelope."""
        if self.minimum is not None:
            replicas = max(replicas, self.minimum)
        return replicas if self.maximum is None else min(replicas, self.maximum)


@dataclass(frozen=True, slots=True)
class Limited:
    """A value after bounds and step.

    Attributes:
        by: what kept it lower than what is required.
    """

    value: LeverValue
    by: tuple[str, ...] = ()

    @property
    def bound(self) -> str:
        """The bound that a person would have to raise; empty where none, or only the step, has limited the value."""
        return next((words for words in self.by if words != MAX_STEP), "")


def envelope(spec: DigitalTwinSpec, lever: Lever | None, saved: Original | None) -> Envelope:
    """Return the bounds of the spec, and where it has none those of the lever's object.

    The object's minimum counts as first seen, for corrections change it. Its maximum counts as it is now: corrections
    do not change it, and a person who raises it means the new value. It is never exceeded, whatever the spec says: the
    API server refuses a larger value.
    """
    bounds = spec.auto_correction.bounds
    minimum = bounds.min_replicas
    # Of two equal maxima the object's own is named: it must be raised in any case, so it stands first.
    maxima: list[tuple[LeverValue, str]] = []
    if lever is not None and lever.kind.has_maximum:
        first_minimum = lever.minimum if saved is None or saved.bounds_min is None else saved.bounds_min
        minimum = first_minimum if minimum is None else minimum
        if lever.maximum is not None:
            maxima.append((lever.maximum, lever.kind.maximum_words))
    if bounds.max_replicas is not None:
        maxima.append((bounds.max_replicas, _MAX_REPLICAS))
    maximum, words = min(maxima, key=lambda each: each[0], default=(None, ""))
    return Envelope(minimum, maximum, words)


def limit(required: LeverValue, *, current: LeverValue, ready: int, max_step_percent: int, within: Envelope) -> Limited:
    """Return how much of what is required may be set at once; never below ``current``.

    Args:
        required: replicas wanted.
        current: value of the field now.
        ready: ready replicas, which the step is counted from.
        max_step_percent: one correction adds at most this share of the ready replicas, at least one replica.
        within: bounds.
    """
    value = within.clip(required)
    by = (within.maximum_words,) if value < required else ()
    farthest = ready + max(1, ready * max_step_percent // 100)
    if value > farthest:
        # A bound farther away than the step has limited nothing.
        value, by = farthest, (MAX_STEP,)
    return Limited(max(value, current), by)
