"""Databases and caches: postgres_exporter, mysqld_exporter, redis_exporter, memcached_exporter.

An exporter runs beside the server in its pods, or apart from it; then ``spec.source.labels`` must say
which of the namespace's series are meant, and each address that is scraped is one server.

None of the databases' exporters gives a percentile of latency, so none is made up.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import NAMESPACE, PODS, p95, rate, share, total
from twinops.core.metrics.queries import Query


def beside_or_apart(name: str, text: str) -> tuple[Query, Query]:
    """Return one query for an exporter in the target's own pods, and one for an exporter that runs apart."""
    return Query(name, text, PODS), Query(f"{name}-apart", text, NAMESPACE, needs_labels=True)


_COMMITS = rate("pg_stat_database_xact_commit")
_ROLLBACKS = rate("pg_stat_database_xact_rollback")

DATABASE_THROUGHPUT = (
    *beside_or_apart("postgres", f"{_COMMITS} + {_ROLLBACKS}"),
    *beside_or_apart("mysql", rate("mysql_global_status_queries")),
)

# Transactions that were rolled back; MySQL has no such count.
DATABASE_ERRORS = beside_or_apart("postgres", share(_ROLLBACKS, f"({_COMMITS} + {_ROLLBACKS})"))

DATABASE_CONNECTIONS = (
    *beside_or_apart("postgres", total("pg_stat_database_numbackends")),
    *beside_or_apart("mysql", total("mysql_global_status_threads_connected")),
)

# Time on the server from Redis 7 on, not what a client waits.
CACHE_LATENCY = beside_or_apart("redis", p95("redis_commands_latencies_usec_bucket", per_second=1_000_000))

# A miss is no error in a cache; memcached counts no others.
CACHE_ERRORS = beside_or_apart("redis", share(rate("redis_commands_failed_calls_total"), rate("redis_commands_total")))

CACHE_THROUGHPUT = (
    *beside_or_apart("redis", rate("redis_commands_processed_total")),
    *beside_or_apart("memcached", rate("memcached_commands_total")),
)

CACHE_CONNECTIONS = (
    *beside_or_apart("redis", total("redis_connected_clients")),
    *beside_or_apart("memcached", total("memcached_current_connections")),
)
