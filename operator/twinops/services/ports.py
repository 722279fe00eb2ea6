"""What services need from the outside, as Protocols. Adapters satisfy them by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twinops.api.source import MetricsSourceSpec
from twinops.api.status import DigitalTwinStatus, ObjectRef, Outcome
from twinops.api.twin import SystemType, TargetRef
from twinops.core.observation import Lever, Workload
from twinops.core.series import Floats


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


PARTIAL = "partial"
"""Error of an answer that does not speak for all that is stored: its values are no measurement, and not passed on."""

NO_STORE = "no_store"
"""Error of a range for which no store has anything: none has kept it, or none of them could be reached."""


@dataclass(frozen=True, slots=True)
class InstantAnswer:
    """What one instant query gave.

    Attributes:
        values: one value per series of the result; NaN and Inf are passed on.
        error: ``errorType`` when Prometheus refused this query, ``busy`` when its turn to be asked did not come,
            ``PARTIAL`` when it could not answer in full, else empty.
        error_position: where the refusal points to, as far as it is safe to repeat, else empty.
        next_attempt: Unix seconds before which a query that timed out is not asked again, else 0.
    """

    values: tuple[float, ...] = ()
    error: str = ""
    error_position: str = ""
    next_attempt: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RangeAnswer:
    """What one range query gave, per series: (times, values), both of shape (n,).

    Attributes:
        error: as in ``InstantAnswer``; ``NO_STORE``, too.
    """

    series: tuple[tuple[Floats, Floats], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class QueryScope:
    """What fills the placeholders of a query.

    Attributes:
        target: None for a system outside the cluster.
        window_seconds: length of ``$(window)``.
        labels: ``spec.source.labels``.
        external_labels: those that every series of this cluster carries at its source.
        replica_labels: further labels by which servers that scrape the same are told apart there.
        cpu_cores: of one pod; None when a container has neither limit nor request.
        memory_bytes: likewise.
        cpu_problem: which container has neither, where that is known.
        pod_regex: for the names of the target's pods; empty where only its own name tells, None where nothing does.
        containers: of these pods; empty where they are not known.
        pods_read: whether cores and bytes are those of the pods themselves, all containers included.
    """

    namespace: str
    target: TargetRef | None
    window_seconds: int
    labels: Mapping[str, str] = field(default_factory=dict)
    external_labels: Mapping[str, str] = field(default_factory=dict)
    replica_labels: Sequence[str] = ()
    cpu_cores: float | None = None
    memory_bytes: float | None = None
    cpu_problem: str = ""
    memory_problem: str = ""
    pod_regex: str | None = ""
    containers: tuple[str, ...] = ()
    pods_read: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A query with placeholders: a person's own, or one of the built-in candidates.

    Attributes:
        name: ``Custom``, or the candidate's name.
        matchers: what ``$(scope)`` stands for when there is a target; empty in a person's own query.
        needs_labels: whether it is of use only when ``spec.source.labels`` say which series to take.
        takes_labels: whether its series can carry ``spec.source.labels``; those of the kubelet, for one, never do.
        unit: of its values; empty for the metric's usual one.
        pods: query for the number of pods that its mean is taken over; empty where it is no such mean.
    """

    name: str
    template: str
    matchers: str = ""
    needs_labels: bool = False
    takes_labels: bool = True
    unit: str = ""
    pods: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What reading a rendered query tells about it.

    Attributes:
        warning: why our parser does not take it, else empty. Prometheus may still take it.
        freshness: query for the Unix time of the newest sample behind the value; empty when unknown.
        presence: by selector, a query that yields something when the selector finds any series.
        top: the same query for the largest observation of its histogram; a quantile that equals it lies in the
            histogram's last, open bucket. Empty where no quantile of a histogram is asked for.
        measured: the same query, without a quantile in the first bucket that holds an observation: nothing supports
            what would be interpolated there. Empty where it is the query itself.
        bounds: the two values between which the quantile lies then; empty likewise.
        past: what is asked of the past, without a quantile in the first filled or the open bucket; empty likewise.
    """

    warning: str = ""
    freshness: str = ""
    presence: Mapping[str, str] = field(default_factory=dict)
    top: str = ""
    measured: str = ""
    bounds: str = ""
    past: str = ""


class QueryTexts(Protocol):
    """Knows the built-in queries, fills in placeholders and reads PromQL."""

    def metrics(self, system_type: SystemType) -> tuple[str, ...]:
        """Return the names of the metrics that this type of system has built-in queries for."""
        ...

    def candidates(self, system_type: SystemType, metric: str) -> tuple[Query, ...]:
        """Return the built-in queries of one metric, the preferred one first; possibly none."""
        ...

    def render(self, query: Query, scope: QueryScope) -> str:
        """Fill in the placeholders.

        Raises:
            SpecError: ``UnknownPlaceholder``, ``PlaceholderUnusable``, ``NoTarget``; or, where the
                metric is simply not to be had, ``NoRequestsOrLimits`` or ``NoScope``.
        """
        ...

    def inspect(self, promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
        """Parse a rendered query and derive the look-ups that go with it."""
        ...


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
        self,
        ref: TwinRef,
        finalizers: Sequence[str],
        *,
        resource_version: str,
        annotations: Mapping[str, str | None] | None = None,
    ) -> Mapping[str, Any]:
        """Replace ``metadata.finalizers``, set annotations (None: take it off) and return the object as written.

        Raises Conflict likewise.
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

    async def write(self, namespace: str, lever: Lever, value: int, *, force: bool, witness: str = "") -> Lever:
        """Set the lever's field by server-side apply as ``twinops``, at the lever's resourceVersion.

        Args:
            namespace: of the lever.
            lever: as judged.
            value: of the field.
            force: whether it may be taken from its owners.
            witness: what is to stand beside the value on an HPA; empty for nothing.

        Raises:
            Conflict: the object changed since it was read, or another manager owns the field.
            Refused: the API server refuses the value or the right is missing.
        """
        ...

    async def forget(self, namespace: str, lever: Lever) -> None:
        """Take off what stands beside the value, the value untouched. Raises as ``write``."""
        ...

    async def read(self, namespace: str, reference: ObjectRef, field: str) -> Lever:
        """Return the lever that was written to before, wherever the twin points today.

        Raises:
            NotFound: the object is gone.
        """
        ...

    async def update_as(self, namespace: str, lever: Lever, value: int, *, manager: str) -> Lever:
        """Set the field by an update in the name of its former owner, at the lever's resourceVersion.

        The former owner holds the field afterwards as it did before. Raises as ``write``.
        """
        ...

    async def hand_over(self, namespace: str, lever: Lever, *, manager: str) -> Lever:
        """Move the ownership of the field, its value untouched, from us to the entry ``manager`` applied.

        Where that manager has no such entry any more the field stays ours. Raises as ``write``.
        """
        ...


