"""CPU and memory of pods, from the kubelet's two endpoints.

``/metrics/cadvisor`` gives a series per container plus aggregates (``container=""`` for the pod,
``container="POD"`` for the sandbox) with image labels; ``/metrics/resource`` gives one per container and
``pod_*`` series. Where both are scraped the same container shows twice, hence ``max by`` before the sum.

CPU is a mean over the pods that have a rate now, whether they are ready or not, so the pods are counted by the
very same expression: mean times count is the total, exactly, also while pods come and go. Ready replicas are
not: a new pod is ready before it has a rate, one that is gone has a rate for another window, and for that time
mean times ready replicas would show a demand that never was.

Memory has no such count. A pod's working set is what it has touched so far and what it caches, most of it
whatever the load; more pods hardly lower it, so a total would grow with every correction. Per pod it is what
stays the same.
"""

from __future__ import annotations

from twinops.adapters.prometheus.candidates.shapes import PODS
from twinops.services.ports import Query

_CONTAINERS = '{$(scope),container!="",container!="POD"}'


def _of_cpu(name: str, per_pod: str) -> Query:
    return Query(name, f"avg({per_pod}) / $(cpuCores) * 100", PODS, pods=f"count({per_pod})")


def _of_memory(per_pod: str) -> str:
    return f"avg({per_pod}) / $(memoryBytes) * 100"


CPU = (
    _of_cpu(
        "container-cpu",
        f"sum by (pod) (max by (pod, container) (rate(container_cpu_usage_seconds_total{_CONTAINERS}[$(window)])))",
    ),
    _of_cpu("pod-cpu", "max by (pod) (rate(pod_cpu_usage_seconds_total{$(scope)}[$(window)]))"),
)

MEMORY = (
    Query(
        "container-memory",
        _of_memory(f"sum by (pod) (max by (pod, container) (container_memory_working_set_bytes{_CONTAINERS}))"),
        PODS,
    ),
    Query("pod-memory", _of_memory("max by (pod) (pod_memory_working_set_bytes{$(scope)})"), PODS),
)
