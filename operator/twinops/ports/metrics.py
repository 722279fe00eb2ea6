"""The metrics backend: any endpoint that speaks Prometheus' HTTP API."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twinops.api.source.spec import MetricsSourceSpec
from twinops.core.metrics.queries import InstantAnswer
from twinops.core.series import Floats


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """A MetricsSource with its credentials. Secrets never show in its repr.

    Attributes:
        name: of the MetricsSource.
        bearer_token: sent as ``Authorization: Bearer``; None for none.
        basic_auth: user and password; None for none.
        ca_pem: certificates that the endpoint's is checked with; None for those of the system.
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


NO_STORE = "no_store"
"""Error of a range for which no store has anything: none has kept it, or none of them could be reached."""


@dataclass(frozen=True, slots=True, eq=False)
class RangeAnswer:
    """What one range query gave, per series: (times, values), both of shape (n,).

    Attributes:
        error: as in ``InstantAnswer``; ``NO_STORE``, too.
    """

    series: tuple[tuple[Floats, Floats], ...] = ()
    error: str = ""


class MetricsBackend(Protocol):
    """Queries a Prometheus-compatible endpoint, several queries per call."""

    async def instant(
        self, source: SourceAccess, queries: Sequence[str], at: float, *, built_in: Collection[str] = ()
    ) -> Sequence[InstantAnswer]:
        """Answer every query as of ``at`` (Unix seconds), in their order. A query that is refused fails alone.

        Args:
            source: whom to ask.
            queries: PromQL.
            at: Unix seconds.
            built_in: those of the queries that are known to be valid PromQL of type instant vector, so that twins of
                all namespaces may ask them in common requests; a person's own share requests within a namespace only.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error; ``MetricsBusy`` when no
                query was finished although the endpoint answers.
            SpecError: the endpoint refuses the operator, or its address or credentials cannot be used.
        """
        ...

    async def ranges(self, source: SourceAccess, queries: Sequence[RangeQuery]) -> Sequence[RangeAnswer]:
        """Answer every range query, in their order. A query that is refused fails alone.

        Raises:
            MetricsUnavailable: the endpoint did not answer, or answered with a server error; ``MetricsBusy`` when no
                query was finished although the endpoint answers.
            SpecError: the endpoint refuses the operator, or its address or credentials cannot be used.
        """
        ...
