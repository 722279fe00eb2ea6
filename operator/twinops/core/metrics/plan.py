"""The queries that one sync sends for each metric of a twin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twinops.api.twin.spec import MetricSpec
from twinops.core.metrics.queries import Inspection, Query
from twinops.core.observation import Sample
from twinops.errors import SpecError

CUSTOM = "Custom"
"""Name of a query that a person wrote."""


@dataclass(frozen=True, slots=True)
class RenderedQuery:
    """A query with its placeholders filled in, and the look-ups that go with it.

    Attributes:
        query: the query as data.
        promql: the text that gives the value.
        inspection: the look-ups derived from the text.
        pods: query for the number of pods behind a mean over pods, else empty.
        with_bounds: whether the bounds of a quantile are asked for in the first batch, because it was not measured at
            the last sync.
    """

    query: Query
    promql: str
    inspection: Inspection
    pods: str = ""
    with_bounds: bool = False

    @property
    def past(self) -> str:
        """The text that gives the metric's history."""
        return self.inspection.past or self.promql

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the first batch: value, freshness, number of pods and bounds, as far as there are such."""
        bounds = self.inspection.bounds if self.with_bounds else ""
        return tuple(text for text in (self.promql, self.inspection.freshness, self.pods, bounds) if text)


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """The queries for one metric.

    A metric's candidates are tried in this order: ``first`` in the first batch; where these give nothing, the other
    candidates in the second batch. When nothing answered at the last sync either, the other candidates are
    ``probed``: a probe in the first batch, one query for all of them, tells whether they are asked at all.

    Attributes:
        metric: its name.
        rules: the spec's entry for it, else the defaults.
        unit: of its values, with the basis of a percentage.
        stale_after: seconds from which on its newest sample is stale.
        first: asked at once: a person's query, the candidate that answered at the last sync, or all candidates.
        render_fallbacks: renders the other candidates; not called while ``first`` answers.
        fallbacks: the other candidates, once they are asked.
        probed: the other candidates that depend on the probe.
        not_asked: the answer where there is nothing to ask, else None.
        basis: what a percentage is of, and where that was read; empty where the metric is none.
    """

    metric: str
    rules: MetricSpec
    unit: str
    stale_after: int
    first: tuple[RenderedQuery, ...] = ()
    render_fallbacks: Callable[[], tuple[RenderedQuery, ...]] = tuple
    fallbacks: tuple[RenderedQuery, ...] = ()
    probed: tuple[RenderedQuery, ...] = ()
    not_asked: Sample | None = None
    basis: str = ""

    @property
    def custom(self) -> bool:
        """Tell whether a person wrote the query."""
        return any(rendered.query.name == CUSTOM for rendered in self.first)

    @property
    def candidates(self) -> tuple[RenderedQuery, ...]:
        """All rendered candidates, the preferred one first."""
        return (*self.first, *(self.probed or self.fallbacks))

    def asked(self, name: str) -> RenderedQuery | None:
        """Return the query of this name among those that were asked, None where none has it."""
        return next((one for one in (*self.first, *self.fallbacks) if one.query.name == name), None)

    def with_fallbacks(self) -> MetricPlan:
        """Return the same plan with its other candidates rendered, to be asked in the second batch."""
        return dataclasses.replace(self, fallbacks=self.render_fallbacks())


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """The queries for one twin.

    Attributes:
        metrics: one entry for each metric that the twin has or its spec names.
        warnings: what a person should know but nothing stops for.
        refused: by metric, what a person must mend.
    """

    metrics: tuple[MetricPlan, ...]
    warnings: tuple[str, ...]
    refused: Mapping[str, SpecError]
