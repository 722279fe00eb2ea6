"""Twins in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakes.objects import FakeObjects
from twinops.errors import ClusterError
from twinops.ports.kubernetes import TwinRef


class FakeTwins(FakeObjects[TwinRef]):
    """Holds twins by uid. ``finalizer_faults`` are raised by the next writes of finalizers, one each."""

    def __init__(self) -> None:
        super().__init__()
        self.finalizer_faults: list[ClusterError] = []

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
        if self.finalizer_faults:
            raise self.finalizer_faults.pop(0)
        body = await self._at(ref, resource_version)
        body["metadata"]["finalizers"] = list(finalizers)
        if annotations:
            merged = {**body["metadata"].get("annotations", {}), **annotations}
            body["metadata"]["annotations"] = {key: value for key, value in merged.items() if value is not None}
        self._touch(ref)
        return await self.get(ref)
