"""What services need from the outside, as Protocols. Adapters satisfy them by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from twinops.api.source import MetricsSourceSpec
from twinops.api.twin import TargetRef
from twinops.core.observation import Floats, Lever, Workload


@dataclass(frozen=True, slots=True)
class TwinRef:
    """Names one twin. ``uid`` tells a re-created one from its predecessor."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """A MetricsSource with its credentials read, ready to be asked.

    Secrets never show in its repr.
    """

    name: str
    spec: MetricsSourceSpec
    bearer_token: str | None = field(default=None, repr=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    ca_pem: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """One range query: every ``step`` seconds from ``start`` to ``end``, both Unix seconds and included."""

    promql: str
    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class InstantAnswer:
    """What one instant query gave.

    Attributes:
        values: one value per series of the result; NaN and Inf are passed on.
        error: ``errorType`` when Prometheus refused this query, else empty.
        error_position: where the refusal points to, as far as it is safe to repeat, else empty.
    """

    values: tuple[float, ...] = ()
    error: str = ""
    error_position: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RangeAnswer:
    """What one range query gave, per series: (times, values), both of shape (n,)."""

    series: tuple[tuple[Floats, Floats], ...] = ()
    error: str = ""


def no_points() -> tuple[Floats, Floats]:
    """Return an empty (times, values) pair."""
    return np.empty(0), np.empty(0)


class MetricsBackend(Protocol):
    """Asks a Prometheus-compatible endpoint. Always a batch, so that merging touches the adapter alone."""

    async def instant(self, source: SourceAccess, queries: Sequence[str], at: float) -> Sequence[InstantAnswer]:
        """Answer every query as of ``at`` (Unix seconds), in their order. A bad query fails alone.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
        """
        ...

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        """Answer every range query, in their order. A bad query fails alone.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error.
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


class Twins(Protocol):
    """Reads and writes DigitalTwins."""

    async def get(self, ref: TwinRef) -> Mapping[str, Any]:
        """Return the twin as it is now. Raises NotFound when it is gone or has another uid."""
        ...

    async def write_status(
        self, ref: TwinRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status and return the object as written.

        Raises:
            Conflict: the twin changed since ``resource_version`` was read.
        """
        ...

    async def set_finalizers(
        self, ref: TwinRef, finalizers: Sequence[str], *, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace ``metadata.finalizers`` and return the object as written. Raises Conflict likewise."""
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

    async def write(self, namespace: str, lever: Lever, value: int, *, force: bool) -> Lever:
        """Set the lever's field by server-side apply as ``twinops``, at the lever's resourceVersion.

        Raises:
            Conflict: the object changed since it was read, or another manager owns the field.
            Refused: the API server refuses the value or the right is missing.
        """
        ...


class EventRecorder(Protocol):
    """Posts Kubernetes Events, one per transition."""

    async def post(self, involved: Mapping[str, Any], *, kind: str, reason: str, message: str) -> None:
        """Post an Event of ``kind`` Normal or Warning about the object. Never raises: events are best effort."""
        ...


class Clock(Protocol):
    """Where services read time."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
