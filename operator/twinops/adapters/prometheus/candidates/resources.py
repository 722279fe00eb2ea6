"""CPU and memory of pods, from the kubelet's two endpoints.

``/metrics/cadvisor`` gives a series per container plus aggregates (``container=""`` for the pod,
``container="POD"`` for the sandbox) with image labels; ``/metrics/resource`` gives one per container and
``pod_*`` series. Where both are scraped, or one twice, the same container shows more than once, and after a restart
the one that is gone (another ``id`` and ``name``) stands beside the new one for minutes. So each container counts
once, before the sum: by the largest rate, and by the newest sample of memory, as ``shapes`` has it. cAdvisor may split
CPU by cores (``cpu``), which are parts, not copies.

These series come from the kubelet. Labels that say which series are the application's (``spec.source.labels``) are
never on them, nor are they needed: the pods are named.

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
from twinops.core.metrics.queries import Query

_CONTAINERS = "{$(scope),$(containers)}"
"""Selector of the containers whose limits or requests are known: usage and amount must be of the same ones."""

_CONTAINER_MEMORY = f"container_memory_working_set_bytes{_CONTAINERS}"
_POD_MEMORY = "pod_memory_working_set_bytes{$(scope)}"


def _of_cpu(name: str, per_pod: str, cores: str = "$(cpuCores)") -> Query:
    text = f"avg({per_pod}) / {cores} * 100"
    return Query(name, text, PODS, takes_labels=False, pods=f"count({per_pod})")


def _of_memory(name: str, per_pod: str, amount: str = "$(memoryBytes)") -> Query:
    return Query(name, f"avg({per_pod}) / {amount} * 100", PODS, takes_labels=False)


CPU = (
    _of_cpu(
        "container-cpu",
        "sum by (pod) (max by (pod, container) (sum without (cpu) ("
        f"rate(container_cpu_usage_seconds_total{_CONTAINERS}[$(window)]))))",
    ),
    _of_cpu("pod-cpu", "max by (pod) (rate(pod_cpu_usage_seconds_total{$(scope)}[$(window)]))", "$(wholePodCores)"),
)

MEMORY = (
    _of_memory(
        "container-memory",
        f"sum by (pod) ({_CONTAINER_MEMORY} and topk by (pod, container) (1, timestamp({_CONTAINER_MEMORY})))",
    ),
    _of_memory(
        "pod-memory",
        f"max by (pod) ({_POD_MEMORY} and topk by (pod) (1, timestamp({_POD_MEMORY})))",
        "$(wholePodBytes)",
    ),
)
