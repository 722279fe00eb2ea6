"""Which built-in queries each type of system has, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from twinops.adapters.prometheus.candidates import datastores, gateways, http, queues, resources
from twinops.adapters.prometheus.promql import render
from twinops.adapters.prometheus.selectors import inspect
from twinops.api.twin.spec import SystemType
from twinops.core.metrics.queries import Inspection, Query, QueryScope
from twinops.metric_definitions import CONNECTIONS, CPU, ERRORS, LATENCY, MEMORY, THROUGHPUT

Candidates = Mapping[str, tuple[Query, ...]]

_RESOURCES: Candidates = {CPU: resources.CPU, MEMORY: resources.MEMORY}

CATALOGUE: Mapping[SystemType, Candidates] = MappingProxyType(
    {
        SystemType.API_GATEWAY: {
            **_RESOURCES,
            LATENCY: (*gateways.GATEWAY_LATENCY, *http.LATENCY),
            ERRORS: (*gateways.GATEWAY_ERRORS, *http.ERRORS),
            THROUGHPUT: (*gateways.GATEWAY_THROUGHPUT, *http.THROUGHPUT),
            CONNECTIONS: gateways.GATEWAY_CONNECTIONS,
        },
        SystemType.WEB_SERVICE: {
            **_RESOURCES,
            LATENCY: (*http.LATENCY, *gateways.BACKEND_LATENCY),
            ERRORS: (*http.ERRORS, *gateways.BACKEND_ERRORS),
            THROUGHPUT: (*http.THROUGHPUT, *gateways.BACKEND_THROUGHPUT),
        },
        SystemType.WORKER: _RESOURCES,
        SystemType.DATABASE: {
            **_RESOURCES,
            ERRORS: datastores.DATABASE_ERRORS,
            THROUGHPUT: datastores.DATABASE_THROUGHPUT,
            CONNECTIONS: datastores.DATABASE_CONNECTIONS,
        },
        SystemType.CACHE: {
            **_RESOURCES,
            LATENCY: datastores.CACHE_LATENCY,
            ERRORS: datastores.CACHE_ERRORS,
            THROUGHPUT: datastores.CACHE_THROUGHPUT,
            CONNECTIONS: datastores.CACHE_CONNECTIONS,
        },
        SystemType.MESSAGE_QUEUE: {
            **_RESOURCES,
            LATENCY: queues.LATENCY,
            ERRORS: queues.ERRORS,
            THROUGHPUT: queues.THROUGHPUT,
            CONNECTIONS: queues.CONNECTIONS,
        },
        SystemType.CUSTOM: {},
    }
)


class PrometheusTexts:
    """The port ``QueryTexts``, for Prometheus and what speaks its language."""

    def metrics(self, system_type: SystemType) -> tuple[str, ...]:
        """Return the names of the metrics that this type of system has built-in queries for."""
        return tuple(CATALOGUE[system_type])

    def candidates(self, system_type: SystemType, metric: str) -> tuple[Query, ...]:
        """Return the built-in queries of one metric, the preferred one first; possibly none."""
        return CATALOGUE[system_type].get(metric, ())

    def render(self, query: Query, scope: QueryScope) -> str:
        """Fill in the placeholders. See ``promql.render`` for the reasons of its SpecErrors."""
        return render(query, scope)

    def inspect(self, promql: str, *, stale_after_seconds: int, scrape_interval_seconds: int) -> Inspection:
        """Parse a rendered query and derive the look-ups that go with it."""
        return inspect(promql, stale_after_seconds=stale_after_seconds, scrape_interval_seconds=scrape_interval_seconds)
