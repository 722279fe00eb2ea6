"""What a correction changes: a field of an object, and its value.

``KINDS`` has one row for each field that can be changed, with every fact that decisions depend on. To add a lever, add
its row here, an adapter that finds, reads and writes it (``twinops.adapters.kubernetes.levers``), and, where its value
is not a whole number, a wider ``LeverValue`` here and in the status of the API.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from twinops.api.references import ObjectRef

LeverValue: TypeAlias = int
"""The value of a lever's field, as the object and ``status.corrections`` hold it: a number of replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverKind:
    """The facts about one field that corrections can change.

    Attributes:
        field: dotted path of the field, as ``status.originals[].field`` names it.
        object_kind: kind of the objects that have it; empty where it is a field of the target itself, of any kind.
        default: what the API server takes where the field is not set.
        is_floor: whether an autoscaler adds replicas above the value, so that restoring a lower value takes away
            nothing that it needs; else the value is the number of replicas itself.
        maximum_words: what of the same object the value may not exceed, in the words of a person who would raise it;
            empty where nothing does, and a person must give both bounds in the spec.
        subresource: through which the field is written, empty for the object itself.
        holds_annotation: whether the write of the field can set the annotation ``twinops.dev/original`` as well; else
            the annotation stands on the twin.
        owner_advice: what the object's owner can do while the value is held, with places for ``value`` and ``twin``.
    """

    field: str
    object_kind: str = ""
    default: LeverValue = 1
    is_floor: bool = False
    maximum_words: str = ""
    subresource: str = ""
    holds_annotation: bool = False
    owner_advice: str = ""

    @property
    def has_maximum(self) -> bool:
        """Tell whether the object itself limits the value."""
        return bool(self.maximum_words)

    @property
    def of_target(self) -> bool:
        """Tell whether the object that is changed is the twin's target itself."""
        return not self.object_kind

    def effective(self, value: LeverValue | None) -> LeverValue:
        """Return the value that is in effect: the default where the field is not set."""
        return self.default if value is None else value


HPA_MIN_REPLICAS: Final = LeverKind(
    field="spec.minReplicas",
    object_kind="HorizontalPodAutoscaler",
    is_floor=True,
    maximum_words="maxReplicas of the HPA",
    holds_annotation=True,
    # A raised minReplicas makes the API server refuse every maxReplicas below it, whoever applies it.
    owner_advice=(
        ". While this is held the API server refuses maxReplicas below {value}: apply minReplicas with it, or "
        "lower spec.autoCorrection.bounds.maxReplicas of DigitalTwin {twin} likewise, or suspend that twin"
    ),
)
"""The least replicas of a HorizontalPodAutoscaler."""

SCALE_REPLICAS: Final = LeverKind(field="spec.replicas", subresource="scale")
"""The replicas of a workload without an autoscaler, by way of its ``/scale``."""

KINDS: Final = (HPA_MIN_REPLICAS, SCALE_REPLICAS)
"""Every field that can be changed; the last one is that of any workload with ``/scale``."""


def kind_of(reference: ObjectRef) -> LeverKind:
    """Return the kind of the lever that corrections change on an object; each object has one."""
    return next((kind for kind in KINDS if kind.object_kind == reference.kind), SCALE_REPLICAS)


class LeverKey(NamedTuple):
    """An object and the field of it that is changed. Saved values and records of corrections are found by it."""

    object: ObjectRef
    field: str

    @property
    def kind(self) -> LeverKind:
        """The facts about the field."""
        return kind_of(self.object)

    @property
    def words(self) -> str:
        """The field and its object, as messages name them."""
        return f"{self.field} of {self.object.kind}/{self.object.name}"


class NoLeverReason(StrEnum):
    """Why there is no lever, as far as decisions depend on it; a SpecError of the spec brings its own reason."""

    NO_TARGET = "NoTarget"
    FORBIDDEN = "Forbidden"
    UNAUTHORIZED = "Unauthorized"
    REQUEST_REFUSED = "RequestRefused"
    LEVER_UNAVAILABLE = "LeverUnavailable"

    @property
    def unread(self) -> bool:
        """Tell whether there may be a lever that could not be read."""
        return self is not NoLeverReason.NO_TARGET


_NO_LEVER_REASONS: Final = frozenset(NoLeverReason)


def may_be_unread(reason: str) -> bool:
    """Tell whether there may be a lever that could not be read, by the reason why none was found."""
    return reason in _NO_LEVER_REASONS and NoLeverReason(reason).unread


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """One entry of ``metadata.managedFields`` that holds the field of a lever."""

    manager: str
    operation: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Lever:
    """The field that a correction may write, as it is on the live object.

    Attributes:
        object: the object that has the field.
        uid: of the object.
        resource_version: of the object, as read.
        field: dotted path, that of the lever's kind.
        value: current value, None when the field is not set.
        minimum: least replicas that the object itself asks for (the default when unset); None where it has no such
            limit.
        maximum: most replicas that the object itself allows; None where it has no such limit.
        owners: who owns the field.
        declared: False when the only owner applied client-side without declaring the field.
        applied_value: the field's value in the owner's last client-side apply, None where there is none.
        controller: ``Kind/name`` of a controller that owns the whole object (a KEDA ScaledObject), else empty.
        original_annotation: text of the annotation ``twinops.dev/original`` on the object, whoever wrote it; empty
            where there is none.
        raw: the object as read, for writers.
    """

    object: ObjectRef
    uid: str
    resource_version: str
    field: str
    value: LeverValue | None
    minimum: LeverValue | None
    maximum: LeverValue | None
    owners: tuple[FieldOwner, ...] = ()
    declared: bool = True
    applied_value: LeverValue | None = None
    controller: str = ""
    original_annotation: str = ""
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> LeverKey:
        """The object and the field."""
        return LeverKey(self.object, self.field)

    @property
    def kind(self) -> LeverKind:
        """The facts about the field."""
        return kind_of(self.object)

    @property
    def current(self) -> LeverValue:
        """The value that a need is compared with. An unset field counts as 0, so that every need exceeds it."""
        return self.value or 0
