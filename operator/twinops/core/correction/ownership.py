"""Who owns the field a correction would change, and what follows from that.

Managers and operations as measured on a real API server with kubectl, Helm, Argo CD and Flux; the table
and its reasons stand in docs/corrections.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from twinops.api import FIELD_MANAGER
from twinops.api.twin import OwnershipPolicy
from twinops.core.observation import FieldOwner, Lever

ARGO: Final = frozenset({"argocd-controller", "argocd-application-controller", "argocd-server"})
FLUX: Final = frozenset({"kustomize-controller", "helm-controller", "flux", "flux-client-side-apply"})

_ONE_SHOT: Final = re.compile(r"kubectl(-.*)?|pulumi(-.*)?|oc|helm|Terraform|HashiCorp|before-first-apply")
"""Writers that act when a person or a pipeline starts them, and not by themselves."""

_WORDS: Final = re.compile(r"[^A-Za-z0-9]+")
_REASON_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the owners of a field mean for a correction.

    Attributes:
        reason: why it is blocked, CamelCase; empty when it is not.
        former: who holds the field besides us and would get it back, None when nobody does.
    """

    reason: str = ""
    message: str = ""
    former: FieldOwner | None = None

    @property
    def allowed(self) -> bool:
        """Tell whether the field may be written."""
        return not self.reason


def judge(lever: Lever, policy: OwnershipPolicy, *, value: int | None = None) -> Ownership:
    """Judge the owners of a lever's field.

    Args:
        lever: the lever as read.
        policy: what the twin says about fields of others.
        value: what would be written, for the advice; None when there is no need now.
    """
    if lever.controller:
        return _controlled(lever)
    others = others_of(lever)
    # An applied entry is the one that must be given back with care, so it counts as the former owner.
    former = next((owner for owner in others if owner.operation == "Apply"), others[0] if others else None)
    if former is None or not lever.declared or policy is OwnershipPolicy.FORCE:
        return Ownership(former=former)
    for owner in others:
        if not one_shot(owner.manager):
            return _continuous(lever, owner, value)
    if former.operation == "Apply":
        return _applied(lever, former)
    return Ownership(former=former)


def others_of(lever: Lever) -> tuple[FieldOwner, ...]:
    """Return everyone who owns the field besides us."""
    return tuple(owner for owner in lever.owners if owner.manager != FIELD_MANAGER)


def is_ours(lever: Lever, value: int | None) -> bool:
    """Tell whether the field holds this value and it is we who own it."""
    return value is not None and lever.value == value and any(o.manager == FIELD_MANAGER for o in lever.owners)


def one_shot(manager: str) -> bool:
    """Tell whether a manager writes only when somebody starts it. Unknown ones do not."""
    return _ONE_SHOT.fullmatch(manager) is not None


def _controlled(lever: Lever) -> Ownership:
    what = f"{lever.object.kind}/{lever.object.name}"
    if lever.controller.startswith("ScaledObject/"):
        return Ownership(
            "ManagedByKEDA",
            f"{what} belongs to {lever.controller}: KEDA would put any other value back. "
            "Let a trigger of it read twinops_recommended_replicas instead",
        )
    return Ownership(
        "ManagedByController",
        f"{what} belongs to {lever.controller}, which would put any other value back: change it there",
    )


def _applied(lever: Lever, owner: FieldOwner) -> Ownership:
    return Ownership(
        "OwnedByServerSideApply",
        f"{_field(lever)} was applied server-side by {owner.manager}, whose next apply would fail with a conflict "
        f"after a change by us: leave the field out of the manifest, or set {_FORCE}",
        owner,
    )


def _continuous(lever: Lever, owner: FieldOwner, value: int | None) -> Ownership:
    commit = f"Or commit {lever.field}: {value}" if value is not None else f"Or leave {lever.field} out"
    told = f"{_field(lever)} is kept by {owner.manager} ({owner.operation}), which would put it back. "
    if owner.manager in ARGO:
        return Ownership("OwnedByGitOps", f"{told}{_argo(lever)}, then set {_FORCE}. {commit} in Git", owner)
    if owner.manager in FLUX:
        return Ownership("OwnedByGitOps", f"{told}{_flux(lever)}. {commit} in Git", owner)
    return Ownership(
        "OwnedBy" + _camel(owner.manager),
        f"{told}If it does not, or is told to leave the field alone, set {_FORCE}. {commit} there",
        owner,
    )


_FORCE: Final = "spec.autoCorrection.ownershipPolicy: Force"


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


def _field(lever: Lever) -> str:
    return f"{lever.field} of {lever.object.kind}/{lever.object.name}"


def _camel(manager: str) -> str:
    words = [word for word in _WORDS.split(manager) if word]
    return ("".join(word[0].upper() + word[1:] for word in words) or "Unknown")[:_REASON_LENGTH]
