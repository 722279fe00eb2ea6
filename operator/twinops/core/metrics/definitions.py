"""Facts about the standard metrics: unit, range, harmful side and the words people use for them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

CPU = "cpuUsage"
MEMORY = "memoryUsage"
LATENCY = "latencyMs"
ERRORS = "errorRate"
THROUGHPUT = "throughputRps"
CONNECTIONS = "activeConnections"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What is known of a metric by its name.

    Attributes:
        word: what a sentence calls it ("CPU may reach 95%").
        unit: unit of its values, empty where none is known.
        minimum: least possible value, None where unknown.
        maximum: largest possible value, None where unknown or unlimited.
        harmful_above: True when more is worse, False when less is worse, None when either may be.
    """

    word: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    harmful_above: bool | None = None

    def show(self, value: float) -> str:
        """Return the value as people write it: ``95%``, ``120 ms``, ``0.012``, ``1500 req/s``."""
        digits = f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 - four figures
        if self.unit.startswith("%"):
            return f"{value:.0f}%" if abs(value) >= 10 else f"{value:.1f}%"  # noqa: PLR2004 - two figures
        return f"{digits} {self.unit}".rstrip()


STANDARD: MappingProxyType[str, MetricDefinition] = MappingProxyType(
    {
        # Use beyond a request or limit is real, so percentages have no upper end.
        CPU: MetricDefinition("CPU", "%", 0, None, harmful_above=True),
        MEMORY: MetricDefinition("memory", "%", 0, None, harmful_above=True),
        LATENCY: MetricDefinition("latency", "ms", 0, None, harmful_above=True),
        ERRORS: MetricDefinition("error rate", "", 0, 1, harmful_above=True),
        THROUGHPUT: MetricDefinition("throughput", "req/s", 0, None, harmful_above=None),
        CONNECTIONS: MetricDefinition("connections", "", 0, None, harmful_above=True),
    }
)


def facts(metric: str) -> MetricDefinition:
    """Return what is known of a metric; of an unknown name only the name itself."""
    return STANDARD.get(metric) or MetricDefinition(metric)
