"""Twins in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakes.objects import FakeObjects
from twinops.ports.kubernetes import TwinRef


class FakeTwins(FakeObjects[TwinRef]):
    """Holds twins by uid."""

    def add(
        self, name: str, *, namespace: str = "shop", uid: str = "", status: Mapping[str, Any] | None = None
    ) -> TwinRef:
        return self.keep(TwinRef(namespace, name, uid or f"uid-{name}"), {}, status)

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
