from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devcluster.cluster import DevCluster
from support.chart import ROOT

Json = dict[str, Any]


@pytest.fixture(scope="session")
def definitions(cluster: DevCluster) -> None:
    """The cluster serves the kinds of ``crds/``."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/digitaltwins.twinops.dev",
        "crd/metricssources.twinops.dev",
    )


@pytest.fixture
def twins(namespace: str, definitions: None) -> str:
    """Path of a fresh namespace's twins."""
    del definitions
    return f"/apis/twinops.dev/v1alpha1/namespaces/{namespace}/digitaltwins"


@pytest.fixture
def create_twin(cluster: DevCluster, twins: str) -> Callable[[Json], Json]:
    """Create the twin ``checkout`` from a spec and return it as the API server answers."""

    def create(spec: Json) -> Json:
        body = {
            "apiVersion": "twinops.dev/v1alpha1",
            "kind": "DigitalTwin",
            "metadata": {"name": "checkout"},
            "spec": spec,
        }
        return cluster.api.create(f"{twins}?fieldValidation=Strict", body)

    return create
