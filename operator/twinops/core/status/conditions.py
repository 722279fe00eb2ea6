"""The condition list of a status, built from the previous one, so that transition times change only with the status."""

from __future__ import annotations

from collections.abc import Iterable

from twinops.api.base import utc
from twinops.api.conditions import Condition, ConditionStatus, ConditionType
from twinops.core.text import shorten

CONDITION_ORDER = (
    ConditionType.READY,
    ConditionType.METRICS_AVAILABLE,
    ConditionType.PREDICTIONS_AVAILABLE,
    ConditionType.HEALTHY,
    ConditionType.DRIFTED,
    ConditionType.CORRECTION_BLOCKED,
    ConditionType.PAUSED,
)
"""Order in which conditions are listed. ``Reconciling`` and ``Stalled`` come last and are listed only while true."""


class Conditions:
    """Builder of a condition list.

    Args:
        previous: the conditions of the last status; those that are not set stay as they are.
        now: Unix seconds.
        generation: ``observedGeneration`` of the conditions that are set.
    """

    def __init__(self, previous: Iterable[Condition], *, now: float, generation: int) -> None:
        self._conditions = {condition.type: condition for condition in previous}
        self._now = utc(now)
        self._generation = generation

    def set(self, kind: ConditionType, status: ConditionStatus, reason: str, message: str = "") -> Conditions:
        """Set one condition; its transition time changes only when ``status`` does."""
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

    def set_true(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Set one condition to True."""
        return self.set(kind, ConditionStatus.TRUE, reason, message)

    def set_false(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Set one condition to False."""
        return self.set(kind, ConditionStatus.FALSE, reason, message)

    def set_unknown(self, kind: ConditionType, reason: str, message: str = "") -> Conditions:
        """Set one condition to Unknown."""
        return self.set(kind, ConditionStatus.UNKNOWN, reason, message)

    def remove(self, *kinds: ConditionType) -> Conditions:
        """Remove conditions; for those that are listed only while true."""
        for kind in kinds:
            self._conditions.pop(kind, None)
        return self

    def status_of(self, kind: ConditionType) -> ConditionStatus | None:
        """Return the status of a condition as it is now, None where it is not listed."""
        found = self._conditions.get(kind)
        return None if found is None else found.status

    def as_list(self) -> list[Condition]:
        """Return the conditions in their fixed order."""
        order = {kind.value: place for place, kind in enumerate(CONDITION_ORDER)}
        return sorted(self._conditions.values(), key=lambda c: (order.get(c.type, len(order)), c.type))
