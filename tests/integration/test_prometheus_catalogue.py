"""Every built-in query on a real Prometheus, with series as the exporters really write them.

The series are loaded as history, so that the figures are exact. Beside each target stands a workload
whose name begins with the target's, with a thousand times the load: it must never be counted.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devcluster.cluster import DevCluster
from devcluster.components.prometheus import Prometheus
from devcluster.options import PrometheusOptions
from twinops.adapters.prometheus.catalogue import CATALOGUE, PrometheusTexts
from twinops.adapters.prometheus.client import PrometheusBackend
from twinops.api.references import TargetRef
from twinops.api.source.spec import MetricsSourceSpec
from twinops.api.twin.spec import SystemType
from twinops.core.metrics.queries import Query, QueryScope
from twinops.ports.metrics import SourceAccess

SCRAPE = 15
WINDOW = 4 * SCRAPE
MINUTES = 10
RESET = 190
TARGET = TargetRef(name="edge")
POD, SECOND_POD = "edge-7d9f8c6b5d-x2k9z", "edge-7d9f8c6b5d-b4cdf"

TEXTS = PrometheusTexts()


@dataclass(frozen=True)
class Case:
    """One exporter's output and what the built-in query makes of it.

    ``lines`` are exposition format with a rate (``5/s``; ``5/s~`` for a counter that is reset 30 s before the
    end, and before) or a constant as value. ``NS`` is the twin's namespace, ``POD`` and ``POD2`` are the names
    of its pods.
    """

    kind: SystemType
    metric: str
    candidate: str
    lines: str
    expected: float | None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        parts = (self.kind, self.metric, self.candidate, str(self.expected))
        return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower())

    @property
    def candidate_query(self) -> Query:
        [query] = [one for one in TEXTS.candidates(self.kind, self.metric) if one.name == self.candidate]
        return query

    def query(self, where: str = "", **labels: str) -> str:
        return TEXTS.render(self.candidate_query, scope(self.namespace + where, {**self.labels, **labels}))


def scope(namespace: str, labels: dict[str, str]) -> QueryScope:
    return QueryScope(
        namespace, TARGET, WINDOW, labels, replica_labels=["server_name"], cpu_cores=0.5, memory_bytes=200e6
    )


GATEWAY, WEB, DATABASE, CACHE, QUEUE, WORKER = (
    SystemType.API_GATEWAY,
    SystemType.WEB_SERVICE,
    SystemType.DATABASE,
    SystemType.CACHE,
    SystemType.MESSAGE_QUEUE,
    SystemType.WORKER,
)

# 90 of 100 requests within 0.1 s, all within 0.2 s: the 95th percentile lies in the middle of the upper bucket.
SECONDS = """
{name}_bucket{{{labels},le="0.1"}} 9/s
{name}_bucket{{{labels},le="0.2"}} 10/s
{name}_bucket{{{labels},le="+Inf"}} 10/s
{name}_count{{{labels}}} 10/s
"""
MILLISECONDS = SECONDS.replace('"0.1"', '"100"').replace('"0.2"', '"200"')
MICROSECONDS = SECONDS.replace('"0.1"', '"100000"').replace('"0.2"', '"200000"')
IDLE = SECONDS.replace("9/s", "0/s").replace("10/s", "0/s")
P95_MS, OPEN_MS = 150.0, 200.0

PODS = 'namespace="NS",pod="POD",instance="10.0.0.1:80"'
NGINX = (
    'controller_class="k8s.io/ingress-nginx",controller_namespace="NS",controller_pod="POD",host="shop.example",'
    'ingress="shop",method="GET",namespace="elsewhere",path="/",service="web"'
)
NGINX_REQUESTS = f"""
nginx_ingress_controller_requests{{{NGINX},status="200"}} 9/s
nginx_ingress_controller_requests{{{NGINX},status="503"}} 1/s
"""
BACKEND = 'controller_pod="other",ingress="shop",namespace="NS",service="edge"'
BACKEND_EXPORTED = 'namespace="ingress",exported_namespace="NS",exported_service="edge",service="controller"'
ISTIO_SOURCE = (
    'reporter="source",source_workload="edge",source_workload_namespace="NS",'
    'destination_workload="web",destination_workload_namespace="shop"'
)
ISTIO = ISTIO_SOURCE.replace("source", "x").replace("destination_", "destination-")
ISTIO = (
    'reporter="destination",source_workload="x",source_workload_namespace="y",'
    'destination_workload="edge",destination_workload_namespace="NS"'
)


def istio(labels: str) -> str:
    return f"""
