"""Reads and writes levers: the ``minReplicas`` of an HPA, or the ``/scale`` of a target.

Every write carries the resourceVersion that was read, so that it fails with 409 when the object changed since. Which
way of writing is used (server-side apply, update in the former owner's name, hand-over) is decided in the core.
"""

from __future__ import annotations

from typing import Any

from twinops.adapters.kubernetes import hpas, managed_fields, scales
from twinops.adapters.kubernetes.client import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    TIMEOUT_SECONDS,
    Body,
    KubeClient,
    Params,
)
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.hpa_cache import HpaCache, ScaledObjectCache
from twinops.adapters.kubernetes.hpa_finder import find_hpa
from twinops.adapters.kubernetes.target_cache import TargetCache
from twinops.api import ORIGINAL_ANNOTATION
from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import HPA_MIN_REPLICAS, SCALE_REPLICAS, Lever, LeverValue
from twinops.errors import Conflict


class ClusterLevers:
    """Reads and writes levers. Satisfies ``ports.kubernetes.Levers``.

    Args:
        client: of the API server.
        discovery: paths of kinds.
        known: watched HPAs; without it they are listed at each call.
        scaled: watched ScaledObjects, likewise.
        watched_targets: watched targets, whose ``/scale`` is read live without it.
    """

    def __init__(
        self,
        client: KubeClient,
        discovery: Discovery,
        known: HpaCache | None = None,
        scaled: ScaledObjectCache | None = None,
        watched_targets: TargetCache | None = None,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._known = known
        self._scaled = scaled
        self._targets = watched_targets

    async def find(self, namespace: str, target: TargetRef, hpa_name: str | None) -> Lever:
        """Return the named HPA, else the only one that targets the workload, else its ``/scale``.

        Raises:
            SpecError: there is no single lever: HPANotFound, HPATargetsAnother, AmbiguousHPA,
                ManagedByKEDA, TargetNotFound, UnsupportedScale.
            ClusterError: the API server did not answer, or a right to read is missing.
        """
        hpa = await find_hpa(self._client, self._known, namespace, target, hpa_name)
        if hpa is not None:
            return hpa
        kept = None if self._targets is None else await self._targets.get(namespace, target)
        lever = None if kept is None else kept.lever
        return await scales.find_scale(self._client, self._discovery, self._scaled, namespace, target, kept=lever)

    async def read(self, namespace: str, reference: ObjectRef, field: str) -> Lever:
        """Return the lever that was written to before.

        Raises:
            NotFound: the object is gone.
            ClusterError: the API server did not answer.
        """
        if field == hpas.FIELD:
            body = await self._client.get(hpas.hpa_path(namespace, reference.name))
            if self._known is not None:
                self._known.take(body)
            return hpas.hpa_lever(body)
        lever = await scales.read_scale(self._client, self._discovery, namespace, reference)
        if self._targets is not None:
            self._targets.take(reference, dict(lever.raw))
        return lever

    async def write(
        self, namespace: str, lever: Lever, value: LeverValue, *, force: bool, annotation: str = ""
    ) -> Lever:
        """Set the field by server-side apply as ``twinops``, at the lever's resourceVersion.

        Args:
            namespace: of the object.
            lever: as read; its resourceVersion is sent.
            value: of the field.
            force: whether to take the field over from another field manager.
            annotation: text of ``twinops.dev/original``, set by the same request where the lever's object can hold it;
                an apply without it removes the annotation.

        Raises:
            Conflict: the object changed since it was read, or another manager owns the field.
            Refused: the API server refuses the value or the right is missing.
        """
        if lever.kind is SCALE_REPLICAS and not force:
            # Checked again right before the write: a ScaledObject may have been created since the last sync.
            await scales.refuse_keda(self._client, namespace, lever.object)
        body = _patch(lever, value) | _type(lever)
        body["metadata"]["name"] = lever.object.name
        if annotation and lever.kind.holds_annotation:
            body["metadata"]["annotations"] = {ORIGINAL_ANNOTATION: annotation}
        path = await self._write_path(namespace, lever)
        await self._send(path, body, content_type=APPLY_PATCH, params={"force": force})
        return await self.read(namespace, lever.object, lever.field)

    async def update_as(self, namespace: str, lever: Lever, value: LeverValue, *, manager: str) -> Lever:
        """Set the field by a merge patch in the former owner's name and remove our annotation.

        For ``/scale`` the subresource is patched: the former owner then owns the field through the subresource, which
        its next update accepts, and no right on the target itself is needed.

        Raises:
            Conflict: the object changed since it was read.
            Refused: the API server refuses the value or the right is missing.
        """
        body = _patch(lever, value)
        if lever.original_annotation:
            body["metadata"]["annotations"] = {ORIGINAL_ANNOTATION: None}
        await self._send(await self._write_path(namespace, lever), body, params={"fieldManager": manager})
        return await self.read(namespace, lever.object, lever.field)

    async def remove_annotation(self, namespace: str, lever: Lever) -> None:
        """Remove our annotation from the object without changing the value.

        Raises:
            Conflict: the object changed since it was read.
            Refused: the right is missing.
        """
        metadata = {"resourceVersion": lever.resource_version, "annotations": {ORIGINAL_ANNOTATION: None}}
        await self._send(await self._path(namespace, lever), {"metadata": metadata})

    async def hand_over(self, namespace: str, lever: Lever, *, manager: str) -> Lever:
        """Move the ownership of the field from us to the entry that ``manager`` applied, without changing the value.

        Raises:
            Conflict: the object changed since it was read.
            Refused: the right to patch the object itself is missing.
        """
        if "managedFields" not in (lever.raw.get("metadata") or {}):
            before, lever = lever, await self.read(namespace, lever.object, lever.field)
            if lever.resource_version != before.resource_version:
                raise Conflict(f"{lever.object.name} changed since it was read", status=409)
        entries = managed_fields.handed_over(lever.raw, lever.field, manager)
        if entries is None:
            if lever.original_annotation:
                await self.remove_annotation(namespace, lever)
            return lever
        # With the resourceVersion in the patch the API server answers 409 when it is not current; a failed `test`
        # operation would be 422, the same as for an invalid patch.
        operations: list[dict[str, Any]] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": lever.resource_version},
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        ]
        if lever.original_annotation:
            pointer = ORIGINAL_ANNOTATION.replace("/", "~1")
            operations.append({"op": "remove", "path": f"/metadata/annotations/{pointer}"})
        await self._send(await self._path(namespace, lever), operations, content_type=JSON_PATCH)
        return await self.read(namespace, lever.object, lever.field)

    async def _send(
        self, path: str, body: Body, *, content_type: str = MERGE_PATCH, params: Params | None = None
    ) -> None:
        # The API server gives up at the same time, so that a request that timed out here is not carried out later.
        limited = {"timeout": f"{TIMEOUT_SECONDS:.0f}s", **(params or {})}
        await self._client.patch(path, body, content_type=content_type, params=limited)

    async def _path(self, namespace: str, lever: Lever) -> str:
        if lever.kind is HPA_MIN_REPLICAS:
            return hpas.hpa_path(namespace, lever.object.name)
        return await scales.object_path(self._discovery, namespace, lever.object)

    async def _write_path(self, namespace: str, lever: Lever) -> str:
        path = await self._path(namespace, lever)
        return f"{path}/{lever.kind.subresource}" if lever.kind.subresource else path


def _patch(lever: Lever, value: LeverValue) -> dict[str, Any]:
    leaf = managed_fields.path_of(lever.field)[-1]
    return {"metadata": {"resourceVersion": lever.resource_version}, "spec": {leaf: value}}


def _type(lever: Lever) -> dict[str, str]:
    if lever.kind is HPA_MIN_REPLICAS:
        return {"apiVersion": hpas.API_VERSION, "kind": hpas.KIND}
    return {"apiVersion": scales.SCALE_API_VERSION, "kind": scales.SCALE_KIND}
