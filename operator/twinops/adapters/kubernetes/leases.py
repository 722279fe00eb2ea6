"""The ``coordination.k8s.io/v1`` Lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.paths import resource_path
from twinops.ports.kubernetes import LeaseRecord

API_VERSION = "coordination.k8s.io/v1"


class ClusterLeases:
    """Reads and writes one Lease. Satisfies ``ports.kubernetes.Leases``.

    Args:
        client: the API server.
        namespace: the operator's own.
        name: of the Lease.
        timeout_seconds: time-out of a request.
    """

    def __init__(self, client: KubeClient, namespace: str, name: str, *, timeout_seconds: float = 3.0) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._timeout = timeout_seconds
        self._collection = resource_path(API_VERSION, "leases", namespace=namespace)
        self._path = resource_path(API_VERSION, "leases", namespace=namespace, name=name)

    async def get(self) -> LeaseRecord:
        """Return the lease. Raises NotFound when there is none yet."""
        return record_of(await self._client.get(self._path, timeout_seconds=self._timeout))

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Create the lease and return it as written. Raises Conflict when somebody was faster."""
        body = body_of(self._namespace, self._name, record)
        return record_of(await self._client.create(self._collection, body, timeout_seconds=self._timeout))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write the lease at ``record.resource_version``. Raises Conflict when it changed since."""
        body = body_of(self._namespace, self._name, record)
        return record_of(await self._client.replace(self._path, body, timeout_seconds=self._timeout))


def body_of(namespace: str, name: str, record: LeaseRecord) -> dict[str, Any]:
    """Return the Lease object; unknown times are left out."""
    metadata = {"name": name, "namespace": namespace}
    if record.resource_version:
        metadata["resourceVersion"] = record.resource_version
    spec: dict[str, Any] = {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_seconds,
        "leaseTransitions": record.transitions,
    }
    if record.acquire_time is not None:
        spec["acquireTime"] = micro_time(record.acquire_time)
    if record.renew_time is not None:
        spec["renewTime"] = micro_time(record.renew_time)
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def record_of(body: Mapping[str, Any]) -> LeaseRecord:
    """Read a Lease object; every field of its spec is optional."""
    spec = body.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or 0,
        acquire_time=_unix(spec.get("acquireTime")),
        renew_time=_unix(spec.get("renewTime")),
        transitions=spec.get("leaseTransitions") or 0,
        resource_version=body["metadata"]["resourceVersion"],
    )


def micro_time(unix: float) -> str:
    """Return Unix seconds as ``metav1.MicroTime``: RFC 3339, UTC, six decimal digits."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _unix(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
