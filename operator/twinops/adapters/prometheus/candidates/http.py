"""What HTTP services say of themselves: the usual Prometheus names, OpenTelemetry, Micrometer.

Sources: Prometheus "Metric and label naming" and the client libraries' HTTP middlewares (they differ in
the label of the status code only), OpenTelemetry semantic conventions "HTTP metrics" (stable, and before
1.21 in milliseconds), Micrometer's ``http.server.requests``.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import PODS, p95, rate, share
from twinops.core.metrics.queries import Query

_CONVENTION = "http_request_duration_seconds"
_OTEL = "http_server_request_duration_seconds"
_OTEL_OLD = "http_server_duration_milliseconds"
_MICROMETER = "http_server_requests_seconds"

_STATUS_LABELS = ("code", "status", "status_code")


def _errors(name: str, counter: str, label: str) -> Query:
    # Series without this label say nothing about failures; the candidates with other labels are tried then.
    return Query(name, share(rate(counter, f'{label}=~"5.."'), rate(counter, f'{label}!=""')), PODS)


LATENCY = (
    Query("http-request-duration", p95(f"{_CONVENTION}_bucket"), PODS),
    Query("opentelemetry", p95(f"{_OTEL}_bucket"), PODS),
    Query("opentelemetry-old", p95(f"{_OTEL_OLD}_bucket", per_second=1000), PODS),
    Query("micrometer", p95(f"{_MICROMETER}_bucket"), PODS),
)

ERRORS = (
    *(_errors(f"http-requests-{label}", "http_requests_total", label) for label in _STATUS_LABELS),
    *(_errors(f"http-request-duration-{label}", f"{_CONVENTION}_count", label) for label in _STATUS_LABELS),
    _errors("opentelemetry", f"{_OTEL}_count", "http_response_status_code"),
    _errors("opentelemetry-old", f"{_OTEL_OLD}_count", "http_status_code"),
    _errors("micrometer", f"{_MICROMETER}_count", "status"),
)

THROUGHPUT = (
    Query("http-requests", rate("http_requests_total"), PODS),
    Query("http-request-duration", rate(f"{_CONVENTION}_count"), PODS),
    Query("opentelemetry", rate(f"{_OTEL}_count"), PODS),
    Query("opentelemetry-old", rate(f"{_OTEL_OLD}_count"), PODS),
    Query("micrometer", rate(f"{_MICROMETER}_count"), PODS),
)
