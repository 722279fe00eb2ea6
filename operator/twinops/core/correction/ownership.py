"""Who owns the field that a correction would change, and what follows from that.

Managers and operations are those that kubectl, Helm, Argo CD and Flux have on a real API server; docs/corrections.md
has the table and its reasons. Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twinops.api import FIELD_MANAGER
from twinops.api.twin.spec import OwnershipPolicy
from twinops.core.correction.managers import ARGO, FLUX, HPA_CONTROLLER, KEDA, one_shot
from twinops.core.lever import FieldOwner, Lever, LeverValue

_WORDS: Final = re.compile(r"[^A-Za-z0-9]+")
_REASON_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the owners of a field mean for a correction.

    Attributes:
        reason: why it is blocked, CamelCase; empty when it is not.
        former: who owns the field besides us and will own it after a restore, None when nobody does.
    """

    reason: str = ""
    message: str = ""
    former: FieldOwner | None = None

    @property
    def allowed(self) -> bool:
        """Tell whether the field may be written."""
        return not self.reason


def judge(
    lever: Lever, policy: OwnershipPolicy, *, value: LeverValue | None = None, further: Iterable[str] = ()
) -> Ownership:
    """Judge the owners of a lever's field.

    Args:
        lever: the lever as read.
        policy: what the twin says about fields of others.
        value: that would be written, for the advice; None when nothing is required now.
        further: patterns of managers that an administrator calls one-shot.
    """
    if lever.controller:
        return _controlled(lever)
    others = others_of(lever)
    # An applied entry has to be handed over when the value is restored, so it counts as the former owner.
    former = next((owner for owner in others if owner.operation == "Apply"), others[0] if others else None)
    if former is None or not lever.declared or policy is OwnershipPolicy.FORCE:
        return Ownership(former=former)
    for owner in others:
        if not (one_shot(owner.manager, further) or _inactive(lever, owner)):
            return _continuous(lever, owner, value)
    if former.operation == "Apply":
        return _applied(lever, former)
    return Ownership(former=former)


def others_of(lever: Lever) -> tuple[FieldOwner, ...]:
    """Return everyone who owns the field besides us."""
    return tuple(owner for owner in lever.owners if owner.manager != FIELD_MANAGER)


def is_ours(lever: Lever, value: LeverValue | None) -> bool:
    """Tell whether the field holds this value and it is we who own it."""
    return value is not None and lever.value == value and any(o.manager == FIELD_MANAGER for o in lever.owners)


def _inactive(lever: Lever, owner: FieldOwner) -> bool:
    """Tell whether the owner is a scaler that does not act any more.

    A workload's ``/scale`` is a lever only where no HPA and no ScaledObject targets it.
    """
    scaler = owner.manager == HPA_CONTROLLER or owner.manager in KEDA
    return scaler and owner.subresource == "scale" and lever.kind.subresource == "scale"


def _controlled(lever: Lever) -> Ownership:
    object_words = f"{lever.object.kind}/{lever.object.name}"
    if lever.controller.startswith("ScaledObject/"):
        return Ownership(
            "ManagedByKEDA",
            f"{object_words} belongs to {lever.controller}: KEDA would put any other value back. "
            "Let a trigger of it read twinops_recommended_replicas instead",
        )
    return Ownership(
        "ManagedByController",
        f"{object_words} belongs to {lever.controller}, which would put any other value back: change it there",
    )


def _applied(lever: Lever, owner: FieldOwner) -> Ownership:
    return Ownership(
        "OwnedByServerSideApply",
        f"{lever.key.words} was applied server-side by {owner.manager}, whose next apply would fail with a conflict "
        f"after a change by us: leave the field out of the manifest, or set {_FORCE}",
        owner,
    )


def _continuous(lever: Lever, owner: FieldOwner, value: LeverValue | None) -> Ownership:
    commit = f"Or commit {lever.field}: {value}" if value is not None else f"Or leave {lever.field} out"
    message = f"{lever.key.words} is kept by {owner.manager} ({owner.operation}), which would put it back. "
    if owner.manager in ARGO:
        return Ownership("OwnedByGitOps", f"{message}{_argo(lever)}, then set {_FORCE}. {commit} in Git", owner)
    if owner.manager in FLUX:
        return Ownership("OwnedByGitOps", f"{message}{_flux(lever)}. {commit} in Git", owner)
    return Ownership(
        "OwnedBy" + _camel(owner.manager),
        f"{message}If it is told to leave the field alone, set {_FORCE}; if it writes only when somebody starts it, an "
        f"administrator may add its name to {_SETTING}. {commit} there",
        owner,
    )


_FORCE: Final = "spec.autoCorrection.ownershipPolicy: Force"
_SETTING: Final = "operator.oneShotManagers of the chart (TWINOPS_ONE_SHOT_MANAGERS)"


def _argo(lever: Lever) -> str:
    group = lever.object.api_version.rpartition("/")[0]
    pointer = "/" + lever.field.replace(".", "/")
    return (
        f"To let corrections through, add to the Application: spec.ignoreDifferences: [{{group: {group}, "
        f"kind: {lever.object.kind}, name: {lever.object.name}, jsonPointers: [{pointer}]}}] and "
        "spec.syncPolicy.syncOptions: [RespectIgnoreDifferences=true]"
    )


def _flux(lever: Lever) -> str:
    return (
        f"To let corrections through, leave {lever.field} out of Git, or (from Flux 2.9) name it in "
        f"spec.ignore of the Kustomization and set {_FORCE}"
    )


def _camel(manager: str) -> str:
    words = [word for word in _WORDS.split(manager) if word]
    return ("".join(word[0].upper() + word[1:] for word in words) or "Unknown")[:_REASON_LENGTH]
