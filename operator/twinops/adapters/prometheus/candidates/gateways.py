"""Gateways and meshes: ingress-nginx, Istio, Envoy, Traefik.

Sources: ingress-nginx "Prometheus metrics", Istio "Standard metrics", Envoy "HTTP connection manager
statistics", Traefik "Metrics overview".
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import PODS, p95, rate, share, total
from twinops.services.ports import Query

_NGINX = 'controller_namespace="$(namespace)",controller_pod=~"$(podRegex)"'
_NGINX_BACKEND = 'exported_namespace="$(namespace)",exported_service="$(name)"'
_NGINX_BACKEND_HONORED = 'namespace="$(namespace)",service="$(name)"'
_ISTIO_GATEWAY = 'reporter="source",source_workload_namespace="$(namespace)",source_workload="$(name)"'
_ISTIO = 'reporter="destination",destination_workload_namespace="$(namespace)",destination_workload="$(name)"'
# Envoy answers its own probes and scrapes on connection managers of their own.
_ENVOY = 'envoy_http_conn_manager_prefix!~"admin|stats|agent"'

_NGINX_REQUESTS = "nginx_ingress_controller_requests"
_NGINX_SECONDS = "nginx_ingress_controller_request_duration_seconds_bucket"
_ISTIO_MILLISECONDS = "istio_request_duration_milliseconds_bucket"
_TRAEFIK_REQUESTS = "traefik_entrypoint_requests_total"

_NGINX_ERRORS = share(rate(_NGINX_REQUESTS, 'status=~"5.."'), rate(_NGINX_REQUESTS))
# Istio reports a request without any answer as code 0.
_ISTIO_ERRORS = share(rate("istio_requests_total", 'response_code=~"5..|0"'), rate("istio_requests_total"))
_ENVOY_ERRORS = share(
    rate("envoy_http_downstream_rq_xx", _ENVOY, 'envoy_response_code_class="5"'),
    rate("envoy_http_downstream_rq_xx", _ENVOY),
)

GATEWAY_LATENCY = (
    Query("nginx-ingress", p95(_NGINX_SECONDS), _NGINX),
    Query("istio", p95(_ISTIO_MILLISECONDS, per_second=1000), _ISTIO_GATEWAY),
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
    Query("nginx-ingress", rate(_NGINX_REQUESTS), _NGINX),
    Query("istio", rate("istio_requests_total"), _ISTIO_GATEWAY),
    Query("envoy", rate("envoy_http_downstream_rq_total", _ENVOY), PODS),
    Query("traefik", rate(_TRAEFIK_REQUESTS), PODS),
)

GATEWAY_CONNECTIONS = (
    Query("nginx-ingress", total("nginx_ingress_controller_nginx_process_connections", 'state="active"'), _NGINX),
    Query("envoy", total("envoy_http_downstream_cx_active", _ENVOY), PODS),
    Query("traefik", total("traefik_open_connections"), PODS),
    Query("traefik-2", total("traefik_entrypoint_open_connections"), PODS),
)

BACKEND_LATENCY = (
    Query("istio", p95(_ISTIO_MILLISECONDS, per_second=1000), _ISTIO),
    Query("nginx-ingress", p95(_NGINX_SECONDS), _NGINX_BACKEND_HONORED),
    Query("nginx-ingress-exported", p95(_NGINX_SECONDS), _NGINX_BACKEND),
)

BACKEND_ERRORS = (
    Query("istio", _ISTIO_ERRORS, _ISTIO),
    Query("nginx-ingress", _NGINX_ERRORS, _NGINX_BACKEND_HONORED),
    Query("nginx-ingress-exported", _NGINX_ERRORS, _NGINX_BACKEND),
)

BACKEND_THROUGHPUT = (
    Query("istio", rate("istio_requests_total"), _ISTIO),
    Query("nginx-ingress", rate(_NGINX_REQUESTS), _NGINX_BACKEND_HONORED),
    Query("nginx-ingress-exported", rate(_NGINX_REQUESTS), _NGINX_BACKEND),
)
