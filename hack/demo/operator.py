"""Installs the product's chart and runs the operator as its Deployment would: same rights, same settings.

There is no kubelet that could start a container, so the process is started here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from demo import scenario
from devcluster.cluster import DevCluster
from devcluster.errors import CommandError
from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers
from devcluster.waiting import wait_until

Json = dict[str, Any]

NAMESPACE = "twinops-system"
RELEASE = "twinops"
CHART = Path(__file__).parents[2] / "helm" / "twinops"

_RUN_ELSEWHERE = frozenset({"Deployment", "Service"})
_READY_SECONDS = 45.0
_HELM_SECONDS = 60.0


def install(cluster: DevCluster) -> str:
    """Install the chart's objects, run the operator under its ServiceAccount, and return the URL it listens on.

    Raises:
        CommandError: helm or kubectl refused.
        DeadlineError: the operator did not become ready; the end of its log is told.
    """
    objects = _render(cluster)
    deployment = next(found for found in objects if found["kind"] == "Deployment")
    definitions = [found for found in objects if found["kind"] == "CustomResourceDefinition"]
    others = [found for found in objects if found["kind"] not in {*_RUN_ELSEWHERE, "CustomResourceDefinition"}]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    _apply(cluster, [namespace, *definitions])
    names = [f"crd/{found['metadata']['name']}" for found in definitions]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    _apply(cluster, others)
    return _run(cluster, deployment["spec"]["template"]["spec"])


def _render(cluster: DevCluster) -> list[Json]:
    source = {"url": cluster.prometheus_url, "scrapeIntervalSeconds": scenario.SCRAPE_SECONDS}
    values = {"metricsSource": source, "operator": {"logFormat": "console"}}
    done = subprocess.run(
        [str(cluster.bin("helm")), "template", RELEASE, str(CHART), "-n", NAMESPACE, "-f", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=_HELM_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CommandError("helm template", done.returncode, done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document and not _before_removal(document)]


def _before_removal(document: Json) -> bool:
    """Tell whether this is a hook that Helm creates only when the chart is removed."""
    annotations = document["metadata"].get("annotations") or {}
    return bool(annotations.get("helm.sh/hook") == "pre-delete")


def _apply(cluster: DevCluster, objects: list[Json]) -> None:
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))


def _run(cluster: DevCluster, pod: Json) -> str:
    container = pod["containers"][0]
    port = free_port()
    environment = {
        # The only field reference there is asks for the namespace.
        **{variable["name"]: variable.get("value", NAMESPACE) for variable in container["env"]},
        "TWINOPS_LISTEN_HOST": LOOPBACK,
        "TWINOPS_LISTEN_PORT": str(port),
        "KUBECONFIG": str(cluster.service_account_kubeconfig(NAMESPACE, pod["serviceAccountName"])),
    }
    operator = cluster.supervise(
        "operator", [sys.executable, "-m", "twinops.cli.main", *container["args"]], env=environment
    )
    url = f"http://{LOOPBACK}:{port}"
    wait_until(
        lambda: answers(f"{url}/readyz"),
        within=_READY_SECONDS,
        what="the operator is ready",
        retry_on=(OSError,),
        on_deadline=operator.process.tail,
    )
    cluster.prometheus.add_target("operator", f"{LOOPBACK}:{port}", {"job": "twinops"})
    return url
