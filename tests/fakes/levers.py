"""Levers in memory: ownership as the API server keeps it, and faults that it cannot be made to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from twinops.api.references import ObjectRef, TargetRef
from twinops.core.lever import FieldOwner, Lever
from twinops.errors import ClusterError, Conflict, NotFound

OURS = FieldOwner("twinops", "Apply")


class FakeLevers:
    """Holds one lever per object.

    Attributes:
        faults: raised by the next writes, one each; None lets a write through.
        lost: likewise, but the write arrives and only its answer is lost.
        meddle: called before every write, to change things behind the operator's back.
        written: every value that was written, in order.
    """

    def __init__(self, *levers: Lever) -> None:
        self.levers = {lever.object: lever for lever in levers}
        self.faults: list[ClusterError | None] = []
        self.lost: list[ClusterError] = []
        self.meddle: Callable[[], None] | None = None
        self.written: list[int] = []

    def edit(self, reference: ObjectRef, **change: object) -> None:
        """Change a lever, as somebody else does."""
        before = self.levers[reference]
        version = str(int(before.resource_version) + 1)
        self.levers[reference] = dataclasses.replace(before, **({"resource_version": version} | change))  # type: ignore[arg-type]

    async def find(self, namespace: str, target: TargetRef, hpa_name: str | None) -> Lever:  # noqa: ARG002 - the port's
        return next(iter(self.levers.values()))

    async def read(self, namespace: str, reference: ObjectRef, field: str) -> Lever:  # noqa: ARG002 - the port's
        if reference not in self.levers:
            raise NotFound("gone", status=404)
        return self.levers[reference]

    async def write(
        self,
        namespace: str,  # noqa: ARG002 - the port's
        lever: Lever,
        value: int,
        *,
        force: bool,
        annotation: str = "",
    ) -> Lever:
        self._before(lever)
        others = [owner for owner in self.levers[lever.object].owners if owner != OURS]
        if others and not force:
            raise Conflict(f'conflict with "{others[0].manager}"', status=409)
        return self._set(lever, value, OURS, annotation if lever.kind.holds_annotation else "")

    async def remove_annotation(self, namespace: str, lever: Lever) -> None:  # noqa: ARG002 - the port's
        self._before(lever)
        self.edit(lever.object, original_annotation="")

    async def update_as(self, namespace: str, lever: Lever, value: int, *, manager: str) -> Lever:  # noqa: ARG002
        self._before(lever)
        return self._set(lever, value, FieldOwner(manager, "Update"))

    async def hand_over(self, namespace: str, lever: Lever, *, manager: str) -> Lever:  # noqa: ARG002 - the port's
        self._before(lever)
        value = self.levers[lever.object].value
        return self._set(lever, value, FieldOwner(manager, "Apply"))

    def _before(self, lever: Lever) -> None:
        if self.meddle:
            self.meddle()
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            raise fault
        if lever.object not in self.levers:
            raise NotFound("gone", status=404)
        if self.levers[lever.object].resource_version != lever.resource_version:
            raise Conflict("the object has been modified", status=409)

    def _set(self, lever: Lever, value: int | None, owner: FieldOwner, original_annotation: str = "") -> Lever:
        self.edit(lever.object, value=value, owners=(owner,), original_annotation=original_annotation)
        if value is not None:
            self.written.append(value)
        if self.lost:
            raise self.lost.pop(0)
        return self.levers[lever.object]
