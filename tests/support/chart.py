"""Puts the chart's own objects onto a test cluster, so that what runs there has the chart's rights and no more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from devcluster.cluster import DevCluster
from devcluster.waiting import wait_until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "twinops"
# What `helm template` takes the cluster for; the version of the local cluster.
KUBE_VERSION = "1.36.0"

Values = Mapping[str, Any]


def render(helm: Path, release: str, namespace: str, values: Values | None = None, *flags: str) -> list[dict[str, Any]]:
    """Return the objects that ``helm template`` makes of the chart.

    Raises:
        subprocess.CalledProcessError: Helm refused; its reason is in ``stderr``.
    """
    done = subprocess.run(  # noqa: S603 - our own helm
        [helm, "template", release, CHART, "-n", namespace, "--kube-version", KUBE_VERSION, "-f", "-", *flags],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def before_removal(document: Mapping[str, Any]) -> bool:
    """Tell whether this is a hook that Helm creates only when the chart is removed."""
    return (document["metadata"].get("annotations") or {}).get("helm.sh/hook") == "pre-delete"


def install_chart(cluster: DevCluster, namespace: str, values: Values | None = None) -> str:
    """Apply everything of the chart but Deployment and Service, and return the ServiceAccount's name.

    The release is named after the namespace, so that several tests can each have one on the same cluster.
    A MetricsSource comes along where ``values`` gives ``metricsSource.url``; it is cluster-scoped, so name it
    after the namespace (``metricsSource.name``).
    """
    objects = [
        document
        for document in render(cluster.bin("helm"), namespace, namespace, values)
        if document["kind"] not in {"Deployment", "Service"} and not before_removal(document)
    ]
    # The definitions come first and are awaited: a MetricsSource cannot be applied before its kind is served.
    definitions = [document for document in objects if document["kind"] == "CustomResourceDefinition"]
    _apply(cluster, definitions)
    for document in definitions:
        _await_served(cluster, document["metadata"]["name"])
    _apply(cluster, [document for document in objects if document not in definitions])
    return str(next(one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"))


def operator_environment(cluster: DevCluster, namespace: str, values: Values | None = None) -> dict[str, str]:
    """Return the TWINOPS_ variables that the chart's Deployment gives the operator in this namespace."""
    deployment = next(
        document
        for document in render(cluster.bin("helm"), namespace, namespace, values)
        if document["kind"] == "Deployment"
    )
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {
        # The one that has no value of its own is a reference to the namespace.
        variable["name"]: variable.get("value", namespace)
        for variable in variables
    }


def _await_served(cluster: DevCluster, definition: str) -> None:
    """Wait for a definition; `kubectl wait` fails while its conditions are still null."""
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition}"

    def served() -> bool:
        conditions = cluster.api.get(path).get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    wait_until(served, within=30, what=f"{definition} is served")


def _apply(cluster: DevCluster, objects: list[dict[str, Any]]) -> None:
    if objects:
        manifest = yaml.safe_dump_all(objects)
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)