@dataclass(frozen=True, slots=True)
class EventNote:
    """An Event to post.

    Attributes:
        involved: reference to the object it is about.
        kind: ``Normal`` or ``Warning``.
        reason: CamelCase.
        message: a sentence.
    """

    involved: Mapping[str, Any]
    kind: str
    reason: str
    message: str


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
        """Return the lease. Raises NotFound when there is none yet."""
        ...

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Create the lease and return it as written. Raises Conflict when somebody was faster."""
        ...

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write the lease at ``record.resource_version``. Raises Conflict when it changed since."""
        ...


class Telemetry(Protocol):
    """Tells monitoring what the operator does."""

    def synced(self, ref: TwinRef, *, result: str, seconds: float, late_seconds: float) -> None:
        """A sync ended. ``result`` is one of a few words; ``late_seconds`` is counted from its slot."""
        ...

    def assessed(self, ref: TwinRef, status: DigitalTwinStatus) -> None:
        """Publish what a twin was found to be: health, drift, risks, recommended replicas."""
        ...

    def forget(self, ref: TwinRef) -> None:
        """Stop publishing about a twin that is gone."""
        ...

    def status_written(self, kind: str) -> None:
        """A status was (or was not) written: ``kind`` is a word such as material, heartbeat or skipped."""
        ...

    def corrected(self, ref: TwinRef, outcome: Outcome) -> None:
        """A correction came to this outcome."""
        ...

    def reverted(self, ref: TwinRef) -> None:
        """Somebody put back what a correction had changed."""
        ...

    def source_answered(self, name: str, *, up: bool) -> None:
        """A MetricsSource did, or did not, answer."""
        ...

    def source_gone(self, name: str) -> None:
        """Stop publishing about a MetricsSource."""
        ...

    def leads(self, *, leading: bool) -> None:
        """This process became the leader, or ceased to be."""
        ...
