"""Gateways and meshes: ingress-nginx, Istio, Envoy, Traefik.

Sources: ingress-nginx "Prometheus metrics", Istio "Standard metrics", Envoy "HTTP connection manager
statistics", Traefik "Metrics overview".

What ingress-nginx counts is counted once per pod of its controller, which it names itself; what Istio counts, once per
proxy. The series of a backend are those of the controller or of the proxies, found by the names that stand in them:
labels of the backend's own series (``spec.source.labels``) are not on them.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import PODS, PROXY, Thing, p95, rate, share, total
from twinops.core.metrics.queries import Query

_NGINX = 'controller_namespace="$(namespace)",controller_pod=~"$(podRegex)"'
_NGINX_BACKEND = 'exported_namespace="$(namespace)",exported_service="$(name)"'
_NGINX_BACKEND_HONORED = 'namespace="$(namespace)",service="$(name)"'
_ISTIO_GATEWAY = 'reporter="source",source_workload_namespace="$(namespace)",source_workload="$(name)"'
_ISTIO = 'reporter="destination",destination_workload_namespace="$(namespace)",destination_workload="$(name)"'
# Envoy answers its own probes and scrapes on connection managers of their own.
_ENVOY = 'envoy_http_conn_manager_prefix!~"admin|stats|agent"'

# The service may be the backend's.
_CONTROLLER = Thing("controller_pod", "container_id, instance, pod, pod_ip, uid")

_NGINX_REQUESTS = rate("nginx_ingress_controller_requests", of=_CONTROLLER)
_NGINX_P95 = p95("nginx_ingress_controller_request_duration_seconds_bucket", of=_CONTROLLER)
_NGINX_CONNECTIONS = total("nginx_ingress_controller_nginx_process_connections", 'state="active"', of=_CONTROLLER)
_ISTIO_REQUESTS = rate("istio_requests_total", of=PROXY)
_ISTIO_P95 = p95("istio_request_duration_milliseconds_bucket", per_second=1000, of=PROXY)
_TRAEFIK_REQUESTS = "traefik_entrypoint_requests_total"

_NGINX_ERRORS = share(rate("nginx_ingress_controller_requests", 'status=~"5.."', of=_CONTROLLER), _NGINX_REQUESTS)
# Istio reports a request without any answer as code 0.
_ISTIO_ERRORS = share(rate("istio_requests_total", 'response_code=~"5..|0"', of=PROXY), _ISTIO_REQUESTS)
_ENVOY_ERRORS = share(
    rate("envoy_http_downstream_rq_xx", _ENVOY, 'envoy_response_code_class="5"'),
    rate("envoy_http_downstream_rq_xx", _ENVOY),
)

GATEWAY_LATENCY = (
    Query("nginx-ingress", _NGINX_P95, _NGINX),
    Query("istio", _ISTIO_P95, _ISTIO_GATEWAY),
    Query("envoy", p95("envoy_http_downstream_rq_time_bucket", _ENVOY, per_second=1000), PODS),
    Query("traefik", p95("traefik_entrypoint_request_duration_seconds_bucket"), PODS),
)

GATEWAY_ERRORS = (
    Query("nginx-ingress", _NGINX_ERRORS, _NGINX),
    Query("istio", _ISTIO_ERRORS, _ISTIO_GATEWAY),
    Query("envoy", _ENVOY_ERRORS, PODS),
    Query("traefik", share(rate(_TRAEFIK_REQUESTS, 'code=~"5.."'), rate(_TRAEFIK_REQUESTS)), PODS),
)

GATEWAY_THROUGHPUT = (
    Query("nginx-ingress", _NGINX_REQUESTS, _NGINX),
    Query("istio", _ISTIO_REQUESTS, _ISTIO_GATEWAY),
    Query("envoy", rate("envoy_http_downstream_rq_total", _ENVOY), PODS),
    Query("traefik", rate(_TRAEFIK_REQUESTS), PODS),
)

GATEWAY_CONNECTIONS = (
    Query("nginx-ingress", _NGINX_CONNECTIONS, _NGINX),
    Query("envoy", total("envoy_http_downstream_cx_active", _ENVOY), PODS),
    Query("traefik", total("traefik_open_connections"), PODS),
    Query("traefik-2", total("traefik_entrypoint_open_connections"), PODS),
)


def _of_backend(istio: str, nginx: str) -> tuple[Query, ...]:
    return (
        Query("istio", istio, _ISTIO, takes_labels=False),
        Query("nginx-ingress", nginx, _NGINX_BACKEND_HONORED, takes_labels=False),
        Query("nginx-ingress-exported", nginx, _NGINX_BACKEND, takes_labels=False),
    )


BACKEND_LATENCY = _of_backend(_ISTIO_P95, _NGINX_P95)
BACKEND_ERRORS = _of_backend(_ISTIO_ERRORS, _NGINX_ERRORS)
BACKEND_THROUGHPUT = _of_backend(_ISTIO_REQUESTS, _NGINX_REQUESTS)
