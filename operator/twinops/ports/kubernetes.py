"""The Kubernetes API server: twins, sources, targets, levers, Events and the Lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from twinops.api.references import ObjectRef, TargetRef
from twinops.core.events import Event
from twinops.core.lever import Lever, LeverValue
from twinops.core.observation import Workload
from twinops.ports.metrics import SourceAccess


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """Names one custom resource.

    Attributes:
        namespace: empty for a cluster-scoped one.
        uid: tells a re-created one from its predecessor.
    """

    namespace: str
    name: str
    uid: str


class TwinRef(ResourceRef):
    """Names one DigitalTwin."""

    __slots__ = ()


class SourceRef(ResourceRef):
    """Names one MetricsSource."""

    __slots__ = ()


_Ref_contra = TypeVar("_Ref_contra", bound=ResourceRef, contravariant=True)


class StatusClient(Protocol[_Ref_contra]):
    """Reads objects of one kind and writes their statuses."""

    async def get(self, ref: _Ref_contra) -> Mapping[str, Any]:
        """Return the object as it is now.

        Raises:
            NotFound: it is gone, or another one has its name.
            ClusterError: the API server did not answer, or refused.
        """
        ...

    async def write_status(
        self, ref: _Ref_contra, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status and return the object as written.

        Raises:
            Conflict: the object changed since ``resource_version`` was read, or was created anew.
            NotFound: it is gone.
            Unavailable: the API server did not answer; whether the status was written is not known.
            Refused: the API server rejects the status, or the right is missing.
            LeadershipLost: this process does not lead any more; nothing was sent.
        """
        ...


class Twins(StatusClient[TwinRef], Protocol):
    """Reads and writes DigitalTwins."""

    async def set_finalizers(
        self,
        ref: TwinRef,
        finalizers: Sequence[str],
        *,
        resource_version: str,
        annotations: Mapping[str, str | None] | None = None,
    ) -> Mapping[str, Any]:
        """Replace ``metadata.finalizers``, set annotations (None removes one) and return the object as written.

        Raises as ``write_status``.
        """
        ...


class Sources(Protocol):
    """Reads MetricsSources and the Secrets they name."""

    async def access(self, name: str) -> SourceAccess:
        """Return the source with its credentials.

        Raises:
            SourceNotFound, SourceInvalid: a person must act.
            ClusterError: the API server did not answer.
        """
        ...


class Workloads(Protocol):
    """Reads targets."""

    async def get(self, namespace: str, ref: TargetRef) -> Workload:
        """Return the target as it is now.

        Raises:
            TargetNotFound: there is no such object, or it has no ``/scale``.
            ClusterError: the API server did not answer.
        """
        ...


class Levers(Protocol):
    """Reads and writes what corrections change: HPAs and ``/scale``."""

    async def find(self, namespace: str, target: TargetRef, hpa_name: str | None) -> Lever:
        """Return the lever for this target: the named HPA, else the only one that targets it, else ``/scale``.

        Raises:
            SpecError: there is no single lever; its reason (``HPANotFound``, ``AmbiguousHPA``,
                ``ManagedByKEDA``…) and message say why.
        """
        ...

    async def write(
        self, namespace: str, lever: Lever, value: LeverValue, *, force: bool, annotation: str = ""
    ) -> Lever:
        """Set the lever's field by server-side apply as ``twinops``, at the lever's resourceVersion.

        Args:
            namespace: of the lever.
            lever: as judged.
            value: of the field.
            force: whether it may be taken from its owners.
            annotation: text of ``twinops.dev/original``, set by the same request where the lever's object can hold it.

        Raises:
            Conflict: the object changed since it was read, or another manager owns the field.
            Refused: the API server refuses the value or the right is missing.
        """
        ...

    async def remove_annotation(self, namespace: str, lever: Lever) -> None:
        """Remove the annotation ``twinops.dev/original`` without changing the value. Raises as ``write``."""
        ...

    async def read(self, namespace: str, reference: ObjectRef, field: str) -> Lever:
        """Return the lever that was written to before, wherever the twin points today.

        Raises:
            NotFound: the object is gone.
            ClusterError: the API server did not answer, or refused.
        """
        ...

    async def update_as(self, namespace: str, lever: Lever, value: LeverValue, *, manager: str) -> Lever:
        """Set the field by an update in the name of its former owner, at the lever's resourceVersion.

        The former owner holds the field afterwards as it did before. Raises as ``write``.
        """
        ...

    async def hand_over(self, namespace: str, lever: Lever, *, manager: str) -> Lever:
        """Move the ownership of the field, its value untouched, from us to the entry ``manager`` applied.

        Where that manager has no such entry any more the field stays ours. Raises as ``write``.
        """
        ...


class EventRecorder(Protocol):
    """Posts Kubernetes Events, one per transition."""

    def post(self, event: Event) -> None:
        """Post an Event whose object has its name and namespace. Returns at once, never raises: best effort."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a ``coordination.k8s.io/v1`` Lease says.

    Attributes:
        holder: identity of the leader, empty when nobody leads.
        duration_seconds: how long others wait after the last renewal they saw.
        acquire_time: Unix seconds by the holder's clock, None when nobody ever led.
        renew_time: likewise.
        transitions: how often the lease changed hands.
        resource_version: of the object as read; empty for one that is to be written.
    """

    holder: str
    duration_seconds: int
    acquire_time: float | None
    renew_time: float | None
    transitions: int
    resource_version: str = ""


class Leases(Protocol):
    """Reads and writes the one Lease that elects the leader."""

    async def get(self) -> LeaseRecord:
        """Return the lease. Raises NotFound when there is none yet, else ClusterError."""
        ...

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Create the lease and return it as written. Raises Conflict when it exists already, else ClusterError."""
        ...

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write the lease at ``record.resource_version``. Raises Conflict when it changed since, else ClusterError."""
        ...
