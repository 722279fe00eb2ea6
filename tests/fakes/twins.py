"""Twins in memory, with the API server's optimistic concurrency and its faults on demand."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from twinops.errors import ClusterError, Conflict, NotFound
from twinops.ports.kubernetes import TwinRef


class FakeTwins:
    """Holds twins by uid. ``faults`` are raised by the next writes, one each."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.faults: list[ClusterError] = []
        self.attempts = 0
        self._version = 0

    def add(
        self, name: str, *, namespace: str = "shop", uid: str = "", status: Mapping[str, Any] | None = None
    ) -> TwinRef:
        ref = TwinRef(namespace, name, uid or f"uid-{name}")
        metadata = {"name": name, "namespace": namespace, "uid": ref.uid, "generation": 1}
        self.bodies[ref.uid] = {"metadata": metadata, "spec": {}, "status": dict(status or {})}
        self._touch(ref)
        return ref

    def edit(self, ref: TwinRef, *, spec: bool = False, status: Mapping[str, Any] | None = None) -> None:
        """Change a twin behind the operator's back: its labels, its spec or its status."""
        body = self.bodies[ref.uid]
        if spec:
            body["metadata"]["generation"] += 1
        if status is not None:
            body["status"] = dict(status)
        self._touch(ref)

    def remove(self, ref: TwinRef) -> None:
        del self.bodies[ref.uid]

    async def get(self, ref: TwinRef) -> Mapping[str, Any]:
        if ref.uid not in self.bodies:
            raise NotFound("gone", status=404)
        return copy.deepcopy(self.bodies[ref.uid])

    async def write_status(
        self, ref: TwinRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        self.attempts += 1
        if self.faults:
            raise self.faults.pop(0)
        body = await self._at(ref, resource_version)
        body["status"] = dict(status)
        self._touch(ref)
        return await self.get(ref)

    async def set_finalizers(
        self,
        ref: TwinRef,
        finalizers: Sequence[str],
        *,
        resource_version: str,
        annotations: Mapping[str, str | None] | None = None,
    ) -> Mapping[str, Any]:
        body = await self._at(ref, resource_version)
        body["metadata"]["finalizers"] = list(finalizers)
        if annotations:
            merged = {**body["metadata"].get("annotations", {}), **annotations}
            body["metadata"]["annotations"] = {key: value for key, value in merged.items() if value is not None}
        self._touch(ref)
        return await self.get(ref)

    async def _at(self, ref: TwinRef, resource_version: str) -> dict[str, Any]:
        now = await self.get(ref)
        if now["metadata"]["resourceVersion"] != resource_version:
            raise Conflict("the object has been modified", status=409)
        return self.bodies[ref.uid]

    def _touch(self, ref: TwinRef) -> None:
        self._version += 1
        self.bodies[ref.uid]["metadata"]["resourceVersion"] = str(self._version)
