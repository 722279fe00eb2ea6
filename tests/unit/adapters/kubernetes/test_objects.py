"""What is read off raw objects: quantities, versions, owners of fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twinops.adapters.kubernetes import managed_fields
from twinops.adapters.kubernetes.hpas import hpa_lever, targets
from twinops.adapters.kubernetes.pods import FoundPods
from twinops.adapters.kubernetes.quantities import capacity, pod_resources, quantity
from twinops.adapters.kubernetes.scales import scale_lever
from twinops.adapters.kubernetes.targets import image_tag, read_target, version
from twinops.adapters.kubernetes.workloads import workload
from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import FieldOwner
from twinops.errors import SpecError

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", 0.25),
        ("1", 1.0),
        (2, 2.0),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("1E", 1e18),
        ("100n", 1e-7),
        ("128Ki", 131072.0),
        ("64Mi", 67108864.0),
        ("1Gi", 1073741824.0),
        ("1M", 1e6),
        ("1.5G", 1.5e9),
        ("", None),
        ("abc", None),
        ("1Xi", None),
        ("NaN", None),
        (None, None),
    ],
)
def test_quantities(text: Any, value: float | None) -> None:
    assert quantity(text) == (None if value is None else pytest.approx(value))


def container(limits: Json | None = None, requests: Json | None = None, **more: Any) -> Json:
    return {"name": "c", "resources": {"limits": limits or {}, "requests": requests or {}}, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"containers": [container({"cpu": "500m"})]}, (0.5, "limits"), id="limit"),
        pytest.param({"containers": [container({}, {"cpu": "500m"})]}, (0.5, "requests"), id="request"),
        pytest.param(
            {"containers": [container({"cpu": "1"}), container({"cpu": "500m"}, {"cpu": "100m"})]},
            (1.5, "limits"),
            id="sum of limits",
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"}), container({}, {"cpu": "100m"})]},
            (1.1, "requests"),
            id="one has no limit; requests default to limits",
        ),
        pytest.param({"containers": [container({"cpu": "1"}), container()]}, (None, ""), id="one has neither"),
        pytest.param({"containers": [container({"cpu": "0"})]}, (None, ""), id="no limit written as 0"),
        pytest.param(
            {
                "containers": [container({"cpu": "1"})],
                "initContainers": [container({"cpu": "250m"}, restartPolicy="Always"), container({"cpu": "4"})],
            },
            (1.25, "limits"),
            id="native sidecars count, other init containers do not",
        ),
        pytest.param({"containers": [{"name": "c"}]}, (None, ""), id="no resources"),
        pytest.param(
            {"containers": [container()], "resources": {"limits": {"cpu": "2"}}},
            (2.0, "limits"),
            id="of the pod itself",
        ),
        pytest.param(
            {"containers": [container({"cpu": "1"}), container()], "resources": {"requests": {"cpu": "500m"}}},
            (0.5, "requests"),
            id="of the pod itself, only a request",
        ),
        pytest.param(
            {"containers": [container({}, {"cpu": "1"}), container()], "resources": {"requests": {"memory": "1Gi"}}},
            (1.0, "requests"),
            id="the pod asks for another resource: containers without count as 0",
        ),
        pytest.param({"containers": []}, (None, ""), id="no containers"),
        pytest.param({}, (None, ""), id="no pod template"),
    ],
)
def test_what_one_pod_may_use(spec: Json, expected: tuple[float | None, str]) -> None:
    found = capacity({"the template": pod_resources(spec).cpu})
    assert (found.amount, found.basis) == (pytest.approx(expected[0]) if expected[0] else None, expected[1])


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("shop", None),
        ("shop:1.8.2", "1.8.2"),
        ("registry:5000/shop", None),
        ("registry:5000/team/shop:1.8.2", "1.8.2"),
        ("shop:1.8.2@sha256:abc", "1.8.2"),
        ("shop@sha256:abc", None),
        ("", None),
    ],
)
def test_image_tags(image: str, tag: str | None) -> None:
    assert image_tag(image) == tag


LABEL = "app.kubernetes.io/version"


@pytest.mark.parametrize(
    ("pods", "own", "images", "expected"),
    [
        pytest.param({LABEL: "2"}, {LABEL: "1"}, ["a:0"], "2", id="label of the pods"),
        pytest.param({}, {LABEL: "1"}, ["a:0"], "1", id="label of the object"),
        pytest.param({}, {}, ["a:0", "b:9"], "0", id="tag of the first image"),
        pytest.param({}, {}, ["a@sha256:1"], None, id="digest only"),
        pytest.param({}, {}, [], None, id="nothing"),
    ],
)
def test_versions(pods: Json, own: Json, images: list[str], expected: str | None) -> None:
    template = {"metadata": {"labels": pods}, "spec": {"containers": [{"image": image} for image in images]}}
    assert version({"metadata": {"labels": own}}, template) == expected


@pytest.mark.parametrize(
    ("status", "scale", "ready"),
    [
        pytest.param({"readyReplicas": 2}, None, 2, id="a known kind"),
        pytest.param({}, None, 0, id="a known kind without a ready replica"),
        pytest.param({"readyReplicas": 2}, {"status": {"replicas": 3}}, 2, id="an unknown kind that counts them"),
        pytest.param({}, {"status": {"replicas": 3}}, 3, id="an unknown kind that does not"),
    ],
)
def test_ready_replicas(status: Json, scale: Json | None, ready: int) -> None:
    body = {"metadata": {"uid": "u"}, "spec": {"replicas": 4}, "status": status}
    told = None if scale is None else scale | {"spec": {"replicas": 4}}
    seen = workload(TargetRef(name="x"), read_target("Deployment", body, told, {}), FoundPods(()))
    assert (seen.ready, seen.desired) == (ready, 4)


def entry(manager: str, operation: str, *fields: str, **more: str) -> Json:
    return {
        "manager": manager,
        "operation": operation,
        "fieldsV1": {"f:spec": {f"f:{field}": {} for field in fields}},
        **more,
    }


def body(*entries: Json, applied: Json | str | None = None) -> Json:
    annotations = {}
    if applied is not None:
        annotations[managed_fields.LAST_APPLIED] = applied if isinstance(applied, str) else json.dumps(applied)
    return {"metadata": {"annotations": annotations, "managedFields": list(entries)}}


FIELD = "spec.minReplicas"


def test_owners_are_those_that_hold_the_field() -> None:
    found = body(
        entry("kubectl", "Apply", "minReplicas", "maxReplicas"),
        entry("other", "Apply", "maxReplicas"),
        entry("scaler", "Update", "minReplicas", subresource="scale"),
        {"manager": "odd", "operation": "Update"},
    )
    assert managed_fields.owners(found, FIELD) == (
        FieldOwner("kubectl", "Apply"),
        FieldOwner("scaler", "Update", "scale"),
    )
    assert managed_fields.owners({"metadata": {}}, FIELD) == ()


@pytest.mark.parametrize(
    ("manager", "operation", "applied", "declared", "value"),
    [
        pytest.param("kubectl-client-side-apply", "Update", {"spec": {"minReplicas": 2}}, True, 2, id="declared"),
        pytest.param("kubectl-client-side-apply", "Update", {"spec": {}}, False, None, id="left out"),
        pytest.param("kubectl-client-side-apply", "Update", {}, False, None, id="no spec at all"),
        pytest.param("kubectl-client-side-apply", "Update", None, True, None, id="no annotation"),
        pytest.param("kubectl-client-side-apply", "Update", "{", True, None, id="unreadable annotation"),
        pytest.param("argocd-controller", "Update", {"spec": {}}, False, None, id="Argo CD, left out"),
        pytest.param("kubectl-edit", "Update", {"spec": {}}, True, None, id="edited later"),
        pytest.param("helm", "Update", {"spec": {}}, True, None, id="another tool's annotation"),
        pytest.param("kubectl", "Apply", {"spec": {}}, True, None, id="applied server-side"),
        pytest.param("twinops", "Apply", {"spec": {}}, True, None, id="only ours"),
    ],
)
def test_declared_or_defaulted(
    manager: str, operation: str, applied: Any, value: int | None, *, declared: bool
) -> None:
    found = body(entry(manager, operation, "minReplicas"), applied=applied)
    assert managed_fields.declared(found, FIELD) is declared
    assert managed_fields.applied_value(found, FIELD) == value


def test_a_field_moves_from_our_entry_to_the_one_that_applied() -> None:
    found = body(entry("twinops", "Apply", "minReplicas"), entry("kubectl", "Apply", "maxReplicas"))
    before = json.dumps(found)
    assert managed_fields.handed_over(found, FIELD, "kubectl") == [
        entry("kubectl", "Apply", "maxReplicas", "minReplicas")
    ]
    assert json.dumps(found) == before


def test_what_else_we_own_stays_ours() -> None:
    found = body(entry("twinops", "Apply", "minReplicas", "other"), entry("kubectl", "Apply", "maxReplicas"))
    entries = managed_fields.handed_over(found, FIELD, "kubectl")
    assert entries is not None
    assert entries[0] == entry("twinops", "Apply", "other")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("twinops", "Apply", "minReplicas")], id="nobody else"),
        pytest.param([entry("kubectl", "Update", "maxReplicas")], id="only updates"),
    ],
)
def test_nobody_to_hand_over_to(entries: list[Json]) -> None:
    assert managed_fields.handed_over(body(*entries), FIELD, "kubectl") is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, True),
        ({"apiVersion": "apps/v1beta2", "kind": "Deployment", "name": "x"}, True),
        ({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "name": "x"}, False),
        ({"kind": "Deployment", "name": "x"}, False),
        ({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x"}, False),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "y"}, False),
        ({}, False),
    ],
)
def test_what_an_hpa_targets(reference: Json, *, expected: bool) -> None:
    assert targets(reference, TargetRef(name="x")) is expected


def meta(**more: Any) -> Json:
    return {"name": "x", "uid": "u", "resourceVersion": "7", **more}


def test_an_hpa_whose_minimum_is_not_set() -> None:
    lever = hpa_lever({"metadata": meta(), "spec": {"maxReplicas": 9}})
    assert (lever.value, lever.minimum, lever.maximum, lever.controller) == (None, 1, 9, "")


def test_only_a_controlling_owner_counts() -> None:
    owners = [{"kind": "App", "name": "a"}, {"kind": "ScaledObject", "name": "b", "controller": True}]
    assert hpa_lever({"metadata": meta(ownerReferences=owners), "spec": {"maxReplicas": 9}}).controller == (
        "ScaledObject/b"
    )


def test_a_scale_that_sets_another_field_is_left_alone() -> None:
    reference = ObjectRef(api_version="db.dev/v1", kind="Database", name="x")
    with pytest.raises(SpecError) as refused:
        scale_lever(reference, {"metadata": meta(), "spec": {"size": 3}}, {"spec": {"replicas": 3}})
    assert refused.value.reason == "UnsupportedScale"
