"""Queries as data: templates, the values of their placeholders, the look-ups derived from them, and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twinops.api.references import TargetRef
from twinops.api.twin.spec import SystemType

PARTIAL = "partial"
"""Error of an answer that covers only a part of what is stored. Its values may be too small and are left out."""


@dataclass(frozen=True, slots=True)
class InstantAnswer:
    """The answer to one instant query.

    Attributes:
        values: one value per series of the result; NaN and Inf are passed on.
        error: ``errorType`` when Prometheus refused this query, ``busy`` when no time was left to ask it,
            ``PARTIAL`` when it could not answer in full, else empty.
        error_position: where the refusal points to, as far as it is safe to repeat, else empty.
        next_attempt: Unix seconds before which a query that timed out is not asked again, else 0.
    """

    values: tuple[float, ...] = ()
    error: str = ""
    error_position: str = ""
    next_attempt: float = 0.0


@dataclass(frozen=True, slots=True)
class QueryScope:
    """The values for the placeholders of a query.

    Attributes:
        namespace: the twin's.
        target: None for a system outside the cluster.
        window_seconds: length of ``$(window)``.
        labels: ``spec.source.labels`` of the twin.
        external_labels: labels that every series of this cluster carries at the MetricsSource.
        replica_labels: further labels that distinguish servers which scrape the same targets.
        cpu_cores: limit or request of one pod; None when a container has neither.
        memory_bytes: likewise, in bytes.
        cpu_problem: which container has neither, where that is known.
        memory_problem: likewise for memory.
        pod_regex: RE2 for the names of the target's pods; empty where it is made of the target's name alone, None where
            there is none.
        containers: names of these pods' containers; empty where they are not known.
        pods_read: whether cores and bytes were read from the pods themselves, all containers included.
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
        needs_labels: whether it can be used only with ``spec.source.labels``, which select its series.
        takes_labels: whether its series can have ``spec.source.labels``; those of the kubelet never do.
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
    """The look-ups that were derived from a rendered query.

    Attributes:
        warning: why the parser refuses the query, else empty. Prometheus may still accept it.
        freshness: query for the Unix time of the newest sample behind the value; empty when unknown.
        presence: by selector, a query that yields something when the selector finds any series.
        top: the same query for the largest observation of its histogram; a quantile that equals it lies in the
            histogram's last, open bucket. Empty where no quantile of a histogram is asked for.
        measured: the same query, without a result where the quantile lies in the first bucket that holds an
            observation: there it would be interpolated from nothing. Empty where it is the query itself.
        bounds: query for the two values between which the quantile lies in that case; empty likewise.
        past: query for the history, without a result where the quantile lies in the first filled or the open bucket;
            empty likewise.
    """

    warning: str = ""
    freshness: str = ""
    presence: Mapping[str, str] = field(default_factory=dict)
    top: str = ""
    measured: str = ""
    bounds: str = ""
    past: str = ""


class QueryTexts(Protocol):
    """The built-in queries, and what renders and parses PromQL."""

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
                system cannot have this metric, ``NoRequestsOrLimits`` or ``NoScope``.
        """
        ...

    def inspect(self, promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
        """Parse a rendered query and derive the look-ups that go with it."""
        ...
