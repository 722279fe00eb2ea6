"""Paths of the API: how they are made, and the resource that one is of."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.adapters.kubernetes.paths import resource_of, resource_path


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        pytest.param({"api_version": "v1", "plural": "pods"}, "/api/v1/pods", id="core, all namespaces"),
        pytest.param(
            {"api_version": "apps/v1", "plural": "deployments", "namespace": "a", "name": "b", "subresource": "scale"},
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            id="subresource",
        ),
        pytest.param(
            {"api_version": "twinops.dev/v1alpha1", "plural": "metricssources", "name": "default"},
            "/apis/twinops.dev/v1alpha1/metricssources/default",
            id="cluster-scoped",
        ),
        pytest.param(
            {"api_version": "v1", "plural": "pods", "namespace": "../x", "name": "a/b?c"},
            "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc",
            id="nothing escapes",
        ),
    ],
)
def test_paths(arguments: dict[str, Any], path: str) -> None:
    assert resource_path(**arguments) == path


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        pytest.param("/api/v1/namespaces/a/pods/b", "/pods", id="core"),
        pytest.param("/api/v1/pods", "/pods", id="core, all namespaces"),
        pytest.param("/api/v1/namespaces/a", "/namespaces", id="a namespace"),
        pytest.param("/apis/apps/v1/namespaces/a/deployments/b/scale", "apps/deployments", id="subresource"),
        pytest.param("/apis/twinops.dev/v1alpha1/metricssources/x", "twinops.dev/metricssources", id="cluster-scoped"),
        pytest.param("/apis/keda.sh/v1alpha1", "keda.sh/", id="discovery of a group"),
        pytest.param("/apis", "/", id="discovery"),
    ],
)
def test_resources_are_told_from_paths(path: str, resource: str) -> None:
    assert resource_of(path) == resource
