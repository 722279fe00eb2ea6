"""The resource (URL path) of an ``apiVersion`` and ``kind``, from the API server's discovery documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twinops.adapters.kubernetes.client import KubeClient
from twinops.errors import NotFound


@dataclass(frozen=True, slots=True)
class ApiResource:
    """The resource of a kind.

    Attributes:
        plural: its name in URLs.
        namespaced: whether its objects are in namespaces.
        scalable: whether it has a ``/scale`` subresource.
    """

    plural: str
    namespaced: bool
    scalable: bool


class Discovery:
    """Looks up resources of kinds and caches those that have ``/scale``.

    A kind that is missing or has no ``/scale`` is looked up each time, since its CRD may be installed or changed at
    any time.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], ApiResource] = {}

    async def find(self, api_version: str, kind: str) -> ApiResource:
        """Return the resource of a kind.

        Raises:
            NotFound: the API server does not serve this kind.
            ClusterError: it did not answer.
        """
        known = self._known.get((api_version, kind))
        if known is None:
            known = await self._ask(api_version, kind)
            if known.scalable:
                self._known[api_version, kind] = known
        return known

    async def _ask(self, api_version: str, kind: str) -> ApiResource:
        group, _, version = api_version.rpartition("/")
        path = (
            f"/apis/{quote(group, safe='')}/{quote(version, safe='')}" if group else f"/api/{quote(version, safe='')}"
        )
        served: list[dict[str, Any]] = (await self._client.get(path)).get("resources") or []
        names = {entry["name"] for entry in served}
        for entry in served:
            if entry["kind"] == kind and "/" not in entry["name"]:
                return ApiResource(entry["name"], bool(entry.get("namespaced")), f"{entry['name']}/scale" in names)
        raise NotFound(f"GET {path}: no kind {kind} in {api_version}", status=404)
