"""How much each metric counts in the health score, by system type.

This is the only table of weights. Its reasons:

- What users notice first, errors and latency, makes up at least half the score wherever a system answers
  requests. (Google SRE book, chapter 6: latency, traffic, errors and saturation, watched from the user's side.)
- Saturation counts for what brings the system down: memory for caches and brokers, which evict or block
  when it is full, and connections for databases, which refuse clients when they run out.
- Throughput says more about the users than about the system, except for workers and queues, whose
  throughput is what they are for.

Only proportions matter: the weights of the metrics that are known are scaled so that they add up to 1.
"""

from __future__ import annotations

from types import MappingProxyType

from twinops.api.twin.spec import SystemType
from twinops.core.metrics.definitions import CONNECTIONS, CPU, ERRORS, LATENCY, MEMORY, THROUGHPUT

Weights = MappingProxyType[str, float]

CUSTOM_METRIC_WEIGHT = 0.15
"""Weight of every metric that the table does not name: about that of an average standard metric."""


def _row(*, latency: float, errors: float, cpu: float, memory: float, connections: float, throughput: float) -> Weights:
    return MappingProxyType(
        {
            LATENCY: latency,
            ERRORS: errors,
            CPU: cpu,
            MEMORY: memory,
            CONNECTIONS: connections,
            THROUGHPUT: throughput,
        }
    )


WEIGHTS: MappingProxyType[SystemType, Weights] = MappingProxyType(
    {
        SystemType.API_GATEWAY: _row(
            latency=0.30, errors=0.30, cpu=0.15, memory=0.10, connections=0.10, throughput=0.05
        ),
        SystemType.WEB_SERVICE: _row(
            latency=0.25, errors=0.30, cpu=0.20, memory=0.15, connections=0.05, throughput=0.05
        ),
        SystemType.WORKER: _row(latency=0.05, errors=0.30, cpu=0.20, memory=0.20, connections=0.05, throughput=0.20),
        SystemType.DATABASE: _row(latency=0.30, errors=0.20, cpu=0.15, memory=0.10, connections=0.20, throughput=0.05),
        SystemType.CACHE: _row(latency=0.30, errors=0.20, cpu=0.10, memory=0.25, connections=0.10, throughput=0.05),
        SystemType.MESSAGE_QUEUE: _row(
            latency=0.15, errors=0.20, cpu=0.10, memory=0.25, connections=0.10, throughput=0.20
        ),
        # Nothing is known of the system, so every metric counts the same.
        SystemType.CUSTOM: MappingProxyType({}),
    }
)


def weight(system_type: SystemType, metric: str) -> float:
    """Return a metric's weight, 0..1, before scaling to the metrics that are known."""
    return WEIGHTS[system_type].get(metric, CUSTOM_METRIC_WEIGHT)
