"""The ownership table of docs/corrections.md."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from support.correcting import KUBECTL, OURS, SERVER_SIDE, hpa, scale
from twinops.api.conditions import Condition
from twinops.api.twin.spec import OwnershipPolicy
from twinops.core.correction.managers import one_shot
from twinops.core.correction.ownership import is_ours, judge
from twinops.core.lever import FieldOwner, Lever

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


ONE_SHOT = (
    *("kubectl", "kubectl-client-side-apply", "kubectl-patch", "kubectl-edit", "kubectl-replace", "kubectl-create"),
    *("kubectl-rollout", "kubectl-scale", "kubectl-autoscale", "kubectl-argo-rollouts", "kubectl-1.29", "kubectl1.30"),
    *("kubectl.exe", "kubectl-v1.31.0-linux-amd64", "kubectl_darwin_arm64", "oc", "oc-4.15", "before-first-apply"),
    *(
        "helm",
        "helm3",
        "helm4",
        "helm-v3.12.0",
        "helm3.14",
        "helm_v3.12.0-rc.1",
        "helm.exe",
        "helm-linux-amd64",
        "Helm",
    ),
    *("helm-3.12.0+g1a2b3c4", "tiller", "Go-http-client"),
    *("Terraform", "HashiCorp", "terraform", "terraform_1.5.7", "tofu", "terraform-provider-helm_v2.12.1_x5"),
    *("terraform-provider-kubernetes_v2.23.0_x5", "terraform-provider-kubectl_v1.14.0"),
    *("pulumi-kubernetes-1a2b", "pulumi-resource-kubernetes", "pulumi"),
    *("Mozilla", "k9s", "Lens", "OpenLens", "headlamp-server", "dashboard", "curl", "velero-server"),
)
BY_THEMSELVES = (
    *("helm-controller", "helm-operator", "helm-controller-v1.2.0", "helmfile-operator", "helmet", "fluxd", "flux"),
    *("kustomize-controller", "argocd-controller", "argocd-application-controller", "argocd-server", "Fleet-agent"),
    *("kubectlish", "kubectl-operator", "kubelet", "kube-controller-manager", "keda-operator", "keda", "manager"),
    *("terraform-controller", "terraform-provider-operator", "tf-controller", "pulumi-kubernetes-operator", "kapp"),
    *("occasionally", "lensed", "OpenAPI-Generator", "node-fetch", "fabric8-kubernetes-client", "", "-"),
)


@pytest.mark.parametrize("manager", ONE_SHOT)
def test_who_writes_only_when_started(manager: str) -> None:
    assert one_shot(manager)
    assert judge(hpa(2, FieldOwner(manager, "Update")), RESPECT).allowed
    assert judge(hpa(2, FieldOwner(manager, "Apply")), RESPECT).reason == "OwnedByServerSideApply"


@pytest.mark.parametrize("manager", BY_THEMSELVES)
def test_who_writes_by_itself(manager: str) -> None:
    assert not one_shot(manager)
    for operation in ("Update", "Apply"):
        for lever in (hpa(2, FieldOwner(manager, operation)), scale(2, FieldOwner(manager, operation))):
            assert judge(lever, RESPECT).reason.startswith("OwnedBy")


@pytest.mark.parametrize(
    ("manager", "further", "expected"),
    [
        ("deploy-bot", ("deploy-bot",), True),
        ("ci-runner-17", ("deploy-bot", "ci-*"), True),
        ("OpenAPI-Generator", ("OpenAPI-Generator",), True),
        ("deploy-bot", ("Deploy-Bot",), False),
        ("deploy-bots", ("deploy-bot",), False),
        ("helm-controller", ("helm*",), False),
        ("argocd-controller", ("argo*",), False),
    ],
)
def test_what_an_administrator_adds(manager: str, further: tuple[str, ...], *, expected: bool) -> None:
    assert one_shot(manager, further) is expected
    assert judge(hpa(2, FieldOwner(manager, "Update")), RESPECT, further=further).allowed is expected


def test_the_longest_names_are_judged_at_once() -> None:
    started = time.perf_counter()
    for name in ("helm" + "1" * 124, "helm" + "-1" * 62, "kubectl-" + "a-" * 60, "terraform-provider-" + "_v" * 54):
        one_shot(name, ("*a*b*c*d*e*f*g*", "*1*1*1*1*1*1*1*1*2"))
    assert time.perf_counter() - started < 0.1


@pytest.mark.parametrize("manager", ["kube-controller-manager", "keda", "keda-operator"])
def test_a_scaler_that_is_gone_is_a_former_owner(manager: str) -> None:
    by_scale, by_itself = FieldOwner(manager, "Update", "scale"), FieldOwner(manager, "Update")
    assert judge(scale(3, by_scale), RESPECT).former == by_scale
    assert judge(scale(3, by_scale), RESPECT).allowed
    assert judge(scale(3, by_scale, KUBECTL), RESPECT).allowed
    assert not judge(scale(3, by_scale, ARGO), RESPECT).allowed
    assert not judge(scale(3, by_itself), RESPECT).allowed
    assert not judge(hpa(3, by_itself), RESPECT).allowed


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
