"""metrics-server: what `kubectl top` and the HorizontalPodAutoscaler ask for usage."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers
from devcluster.site import ADMINS

if TYPE_CHECKING:
    from devcluster.api import ApiClient, Json
    from devcluster.process import Process
    from devcluster.site import Site

GROUP_VERSION = "v1beta1.metrics.k8s.io"

_NAMESPACE = "kube-system"
_NAME = "metrics-server"
_HOST = f"{_NAME}.{_NAMESPACE}.svc"


@dataclass(frozen=True)
class MetricsServer:
    """metrics-server and how the API server finds it.

    Attributes:
        process: The process.
        service: A Service that leads to this machine.
        api_service: The registration of its API.
    """

    process: Process
    service: Json
    api_service: Json


def metrics_server(site: Site) -> MetricsServer:
    """Describe metrics-server; it needs kwok's nodes to have something to tell."""
    port = free_port()
    kubeconfig = site.kubeconfig(_NAME, organization=ADMINS)
    server = site.pki.issue(f"{_NAME}-server", hosts=[_HOST, LOOPBACK])
    flags = [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        "--kubelet-insecure-tls",
        "--kubelet-use-node-status-port",
        "--kubelet-preferred-address-types=InternalIP",
        # The shortest resolution it accepts; the timeout must be shorter still.
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]
    live = f"https://{LOOPBACK}:{port}/livez"
    return MetricsServer(
        site.process(_NAME, flags, ready=lambda: answers(live)),
        _service(port),
        _api_service(port, site.pki.ca_file.read_bytes()),
    )


def register(api: ApiClient, server: MetricsServer) -> None:
    """Register its API with the API server."""
    api.apply(f"/api/v1/namespaces/{_NAMESPACE}/services/{_NAME}", server.service)
    api.apply(f"/apis/apiregistration.k8s.io/v1/apiservices/{GROUP_VERSION}", server.api_service)


def available(api: ApiClient) -> bool:
    """Whether the API server reaches it."""
    found = api.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{GROUP_VERSION}")
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


def _service(port: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE},
        "spec": {
            "type": "ExternalName",
            "externalName": "localhost",
            "ports": [{"name": "https", "port": port}],
        },
    }


def _api_service(port: int, ca: bytes) -> Json:
    version, group = GROUP_VERSION.split(".", maxsplit=1)
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": GROUP_VERSION},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": _NAME, "namespace": _NAMESPACE, "port": port},
            "caBundle": base64.b64encode(ca).decode(),
        },
    }
