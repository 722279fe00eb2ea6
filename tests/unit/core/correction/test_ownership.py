"""The ownership table of docs/corrections.md."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.correcting import KUBECTL, OURS, SERVER_SIDE, hpa, scale
from twinops.api.conditions import Condition
from twinops.api.twin import OwnershipPolicy
from twinops.core.correction.ownership import is_ours, judge, one_shot
from twinops.core.observation import FieldOwner, Lever

RESPECT, FORCE = OwnershipPolicy.RESPECT, OwnershipPolicy.FORCE
ARGO = FieldOwner("argocd-controller", "Update")
FLUX = FieldOwner("kustomize-controller", "Apply")


@pytest.mark.parametrize(
    ("lever", "policy", "reason", "former"),
    [
        pytest.param(hpa(2), RESPECT, "", None, id="nobody"),
        pytest.param(hpa(6, OURS), RESPECT, "", None, id="ours alone"),
        pytest.param(hpa(2, KUBECTL), RESPECT, "", KUBECTL, id="kubectl apply"),
        pytest.param(hpa(2, FieldOwner("kubectl-edit", "Update")), RESPECT, "", "kubectl-edit", id="kubectl edit"),
        pytest.param(scale(2, FieldOwner("kubectl", "Update", "scale")), RESPECT, "", "kubectl", id="kubectl scale"),
        pytest.param(hpa(2, FieldOwner("helm", "Update")), RESPECT, "", "helm", id="Helm 3"),
        pytest.param(hpa(2, FieldOwner("Terraform", "Update")), RESPECT, "", "Terraform", id="Terraform"),
        pytest.param(hpa(2, SERVER_SIDE), RESPECT, "OwnedByServerSideApply", SERVER_SIDE, id="kubectl --server-side"),
        pytest.param(
            hpa(2, FieldOwner("helm", "Apply")), RESPECT, "OwnedByServerSideApply", "helm", id="Helm 4 applies"
        ),
        pytest.param(hpa(2, ARGO), RESPECT, "OwnedByGitOps", ARGO, id="Argo CD"),
        pytest.param(hpa(2, FLUX), RESPECT, "OwnedByGitOps", FLUX, id="Flux"),
        pytest.param(
            hpa(2, FieldOwner("keda-operator", "Update")), RESPECT, "OwnedByKedaOperator", "keda-operator", id="KEDA"
        ),
        pytest.param(
            hpa(2, FieldOwner("my.tool/v2", "Update")), RESPECT, "OwnedByMyToolV2", "my.tool/v2", id="unknown"
        ),
        pytest.param(hpa(2, FieldOwner("", "Update")), RESPECT, "OwnedByUnknown", "", id="nameless"),
        pytest.param(hpa(2, KUBECTL, ARGO), RESPECT, "OwnedByGitOps", ARGO, id="one of two owners puts it back"),
        pytest.param(hpa(2, KUBECTL, SERVER_SIDE), RESPECT, "OwnedByServerSideApply", SERVER_SIDE, id="one applied"),
        pytest.param(hpa(1, ARGO, declared=False), RESPECT, "", ARGO, id="a default that nobody declared"),
        pytest.param(hpa(2, ARGO), FORCE, "", ARGO, id="forced: Argo CD"),
        pytest.param(hpa(2, SERVER_SIDE), FORCE, "", SERVER_SIDE, id="forced: applied server-side"),
        pytest.param(
            hpa(2, KUBECTL, controller="ScaledObject/checkout"), FORCE, "ManagedByKEDA", None, id="KEDA, even forced"
        ),
        pytest.param(
            hpa(2, KUBECTL, controller="Database/main"), RESPECT, "ManagedByController", None, id="another controller"
        ),
    ],
)
def test_the_owner_decides(lever: Lever, policy: OwnershipPolicy, reason: str, former: Any) -> None:
    verdict = judge(lever, policy, value=6)
    assert verdict.reason == reason
    assert verdict.allowed is (reason == "")
    if reason in ("", "OwnedByServerSideApply", "OwnedByGitOps") and not isinstance(former, str):
        assert verdict.former == former
    elif isinstance(former, str):
        assert verdict.former is not None
        assert verdict.former.manager == former


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        pytest.param(
            ARGO,
            [
                "spec.ignoreDifferences: [{group: autoscaling, kind: HorizontalPodAutoscaler, name: checkout, ",
                "jsonPointers: [/spec/minReplicas]}]",
                "RespectIgnoreDifferences=true",
                "ownershipPolicy: Force",
                "commit spec.minReplicas: 6",
            ],
            id="Argo CD",
        ),
        pytest.param(
            FLUX, ["leave spec.minReplicas out of Git", "spec.ignore", "commit spec.minReplicas: 6"], id="Flux"
        ),
        pytest.param(SERVER_SIDE, ["leave the field out of the manifest", "ownershipPolicy: Force"], id="server-side"),
    ],
)
def test_the_message_says_how_to_let_it_through(owner: FieldOwner, words: list[str]) -> None:
    message = judge(hpa(2, owner), RESPECT, value=6).message
    assert [word for word in words if word not in message] == []
    assert len(message) <= 1024


def test_every_reason_fits_a_condition() -> None:
    pattern = next(m.pattern for m in Condition.model_fields["reason"].metadata if getattr(m, "pattern", None))
    for name in ("x" * 300, "1-2-3", "ÄÖ", "a b"):
        assert re.fullmatch(pattern, judge(hpa(2, FieldOwner(name, "Update")), RESPECT).reason), name


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("kubectl", True),
        ("kubectl-client-side-apply", True),
        ("kubectl-patch", True),
        ("before-first-apply", True),
        ("pulumi-kubernetes-1a2b", True),
        ("Terraform", True),
        ("helm", True),
        ("helm-controller", False),
        ("kubectlish", False),
        ("kustomize-controller", False),
        ("kube-controller-manager", False),
        ("", False),
    ],
)
def test_who_writes_only_when_started(manager: str, *, expected: bool) -> None:
    assert one_shot(manager) is expected


@pytest.mark.parametrize(
    ("lever", "value", "expected"),
    [
        pytest.param(hpa(6, OURS), 6, True, id="value and owner"),
        pytest.param(hpa(6, OURS, SERVER_SIDE), 6, True, id="owned together"),
        pytest.param(hpa(2, OURS), 6, False, id="another value"),
        pytest.param(hpa(6, KUBECTL), 6, False, id="another owner"),
        pytest.param(hpa(None), None, False, id="not set"),
    ],
)
def test_what_counts_as_ours(lever: Lever, value: int | None, *, expected: bool) -> None:
    assert is_ours(lever, value) is expected