istio_requests_total{{{labels},response_code="200"}} 8/s
istio_requests_total{{{labels},response_code="503"}} 1/s
istio_requests_total{{{labels},response_code="0"}} 1/s
"""


ENVOY = f'{PODS},envoy_http_conn_manager_prefix="ingress_http"'
ENVOY_ADMIN = f'{PODS},envoy_http_conn_manager_prefix="admin"'
ENVOY_REQUESTS = f"""
envoy_http_downstream_rq_xx{{{ENVOY},envoy_response_code_class="2"}} 6/s
envoy_http_downstream_rq_xx{{{ENVOY},envoy_response_code_class="5"}} 2/s
envoy_http_downstream_rq_xx{{{ENVOY_ADMIN},envoy_response_code_class="5"}} 100/s
envoy_http_downstream_rq_total{{{ENVOY}}} 8/s
envoy_http_downstream_rq_total{{{ENVOY_ADMIN}}} 100/s
envoy_http_downstream_cx_active{{{ENVOY}}} 33
envoy_http_downstream_cx_active{{{ENVOY_ADMIN}}} 100
"""
TRAEFIK = f'{PODS},entrypoint="websecure",method="GET",protocol="http"'
TRAEFIK_REQUESTS = f"""
traefik_entrypoint_requests_total{{{TRAEFIK},code="200"}} 15/s
traefik_entrypoint_requests_total{{{TRAEFIK},code="502"}} 5/s
"""
CADVISOR = 'id="/kubepods/x",image="shop:1",name="k8s_x",metrics_path="/metrics/cadvisor"'
RESOURCE = 'metrics_path="/metrics/resource"'

# Two pods: 0.30 and 0.10 of 0.5 cores. The first has a sidecar; aggregates and the sandbox are no containers.
CPU_CADVISOR = f"""
container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="main",{CADVISOR}}} 0.25/s
container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="proxy",{CADVISOR}}} 0.05/s
container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="",id="/kubepods/y"}} 0.31/s
container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="POD-SANDBOX",id="/kubepods/z"}} 0/s
container_cpu_usage_seconds_total{{namespace="NS",pod="POD2",container="main",{CADVISOR}}} 0.1/s
""".replace("POD-SANDBOX", "P" + "OD")
CPU_RESOURCE = """
container_cpu_usage_seconds_total{namespace="NS",pod="POD",container="main"} 0.25/s
container_cpu_usage_seconds_total{namespace="NS",pod="POD",container="proxy"} 0.05/s
container_cpu_usage_seconds_total{namespace="NS",pod="POD2",container="main"} 0.1/s
"""
CPU_BOTH = CPU_CADVISOR + CPU_RESOURCE.replace('",container', f'",{RESOURCE},container')
CPU_PODS = """
pod_cpu_usage_seconds_total{namespace="NS",pod="POD"} 0.3/s
pod_cpu_usage_seconds_total{namespace="NS",pod="POD2"} 0.1/s
"""
MEMORY_CADVISOR = f"""
container_memory_working_set_bytes{{namespace="NS",pod="POD",container="main",{CADVISOR}}} 100e6
container_memory_working_set_bytes{{namespace="NS",pod="POD",container="",id="/kubepods/y"}} 101e6
container_memory_working_set_bytes{{namespace="NS",pod="POD2",container="main",{CADVISOR}}} 60e6
"""
MEMORY_PODS = """
pod_memory_working_set_bytes{namespace="NS",pod="POD"} 100e6
pod_memory_working_set_bytes{namespace="NS",pod="POD2"} 60e6
"""

POSTGRES = """
pg_stat_database_xact_commit{LABELS,datid="1",datname="shop"} 18/s
pg_stat_database_xact_rollback{LABELS,datid="1",datname="shop"} 2/s
pg_stat_database_numbackends{LABELS,datid="1",datname="shop"} 7
pg_stat_database_numbackends{LABELS,datid="2",datname="postgres"} 1
"""
MYSQL = """
mysql_global_status_queries{LABELS} 40/s
mysql_global_status_threads_connected{LABELS} 12
"""
REDIS = """
redis_commands_processed_total{LABELS} 100/s
redis_commands_total{LABELS,cmd="get"} 90/s
redis_commands_total{LABELS,cmd="set"} 10/s
redis_commands_failed_calls_total{LABELS,cmd="get"} 1/s
redis_connected_clients{LABELS} 21
"""
MEMCACHED = """
memcached_commands_total{LABELS,command="get",status="hit"} 30/s
memcached_commands_total{LABELS,command="get",status="miss"} 10/s
memcached_current_connections{LABELS} 9
"""
RABBITMQ = """
rabbitmq_global_messages_received_total{LABELS,protocol="amqp091"} 20/s
rabbitmq_global_messages_unroutable_dropped_total{LABELS,protocol="amqp091"} 1/s
rabbitmq_connections{LABELS} 5
"""
KAFKA = """
kafka_server_brokertopicmetrics_messagesin_total{LABELS} 50/s
kafka_server_brokertopicmetrics_messagesin_total{LABELS,topic="orders"} 50/s
kafka_server_brokertopicmetrics_totalproducerequests_total{LABELS} 10/s
kafka_server_brokertopicmetrics_failedproducerequests_total{LABELS} 2/s
kafka_network_requestmetrics_totaltimems{LABELS,request="Produce",quantile="0.95"} 12
kafka_network_requestmetrics_totaltimems{LABELS,request="Produce",quantile="0.99"} 90
kafka_network_requestmetrics_totaltimems{LABELS,request="FetchConsumer",quantile="0.95"} 500
kafka_server_socket_server_metrics_connection_count{LABELS,listener="PLAIN"} 4
"""
KAFKA_EXPORTER = """
kafka_topic_partition_current_offset{LABELS,topic="orders",partition="0"} 3/s
kafka_topic_partition_current_offset{LABELS,topic="orders",partition="1"} 4/s
"""

CASES = [
    Case(WORKER, "cpuUsage", "container-cpu", CPU_CADVISOR, 40),
    Case(WEB, "cpuUsage", "container-cpu", CPU_RESOURCE, 40),
    Case(DATABASE, "cpuUsage", "container-cpu", CPU_BOTH, 40),
    Case(WORKER, "cpuUsage", "pod-cpu", CPU_PODS, 40),
    Case(WORKER, "memoryUsage", "container-memory", MEMORY_CADVISOR, 40),
    Case(WORKER, "memoryUsage", "pod-memory", MEMORY_PODS, 40),
    Case(
        GATEWAY,
        "latencyMs",
        "nginx-ingress",
        SECONDS.format(name="nginx_ingress_controller_request_duration_seconds", labels=f'{NGINX},status="200"'),
        P95_MS,
    ),
    Case(GATEWAY, "errorRate", "nginx-ingress", NGINX_REQUESTS, 0.1),
    Case(GATEWAY, "throughputRps", "nginx-ingress", NGINX_REQUESTS, 10),
    Case(
        GATEWAY,
        "activeConnections",
        "nginx-ingress",
        f'nginx_ingress_controller_nginx_process_connections{{{NGINX},state="active"}} 8\n'
        f'nginx_ingress_controller_nginx_process_connections{{{NGINX},state="waiting"}} 5\n',
        8,
    ),
    Case(
        GATEWAY,
        "latencyMs",
        "istio",
        MILLISECONDS.format(name="istio_request_duration_milliseconds", labels=ISTIO_SOURCE),
        P95_MS,
    ),
    Case(GATEWAY, "errorRate", "istio", istio(ISTIO_SOURCE), 0.2),
    Case(GATEWAY, "throughputRps", "istio", istio(ISTIO_SOURCE), 10),
    Case(GATEWAY, "latencyMs", "envoy", MILLISECONDS.format(name="envoy_http_downstream_rq_time", labels=ENVOY), 150),
    Case(GATEWAY, "errorRate", "envoy", ENVOY_REQUESTS, 0.25),
    Case(GATEWAY, "throughputRps", "envoy", ENVOY_REQUESTS, 8),
    Case(GATEWAY, "activeConnections", "envoy", ENVOY_REQUESTS, 33),
    Case(
        GATEWAY,
        "latencyMs",
        "traefik",
        SECONDS.format(name="traefik_entrypoint_request_duration_seconds", labels=f'{TRAEFIK},code="200"'),
        P95_MS,
    ),
    Case(GATEWAY, "errorRate", "traefik", TRAEFIK_REQUESTS, 0.25),
    Case(GATEWAY, "throughputRps", "traefik", TRAEFIK_REQUESTS, 20),
    Case(
        GATEWAY,
        "activeConnections",
        "traefik",
        f'traefik_open_connections{{{PODS},entrypoint="websecure",protocol="TCP"}} 6\n',
        6,
    ),
    Case(
        GATEWAY,
        "activeConnections",
        "traefik-2",
        f'traefik_entrypoint_open_connections{{{PODS},entrypoint="web",method="GET",protocol="http"}} 4\n',
        4,
    ),
    Case(
        WEB,
        "latencyMs",
        "http-request-duration",
        SECONDS.format(name="http_request_duration_seconds", labels=f'{PODS},code="200"'),
        P95_MS,
    ),
    Case(
        WEB,
        "latencyMs",
        "opentelemetry",
        SECONDS.format(name="http_server_request_duration_seconds", labels=f'{PODS},http_route="/"'),
        P95_MS,
    ),
    Case(
        WEB,
        "latencyMs",
        "opentelemetry-old",
        MILLISECONDS.format(name="http_server_duration_milliseconds", labels=f'{PODS},http_route="/"'),
        P95_MS,
    ),
    Case(
        WEB,
        "latencyMs",
        "micrometer",
        SECONDS.format(name="http_server_requests_seconds", labels=f'{PODS},uri="/"'),
        P95_MS,
    ),
    *(
        Case(
            WEB,
            "errorRate",
            f"http-requests-{label}",
            f'http_requests_total{{{PODS},{label}="200"}} 3/s\nhttp_requests_total{{{PODS},{label}="500"}} 1/s\n',
            0.25,
        )
        for label in ("code", "status", "status_code")
    ),
    *(
        Case(
            WEB,
            "errorRate",
            candidate,
            f'{name}_count{{{PODS},{label}="200"}} 3/s\n{name}_count{{{PODS},{label}="500"}} 1/s\n',
            0.25,
        )
        for candidate, name, label in (
            ("http-request-duration-code", "http_request_duration_seconds", "code"),
            ("http-request-duration-status", "http_request_duration_seconds", "status"),
            ("http-request-duration-status_code", "http_request_duration_seconds", "status_code"),
            ("opentelemetry", "http_server_request_duration_seconds", "http_response_status_code"),
            ("opentelemetry-old", "http_server_duration_milliseconds", "http_status_code"),
            ("micrometer", "http_server_requests_seconds", "status"),
        )
    ),
    *(
        Case(WEB, "throughputRps", candidate, f"{name}{{{PODS}}} 10/s\n", 10)
        for candidate, name in (
            ("http-requests", "http_requests_total"),
            ("http-request-duration", "http_request_duration_seconds_count"),
            ("opentelemetry", "http_server_request_duration_seconds_count"),
            ("opentelemetry-old", "http_server_duration_milliseconds_count"),
            ("micrometer", "http_server_requests_seconds_count"),
        )
    ),
    Case(
        WEB, "latencyMs", "istio", MILLISECONDS.format(name="istio_request_duration_milliseconds", labels=ISTIO), P95_MS
    ),
    Case(WEB, "errorRate", "istio", istio(ISTIO), 0.2),
    Case(WEB, "throughputRps", "istio", istio(ISTIO), 10),
    *(
        case
        for name, labels in (("nginx-ingress", BACKEND), ("nginx-ingress-exported", BACKEND_EXPORTED))
        for case in (
            Case(
                WEB,
                "latencyMs",
                name,
                SECONDS.format(name="nginx_ingress_controller_request_duration_seconds", labels=labels),
                P95_MS,
            ),
            Case(
                WEB,
                "errorRate",
                name,
                f'nginx_ingress_controller_requests{{{labels},status="200"}} 3/s\n'
                f'nginx_ingress_controller_requests{{{labels},status="502"}} 1/s\n',
                0.25,
            ),
            Case(WEB, "throughputRps", name, f'nginx_ingress_controller_requests{{{labels},status="200"}} 3/s\n', 3),
        )
    ),
    *(
        Case(kind, metric, name + suffix, lines.replace("LABELS", where), expected, labels)
        for kind, metric, name, lines, expected in (
            (DATABASE, "throughputRps", "postgres", POSTGRES, 20),
            (DATABASE, "errorRate", "postgres", POSTGRES, 0.1),
            (DATABASE, "activeConnections", "postgres", POSTGRES, 8),
            (DATABASE, "throughputRps", "mysql", MYSQL, 40),
            (DATABASE, "activeConnections", "mysql", MYSQL, 12),
            (CACHE, "throughputRps", "redis", REDIS, 100),
            (CACHE, "errorRate", "redis", REDIS, 0.01),
            (CACHE, "activeConnections", "redis", REDIS, 21),
            (
                CACHE,
                "latencyMs",
                "redis",
                MICROSECONDS.format(name="redis_commands_latencies_usec", labels='LABELS,cmd="get"'),
                P95_MS,
            ),
            (CACHE, "throughputRps", "memcached", MEMCACHED, 40),
            (CACHE, "activeConnections", "memcached", MEMCACHED, 9),
            (QUEUE, "throughputRps", "rabbitmq", RABBITMQ, 20),
            (QUEUE, "errorRate", "rabbitmq", RABBITMQ, 0.05),
            (QUEUE, "activeConnections", "rabbitmq", RABBITMQ, 5),
            (QUEUE, "throughputRps", "kafka", KAFKA, 50),
            (QUEUE, "errorRate", "kafka", KAFKA, 0.2),
            (QUEUE, "latencyMs", "kafka", KAFKA, 12),
            (QUEUE, "activeConnections", "kafka", KAFKA, 4),
        )
        for suffix, where, labels in (
            ("", PODS, {}),
            (
                "-apart",
                'namespace="NS",pod="exporter-1",app_kubernetes_io_name="edge"',
                {"app.kubernetes.io/name": "edge"},
            ),
        )
    ),
    Case(
        QUEUE,
        "throughputRps",
        "kafka-exporter-apart",
        KAFKA_EXPORTER.replace("LABELS", 'namespace="NS",cluster="edge"'),
        7,
        {"cluster": "edge"},
    ),
    # No traffic: nothing failed, and there is no latency.
    Case(WEB, "errorRate", "http-requests-code", f'http_requests_total{{{PODS},code="200"}} 0/s\n', 0),
    Case(GATEWAY, "errorRate", "traefik", f'traefik_entrypoint_requests_total{{{TRAEFIK},code="502"}} 0/s\n', 0.0),
    Case(
        GATEWAY, "errorRate", "envoy", f'envoy_http_downstream_rq_xx{{{ENVOY},envoy_response_code_class="2"}} 4/s\n', 0
    ),
    Case(
        WEB,
        "latencyMs",
        "http-request-duration",
        IDLE.format(name="http_request_duration_seconds", labels=f'{PODS},code="200"'),
        None,
    ),
    # What came between the last scrape and the restart is lost; the rest counts, and the old total does not.
    Case(WEB, "throughputRps", "http-requests", f"http_requests_total{{{PODS}}} 9/s~\n", 6),
    Case(
        WORKER,
        "cpuUsage",
        "pod-cpu",
        CPU_PODS.replace("0.3/s", "0.3/s~"),
        30,
    ),
    # Of 100 requests 2 are counted within the largest finite bound.
    Case(
        WEB,
        "latencyMs",
        "http-request-duration",
        SECONDS.replace("9/s", "0.1/s")
        .replace("10/s", "0.2/s", 1)
        .format(name="http_request_duration_seconds", labels=PODS),
        OPEN_MS,
    ),
    # Of two containers of a pod one job sees both; of two pods with their own paths nothing is a copy.
    Case(
        WEB,
        "throughputRps",
        "http-requests",
        f'http_requests_total{{{PODS},container="app",endpoint="/cart",method="GET"}} 4/s\n'
        f'http_requests_total{{{PODS},container="app",endpoint="/pay",method="GET"}} 4/s\n'
        f'http_requests_total{{{PODS.replace(":80", ":81")},container="admin",endpoint="/pay",method="GET"}} 3/s\n'
        'http_requests_total{namespace="NS",pod="POD2",instance="10.0.0.2:80",container="app",endpoint="/pay",'
        'method="GET"} 4/s\n',
        15,
    ),
    # Cores are parts, not copies.
    Case(
        WORKER,
        "cpuUsage",
        "container-cpu",
        f'container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="main",cpu="0",{CADVISOR}}} 0.2/s\n'
        f'container_cpu_usage_seconds_total{{namespace="NS",pod="POD",container="main",cpu="1",{CADVISOR}}} 0.1/s\n'
        f'container_cpu_usage_seconds_total{{namespace="NS",pod="POD2",container="main",cpu="0",{CADVISOR}}} 0.2/s\n',
        50,
    ),
    # Each address is a server of its own where exporters run apart.
    Case(
        CACHE,
        "activeConnections",
        "redis-apart",
        "".join(
            f'redis_connected_clients{{namespace="NS",pod="exporter-1",instance="redis-{n}:6379",shop="edge"}} {n}\n'
            for n in (5, 6)
        ),
        11,
        {"shop": "edge"},
    ),
    # Two replicas of this exporter tell of the same partitions.
    Case(
        QUEUE,
        "throughputRps",
        "kafka-exporter-apart",
        "".join(
            f'kafka_topic_partition_current_offset{{namespace="NS",pod="exporter-{n}",instance="10.0.0.{n}:9308",'
            f'shop="edge",topic="orders",partition="0"}} 3/s\n'
            for n in (1, 2)
        ),
        3,
        {"shop": "edge"},
    ),
    # Two proxies without the name of a pod are two.
    Case(
        WEB,
        "throughputRps",
        "istio",
        "".join(
            f'istio_requests_total{{{ISTIO},instance="10.0.0.{n}:15020",response_code="200"}} 6/s\n' for n in (1, 2)
        ),
        12,
    ),
    # A counter without the label that this candidate reads says nothing about errors.
    Case(WEB, "errorRate", "http-requests-status", f'http_requests_total{{{PODS},code="500"}} 5/s\n', None),
]


def case_id(case: Case) -> str:
    return f"{case.kind}/{case.metric}/{case.candidate}={case.expected}"


def test_every_candidate_has_a_case() -> None:
    covered = {(case.metric, case.candidate) for case in CASES if case.expected}
    catalogue = {
        (metric, query.name) for sets in CATALOGUE.values() for metric, queries in sets.items() for query in queries
    }

    assert catalogue == covered


def lines_of(case: Case) -> Iterator[tuple[str, str]]:
    """Yield (series, value) of the target and its second pod, as its exporter shows them."""
    for line in filter(None, case.lines.splitlines()):
        series, value = re.sub(r"\bPOD2\b", SECOND_POD, line).rsplit(" ", 1)
        yield series.replace('pod="POD"', f'pod="{POD}"').replace('"NS"', f'"{case.namespace}"'), value


def exposition(case: Case, start: float, end: float) -> Iterator[tuple[str, str]]:
    """Yield (metric name, sample line) of the target, its second pod and the decoy."""
    for series, value in lines_of(case):
        decoy = re.sub(r'"edge(-[0-9a-z]{10}-[0-9a-z]{5})?"', r'"edge-worker\1"', series)
        for text, factor in ((series, 1.0), (decoy, 1000.0)):
            if factor > 1 and text == series:
                continue
            yield from samples(text, value, start, end, factor)


def samples(series: str, value: str, start: float, end: float, factor: float = 1.0) -> Iterator[tuple[str, str]]:
    at = start
    while at <= end:
        shown = float(value.removesuffix("~").removesuffix("/s"))
        if value.endswith("~"):
            shown *= (at - start) % RESET
        elif value.endswith("/s"):
            shown *= at - start
        yield series.split("{", maxsplit=1)[0], f"{series} {shown * factor:.6f} {at:.0f}"
        at += SCRAPE


TWICE = "-twice"
"""Ends the namespaces in which everything is scraped by two monitors of two servers, and was restarted."""


def scraped_twice(case: Case, start: float, end: float) -> Iterator[tuple[str, str]]:
    """Yield (metric name, sample line) of the target as several jobs and servers see it, and as it was before."""
    for plain, value in lines_of(case):
        series = plain.replace(f'"{case.namespace}"', f'"{case.namespace}{TWICE}"')
        for view in (
            'job="checkout",service="checkout",prometheus_replica="a"',
            'job="checkout",service="checkout",prometheus_replica="b"',
            'job="checkout",service="checkout-headless",prometheus_replica="a"',
            'job="monitoring/pods",app="edge",team="shop",prometheus_replica="a"',
            'job="checkout",service="checkout",prometheus_replica="a",__replica__="b"',
            'job="checkout",service="checkout",prometheus_replica="a",server_name="b"',
        ):
            # nginx tells of the service behind it, on its own.
            shown = re.sub(r'service="[^"]*",', "", view) if re.search(r'[{,]service="', series) else view
            yield from samples(series.replace("{", f"{{{shown},"), value, start, end)
        gone = re.sub(r'([{,])(id|name)="[^"]*"', r'\1\2="/old"', series).replace("{", '{container_id="old",')
        if value.endswith("/s"):
            yield from samples(gone, "900", start, end - 30)
        elif not value.endswith("~"):
            yield from samples(gone, str(10 * float(value)), start, end - 60)


@dataclass(frozen=True)
class Loaded:
    prometheus: Prometheus
    end: float


@pytest.fixture(scope="module")
def loaded(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    end = float(int(time.time()) // 60 * 60 - 600)
    known: dict[str, dict[str, None]] = {}
    for case in CASES:
        for told in (exposition, scraped_twice):
            for name, line in told(case, end - MINUTES * 60, end):
                known.setdefault(name, {})[line] = None
    file: Path = tmp_path_factory.mktemp("history") / "exporters.txt"
    file.write_text("\n".join(line for lines in known.values() for line in lines) + "\n# EOF\n")
    prometheus = cluster.start_prometheus("catalogue", PrometheusOptions(backfill=file, scrape_kwok=False))
    yield Loaded(prometheus, end)
    prometheus.process.stop()


@pytest.fixture
async def backend() -> AsyncIterator[PrometheusBackend]:
    backend = PrometheusBackend()
    yield backend
    await backend.aclose()


def source(prometheus: Prometheus) -> SourceAccess:
    return SourceAccess("default", MetricsSourceSpec(url=prometheus.url, scrape_interval_seconds=SCRAPE))


@pytest.mark.parametrize("case", CASES, ids=case_id)
async def test_figure_is_as_the_exporter_shows_it(case: Case, loaded: Loaded, backend: PrometheusBackend) -> None:
    [answer] = await backend.instant(source(loaded.prometheus), [case.query()], loaded.end)

    assert not answer.error
    assert list(answer.values) == ([] if case.expected is None else pytest.approx([case.expected], rel=1e-6, abs=1e-9))


@pytest.mark.parametrize("case", CASES, ids=case_id)
async def test_what_is_scraped_twice_counts_once(case: Case, loaded: Loaded, backend: PrometheusBackend) -> None:
    [answer] = await backend.instant(source(loaded.prometheus), [case.query(TWICE)], loaded.end)

    assert not answer.error
    assert list(answer.values) == ([] if case.expected is None else pytest.approx([case.expected], rel=1e-6, abs=1e-9))


@pytest.mark.parametrize("where", ["", TWICE])
@pytest.mark.parametrize("case", [case for case in CASES if case.metric == "cpuUsage"], ids=case_id)
async def test_pods_behind_the_mean_are_counted(
    case: Case, where: str, loaded: Loaded, backend: PrometheusBackend
) -> None:
    query = case.candidate_query
    text = TEXTS.render(dataclasses.replace(query, template=query.pods), scope(case.namespace + where, {}))

    [answer] = await backend.instant(source(loaded.prometheus), [text], loaded.end)

    assert answer.values == (2,)


NOT_THE_APPLICATIONS = [
    case
    for case in CASES
    if case.expected
    and (
        case.metric in {"cpuUsage", "memoryUsage"} or (case.kind is WEB and case.candidate.startswith(("istio", "ng")))
    )
]


@pytest.mark.parametrize("case", NOT_THE_APPLICATIONS, ids=case_id)
async def test_labels_of_the_application_hide_nothing_that_others_tell_of_it(
    case: Case, loaded: Loaded, backend: PrometheusBackend
) -> None:
    [answer] = await backend.instant(source(loaded.prometheus), [case.query(job="checkout-app")], loaded.end)

    assert answer.values == pytest.approx((case.expected,))


HISTOGRAMS = [case for case in CASES if case.expected and "histogram_quantile" in case.query()]


@pytest.mark.parametrize("case", HISTOGRAMS, ids=case_id)
async def test_quantile_in_the_open_bucket_equals_the_largest(
    case: Case, loaded: Loaded, backend: PrometheusBackend
) -> None:
    promql = case.query()
    top = TEXTS.inspect(promql, stale_after_seconds=120, scrape_interval_seconds=SCRAPE).top

    value, largest = await backend.instant(source(loaded.prometheus), [promql, top], loaded.end)

    assert largest.values == pytest.approx((OPEN_MS,))
    assert (value.values == largest.values) == (case.expected == OPEN_MS)


ALL_QUERIES = [
    pytest.param(query, id=f"{kind}/{metric}/{query.name}")
    for kind, sets in CATALOGUE.items()
    for metric, queries in sets.items()
    for query in queries
]


@pytest.mark.parametrize("query", ALL_QUERIES)
async def test_query_and_its_look_ups_are_accepted(query: Query, loaded: Loaded, backend: PrometheusBackend) -> None:
    promql = TEXTS.render(query, scope("shop", {"region": 'a"\\b'}))
    inspection = TEXTS.inspect(promql, stale_after_seconds=120, scrape_interval_seconds=SCRAPE)
    assert not inspection.warning

    texts = [promql, inspection.freshness, *inspection.presence.values()]
    answers = await backend.instant(source(loaded.prometheus), texts, loaded.end)

    assert [answer.error for answer in answers] == [""] * len(texts)


@pytest.mark.parametrize("case", [case for case in CASES if case.expected is not None], ids=case_id)
async def test_look_ups_find_the_series_behind_the_figure(
    case: Case, loaded: Loaded, backend: PrometheusBackend
) -> None:
    inspection = TEXTS.inspect(case.query(), stale_after_seconds=120, scrape_interval_seconds=SCRAPE)

    freshness, *presence = await backend.instant(
        source(loaded.prometheus), [inspection.freshness, *inspection.presence.values()], loaded.end + 40
    )

    assert freshness.values == (loaded.end,)
    assert any(answer.values for answer in presence)


async def test_queries_that_are_asked_together_are_answered_as_if_alone(
    loaded: Loaded, backend: PrometheusBackend
) -> None:
    texts: dict[str, None] = {}
    for case in CASES:
        for where in ("", TWICE):
            promql = case.query(where)
            read = TEXTS.inspect(promql, stale_after_seconds=120, scrape_interval_seconds=SCRAPE)
            pods = dataclasses.replace(case.candidate_query, template=case.candidate_query.pods or "vector(1)")
            rendered = TEXTS.render(pods, scope(case.namespace + where, case.labels))
            derived = (read.freshness, read.top, read.measured, read.bounds, read.past, *read.presence.values())
            texts |= dict.fromkeys(text for text in (promql, rendered, *derived) if text)
    access = source(loaded.prometheus)

    together = await backend.instant(access, list(texts), loaded.end, built_in=texts.keys())
    alone = await backend.probes.instant(access, list(texts), loaded.end)

    assert len(texts) > 5 * len(CASES)
    assert sum(bool(answer.values) for answer in alone) > len(texts) / 2
    for text, one, other in zip(texts, together, alone, strict=True):
        assert one == other, text
