"""CPU and memory of pods, from the kubelet's two endpoints.

``/metrics/cadvisor`` gives a series per container plus aggregates (``container=""`` for the pod,
``container="POD"`` for the sandbox) with image labels; ``/metrics/resource`` gives one per container and
``pod_*`` series. Where both are scraped the same container shows twice, hence ``max by`` before the sum.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import PODS
from twinops.services.ports import Query

_CONTAINERS = '{$(scope),container!="",container!="POD"}'


def _of_cpu(per_pod: str) -> str:
    return f"avg({per_pod}) / $(cpuCores) * 100"


def _of_memory(per_pod: str) -> str:
    return f"avg({per_pod}) / $(memoryBytes) * 100"


CPU = (
    Query(
        "container-cpu",
        _of_cpu(
            f"sum by (pod) (max by (pod, container) (rate(container_cpu_usage_seconds_total{_CONTAINERS}[$(window)])))"
        ),
        PODS,
    ),
    Query("pod-cpu", _of_cpu("max by (pod) (rate(pod_cpu_usage_seconds_total{$(scope)}[$(window)]))"), PODS),
)

MEMORY = (
    Query(
        "container-memory",
        _of_memory(f"sum by (pod) (max by (pod, container) (container_memory_working_set_bytes{_CONTAINERS}))"),
        PODS,
    ),
    Query("pod-memory", _of_memory("max by (pod) (pod_memory_working_set_bytes{$(scope)})"), PODS),
)
