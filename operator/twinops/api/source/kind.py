"""The kind MetricsSource."""

from __future__ import annotations

from twinops.api.kind import AGE, READY, Column, Kind
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.source.status import MetricsSourceStatus

METRICS_SOURCE = Kind(
    kind="MetricsSource",
    plural="metricssources",
    short_names=("msrc",),
    scope="Cluster",
    spec=MetricsSourceSpec,
    status=MetricsSourceStatus,
    description="A Prometheus-compatible endpoint that an administrator allows twins to ask.",
    columns=(Column("URL", ".spec.url", description="Base URL of the endpoint."), READY, AGE),
)
