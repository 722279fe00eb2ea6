"""The operator's own Deployment."""

from __future__ import annotations

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.paths import resource_path
from twinops.errors import NotFound

API_VERSION = "apps/v1"


class OperatorDeployment:
    """Scales one Deployment down.

    Args:
        client: the API server.
        namespace: the operator's own.
        name: of the Deployment.
    """

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._path = resource_path(API_VERSION, "deployments", namespace=namespace, name=name, subresource="scale")

    async def replicas(self) -> int | None:
        """Return ``spec.replicas``, None when there is no such Deployment.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        try:
            scale = await self._client.get(self._path)
        except NotFound:
            return None
        return int((scale.get("spec") or {}).get("replicas", 0))

    async def stop(self) -> None:
        """Scale to 0. Does nothing when there is no such Deployment.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        try:
            await self._client.patch(self._path, {"spec": {"replicas": 0}})
        except NotFound:
            return
