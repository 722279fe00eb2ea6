"""The saved values of a twin (``status.originals``): what the fields held before corrections raised them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twinops.api.twin.corrections import CorrectionRecord, Original
from twinops.core.lever import LeverKey, LeverValue


def key_of(entry: Original | CorrectionRecord) -> LeverKey:
    """Return the object and field that a saved value, or a record of a correction, is about."""
    return LeverKey(entry.object, entry.field)


def value_to_restore(saved: Original) -> LeverValue:
    """Return the value that restoring sets: the field's default where it was not set."""
    return key_of(saved).kind.effective(saved.value)


def find(saved_values: Iterable[Original], key: LeverKey) -> Original | None:
    """Return the saved value of this field, None before its first correction."""
    return next((saved for saved in saved_values if key_of(saved) == key), None)


def with_saved(saved_values: Sequence[Original], new: Original) -> tuple[Original, ...]:
    """Return the saved values with this one added, or in place of the one of the same field."""
    return (*without_saved(saved_values, new), new)


def without_saved(saved_values: Sequence[Original], gone: Original) -> tuple[Original, ...]:
    """Return the saved values without the one of this field."""
    return tuple(saved for saved in saved_values if key_of(saved) != key_of(gone))
