"""DigitalTwins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.paths import resource_path
from twinops.api import API_VERSION
from twinops.errors import NotFound
from twinops.ports.kubernetes import TwinRef

PLURAL = "digitaltwins"
KIND = "DigitalTwin"
PAGE = 100
"""Twins of one page: with all that their authors may write beside the spec, each may be larger than a megabyte."""


class ClusterTwins:
    """Reads and writes DigitalTwins. Every write carries uid and resourceVersion.

    Args:
        client: of the API server.
        trim: what is kept of each twin of a list, so that a large page is never in memory as a whole; by default all.
    """

    def __init__(
        self, client: KubeClient, *, trim: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    ) -> None:
        self._client = client
        self._trim = trim

    async def get(self, ref: TwinRef) -> Mapping[str, Any]:
        """Return the twin as it is now.

        Raises:
            NotFound: it is gone, or another one has taken its name.
            ClusterError: the API server said no, or nothing.
        """
        body = await self._client.get(_path(ref))
        if body["metadata"]["uid"] != ref.uid:
            raise NotFound(f"{KIND} {ref.namespace}/{ref.name} was made anew", status=404)
        return body

    async def list(self, namespaces: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        """Return every twin of these namespaces, of all when none is named; each with kind and apiVersion.

        Raises:
            ClusterError: the API server said no, or nothing.
        """
        places: Sequence[str | None] = namespaces or (None,)
        pages = await asyncio.gather(
            *(
                self._client.list(
                    resource_path(API_VERSION, PLURAL, namespace=place), params={"limit": PAGE}, trim=self._trim
                )
                for place in places
            )
        )
        return [{"apiVersion": API_VERSION, "kind": KIND, **item} for page in pages for item in page["items"]]

    async def write_status(
        self, ref: TwinRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status and return the object as written.

        A PUT, since a merge patch would leave fields standing that the new status does not have. The
        API server takes nothing but ``status`` from it, so spec and the rest of metadata stay out.

        Raises:
            Conflict: the twin changed since ``resource_version`` was read, or was made anew.
            ClusterError: the API server said no, or nothing.
        """
        metadata = {"name": ref.name, "namespace": ref.namespace, "uid": ref.uid, "resourceVersion": resource_version}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": dict(status)}
        return await self._client.replace(_path(ref, "status"), body)

    async def set_finalizers(
        self,
        ref: TwinRef,
        finalizers: Sequence[str],
        *,
        resource_version: str,
        annotations: Mapping[str, str | None] | None = None,
    ) -> Mapping[str, Any]:
        """Replace ``metadata.finalizers``, set annotations (None: take it off) and return the object as written.

        Raises:
            Conflict: the twin changed since ``resource_version`` was read, or was made anew.
            ClusterError: the API server said no, or nothing.
        """
        # No uid: in a patch a wrong one is refused as invalid, and the version alone tells a successor apart.
        metadata: dict[str, Any] = {"resourceVersion": resource_version, "finalizers": list(finalizers)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return await self._client.patch(_path(ref), {"metadata": metadata})


def _path(ref: TwinRef, subresource: str | None = None) -> str:
    return resource_path(API_VERSION, PLURAL, namespace=ref.namespace, name=ref.name, subresource=subresource)
