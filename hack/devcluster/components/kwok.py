"""Kwok: fake kubelets, whose pods use what their annotations say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers
from devcluster.site import ADMINS

if TYPE_CHECKING:
    from devcluster.api import Json
    from devcluster.process import Process
    from devcluster.site import Site

USAGE_CPU = "kwok.x-k8s.io/usage-cpu"
USAGE_MEMORY = "kwok.x-k8s.io/usage-memory"

_COMPLETE_JOBS = "pod-complete.yaml"


@dataclass(frozen=True)
class Kwok:
    """Kwok and where it is reached.

    Attributes:
        process: The process.
        address: Host and port, of HTTP and HTTPS alike.
    """

    process: Process
    address: str


def kwok(site: Site, *, complete_jobs: bool) -> Kwok:
    """Describe kwok, which manages all nodes.

    Args:
        site: The cluster it belongs to.
        complete_jobs: Whether pods of Jobs succeed without having run.
    """
    port = free_port()
    address = f"{LOOPBACK}:{port}"
    server = site.pki.issue("kwok-server", hosts=[LOOPBACK])
    configuration = sorted(
        path for path in site.binaries.kwok_files().rglob("*.yaml") if complete_jobs or path.name != _COMPLETE_JOBS
    )
    flags = [
        f"--kubeconfig={site.kubeconfig('kwok', organization=ADMINS)}",
        "--manage-all-nodes=true",
        f"--server-address={address}",
        f"--node-ip={LOOPBACK}",
        f"--node-port={port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        *(f"--config={path}" for path in configuration),
    ]
    # Its own folder, or it would read the user's configuration.
    env = {"KWOK_WORKDIR": str(site.folder("kwok"))}
    ready = f"http://{address}/healthz"
    return Kwok(site.process("kwok", flags, env=env, ready=lambda: answers(ready)), address)


def node(name: str) -> Json:
    """Return the manifest of a fake node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "type": "kwok"},
            "annotations": {
                "kwok.x-k8s.io/node": "fake",
                "metrics.k8s.io/resource-metrics-path": metrics_path(name),
            },
        },
    }


def metrics_path(node_name: str) -> str:
    """Return the path under which kwok serves the usage of a node's pods."""
    return f"/metrics/nodes/{node_name}/metrics/resource"
