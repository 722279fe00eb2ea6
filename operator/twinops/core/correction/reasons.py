"""Reasons that decisions depend on, one enum for each family. Their values are what status and Events show.

A reason that is only shown may be any other string: that of a SpecError, or one made of a field manager's name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class BlockReason(StrEnum):
    """Why nothing is raised: the reasons of guards and of suppressed needs, shown by ``CorrectionBlocked``."""

    DISABLED = "Disabled"
    SUSPENDED = "Suspended"
    NO_TARGET = "NoTarget"
    TARGET_NOT_FOUND = "TargetNotFound"
    SCALED_TO_ZERO = "ScaledToZero"
    ANOTHER_TWIN = "AnotherTwin"
    NO_LEVER = "NoLever"
    NO_BOUNDS = "NoBounds"
    GAVE_UP = "GaveUp"
    BACKED_OFF = "BackedOff"
    NOT_NEEDED = "NotNeeded"
    NO_FRESH_METRICS = "NoFreshMetrics"
    PODS_NOT_COUNTED = "PodsNotCounted"
    STARTING_UP = "StartingUp"
    VERIFYING = "Verifying"
    NO_EFFECT = "NoEffect"
    IN_PLACE = "InPlace"
    COOLDOWN = "Cooldown"
    AT_MAXIMUM = "AtMaximum"
    WAITING_FOR_REPLICAS = "WaitingForReplicas"

    @property
    def waits(self) -> bool:
        """Tell whether the need is only not met yet, so that a person has nothing to do about it."""
        return self in _WAITING

    @property
    def blocked(self) -> bool:
        """Tell whether something is in the way; else there is nothing to do yet, or a person wants nothing done."""
        return self in _BLOCKED


_WAITING: Final = frozenset(
    {BlockReason.STARTING_UP, BlockReason.VERIFYING, BlockReason.COOLDOWN, BlockReason.WAITING_FOR_REPLICAS}
)
_BLOCKED: Final = frozenset(
    {
        BlockReason.TARGET_NOT_FOUND,
        BlockReason.ANOTHER_TWIN,
        BlockReason.NO_LEVER,
        BlockReason.NO_BOUNDS,
        BlockReason.GAVE_UP,
        BlockReason.BACKED_OFF,
        BlockReason.NO_FRESH_METRICS,
        BlockReason.PODS_NOT_COUNTED,
        BlockReason.NO_EFFECT,
        BlockReason.AT_MAXIMUM,
    }
)


class FailureReason(StrEnum):
    """Why a write failed, as ``status.corrections[].reason`` holds it."""

    FORBIDDEN = "Forbidden"
    WRITE_FAILED = "WriteFailed"

    @property
    def first_pause_seconds(self) -> float:
        """Seconds until the second attempt. A right that is missing is seldom granted within a minute."""
        return 300.0 if self is FailureReason.FORBIDDEN else 60.0


class RestoreTrigger(StrEnum):
    """What ended the need for a raised value, as ``status.corrections[].trigger`` holds it."""

    NEED_PASSED = "NeedPassed"
    UNFINISHED = "Unfinished"
    DISABLED = "Disabled"
    SUSPENDED = "Suspended"
    PREVIEW = "Preview"
    LEVER_CHANGED = "LeverChanged"
    ANOTHER_TWIN = "AnotherTwin"
    NO_BOUNDS = "NoBounds"
    ABOVE_MAXIMUM = "AboveMaximum"
    DELETED = "Deleted"
    UNINSTALLED = "Uninstalled"
