"""Building a condition list from the previous one, so that transition times move only with the status."""

from __future__ import annotations

from collections.abc import Iterable

from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.core.text import shorten

ALWAYS_TOLD = (
    ConditionType.READY,
    ConditionType.METRICS_AVAILABLE,
    ConditionType.PREDICTIONS_AVAILABLE,
    ConditionType.HEALTHY,
    ConditionType.DRIFTED,
    ConditionType.CORRECTION_BLOCKED,
    ConditionType.PAUSED,
)
"""Order in which conditions are listed. ``Reconciling`` and ``Stalled`` come last and stand only while true."""


class Conditions:
    """A condition list in the making.

    Args:
        previous: the conditions of the last status; what is not told anew stays as it was.
        now: Unix seconds.
        generation: the ``metadata.generation`` these conditions speak of.
    """

    def __init__(self, previous: Iterable[Condition], *, now: float, generation: int) -> None:
        """Start from what stood before."""
        self._conditions = {condition.type: condition for condition in previous}
        self._now = utc(now)
        self._generation = generation

    def tell(self, kind: ConditionType, status: ConditionStatus, reason: str, message: str = "") -> Conditions:
        """Set one condition; its transition time moves only when ``status`` differs from before."""
        before = self._conditions.get(kind)
        same = before is not None and before.status is status
        self._conditions[kind] = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=shorten(message),
            last_transition_time=before.last_transition_time if before is not None and same else self._now,
            observed_generation=self._generation,
        )
        return self

    def yes(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Say True."""
        return self.tell(kind, ConditionStatus.TRUE, reason, message)

    def no(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Say False."""
        return self.tell(kind, ConditionStatus.FALSE, reason, message)

    def unknown(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Say Unknown."""
        return self.tell(kind, ConditionStatus.UNKNOWN, reason, message)

    def drop(self, *kinds: ConditionType) -> Conditions:
        """Take conditions off that stand only while true."""
        for kind in kinds:
            self._conditions.pop(kind, None)
        return self

    def of(self, kind: ConditionType) -> ConditionStatus | None:
        """Return the status told so far (or before), None when there is none."""
        found = self._conditions.get(kind)
        return None if found is None else found.status

    def listed(self) -> list[Condition]:
        """Return the conditions in their fixed order."""
        order = {kind.value: place for place, kind in enumerate(ALWAYS_TOLD)}
        return sorted(self._conditions.values(), key=lambda c: (order.get(c.type, len(order)), c.type))
