"""The synthetic workloads: names, series, and what they are worth at any time.

Each has two pods with the series of cAdvisor and of a usual HTTP middleware. The exporter and the history have the
same names and labels, so that the past of a twin is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinops.core.series import Floats

PODS = ("2k8zt", "7vq4m")
REVISION = "6c8d5f7b9d"
"""Hash of the pod template: a pod is named workload-REVISION-POD."""
CPU_CORES = 1.0
MEMORY_BYTES = 256 * 2**20
PER_NAMESPACE = 10
DAY = 86_400.0

_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_BUCKET = "http_request_duration_seconds_bucket"


@dataclass(frozen=True)
class Place:
    """Where a workload is."""

    namespace: str
    name: str

    @property
    def pods(self) -> tuple[str, ...]:
        """Names of its pods."""
        return tuple(f"{self.name}-{REVISION}-{pod}" for pod in PODS)


def place(number: int) -> Place:
    """Return where the workload of this number is."""
    return Place(f"load-{number // PER_NAMESPACE:04d}", f"w-{number:05d}")


@dataclass(frozen=True)
class Column:
    """One series of each pod: its metric, what labels it has besides namespace and pod, whether it is a gauge."""

    metric: str
    labels: str = ""
    gauge: bool = False

    def head(self, where: Place, pod: str) -> str:
        """Return the series in exposition format, without value."""
        return f'{self.metric}{{namespace="{where.namespace}",pod="{pod}"{self.labels}}}'


COLUMNS = (
    Column("container_cpu_usage_seconds_total", ',container="app"'),
    Column("container_memory_working_set_bytes", ',container="app"', gauge=True),
    Column("http_requests_total", ',code="200"'),
    Column("http_requests_total", ',code="500"'),
    *(Column(_BUCKET, f',le="{bound}"') for bound in _BOUNDS),
    Column(_BUCKET, ',le="+Inf"'),
    Column("http_request_duration_seconds_sum"),
    Column("http_request_duration_seconds_count"),
    Column("app_open_connections", gauge=True),
)
"""All series of a pod; those of one metric stand together, as the text formats want it."""


@dataclass(frozen=True)
class Loads:
    """The daily waves of all workloads, each with its own phase and height.

    Attributes:
        phases: share of a day by which each is late, shape (workloads,).
        heights: mean requests a second of each, shape (workloads,).
    """

    phases: Floats
    heights: Floats

    @classmethod
    def of(cls, count: int) -> Loads:
        """Return the waves of so many workloads; the same for the same count."""
        rng = np.random.default_rng(3)
        return cls(rng.random(count), rng.uniform(10, 40, count))

    def first(self, count: int) -> Loads:
        """Return the waves of the first workloads alone."""
        return Loads(self.phases[:count], self.heights[:count])

    def shares(self, times: Floats) -> Floats:
        """Return requests a second as a share of the mean, shape (workloads, times)."""
        return 1 + 0.12 * np.sin(2 * np.pi * (times / DAY + self.phases[:, None]))

    def columns(self, times: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return what each column does at these times: gauges as they are, counters per second.

        Args:
            times: seconds since 1970.
            rng: of the noise.

        Returns:
            One array per entry of `COLUMNS`, shape (pods, times), both pods of a workload together.
        """
        shares = np.repeat(self.shares(times), len(PODS), axis=0)

        def noise(scale: float) -> Floats:
            return np.maximum(1 + scale * rng.standard_normal(shares.shape), 0.01)

        requests = np.repeat(self.heights, len(PODS))[:, None] * shares * noise(0.05) / len(PODS)
        failed = 0.01 * requests * noise(0.3)
        seconds = 0.04 * noise(0.08)
        buckets = [requests * (1 - np.exp(-bound / seconds)) for bound in _BOUNDS]
        cpu = 0.5 * CPU_CORES * shares * noise(0.05)
        memory = 0.6 * MEMORY_BYTES * noise(0.02)
        connections = 3 * requests * noise(0.05)
        return [cpu, memory, requests - failed, failed, *buckets, requests, requests * seconds, requests, connections]
