"""From readings to figures: what one sync costs whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.scale.audit import Requests
from benchmarks.scale.exposition import Histogram
from benchmarks.scale.readings import Reading

DAY = 86_400.0
MS = 1000.0
QUERIES = "/api/v1/query"
"""How the handlers of instant and range queries begin in Prometheus' own metrics."""
_PUT_BYTES = r"etcd_(debugging_)?mvcc_total_put_size_in_bytes"
_LOOP_LAG = r"(twinops_event_loop_\w+_seconds)_bucket"


@dataclass(frozen=True)
class Cost:
    """What one process costs.

    Attributes:
        ms_per_sync: CPU time in the window, divided by the syncs in it.
        net_ms_per_sync: without what it uses before there are twins.
        cores: CPU time in the window, divided by its length.
        idle_cores: the same before there were twins.
    """

    ms_per_sync: float
    net_ms_per_sync: float
    cores: float
    idle_cores: float

    @property
    def syncs_per_core(self) -> float:
        """Syncs a second for which a whole core would do, at this cost; nan where nothing was measurable."""
        return MS * (1 - self.idle_cores) / self.net_ms_per_sync if self.net_ms_per_sync > 0 else math.nan


@dataclass(frozen=True)
class Spread:
    """Quantiles of a histogram in seconds, interpolated within its buckets; `most` is the bound of its highest one."""

    p50: float | None
    p99: float | None
    most: float | None


@dataclass(frozen=True)
class Steady:
    """The figures of a steady window.

    Attributes:
        seconds: length of the window.
        syncs: that ended in it, by result.
        costs: by process.
        prometheus_requests: HTTP requests for queries, per sync.
        prometheus_queries: expressions evaluated, per sync.
        api_requests: per sync, by verb and resource.
        api_refused: how many of them were answered with an error other than 404, in the window.
        etcd_bytes_per_twin_day: keys and values put, old revisions included, without what is put idle.
        status_bytes: mean length of what a status write sends.
        object_bytes: mean length of a twin as written.
        status_writes: in the window, by kind.
        lag: from the slot to the beginning of a sync.
        duration: of a sync.
        loop_lag: of the operator's event loop, where it says so.
        resident_bytes: of the operator at the end.
        idle_resident_bytes: of the operator before there were twins.
        machine_cores: use of the whole machine.
        other_cores: of it by processes that are not measured, the exporter and this bench among them.
    """

    seconds: float
    syncs: Mapping[str, float]
    costs: Mapping[str, Cost]
    prometheus_requests: float
    prometheus_queries: float
    api_requests: Mapping[str, float]
    api_refused: int
    etcd_bytes_per_twin_day: float
    status_bytes: float | None
    object_bytes: float | None
    status_writes: Mapping[str, float]
    lag: Spread
    duration: Spread
    loop_lag: Spread | None
    resident_bytes: int
    idle_resident_bytes: int
    machine_cores: float
    other_cores: float

    @property
    def sync_count(self) -> float:
        """Number of syncs, whatever came of them."""
        return sum(self.syncs.values())

    @property
    def syncs_per_second(self) -> float:
        """Syncs a second."""
        return self.sync_count / self.seconds

    @property
    def api_total(self) -> float:
        """Requests to the API server per sync."""
        return sum(self.api_requests.values())

    def bytes_per_twin(self, count: int) -> float:
        """Return what the operator's memory has grown by per twin."""
        return (self.resident_bytes - self.idle_resident_bytes) / count


@dataclass(frozen=True)
class Span:
    """A window: the readings at its two ends."""

    before: Reading
    after: Reading

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.after.at - self.before.at

    @property
    def cores(self) -> dict[str, float]:
        """Use of CPU by process."""
        return {name: cpu / self.seconds for name, cpu in self.after.cpu_since(self.before).items()}

    @property
    def put_bytes_per_second(self) -> float:
        """Keys and values put into etcd."""
        grown = self.after.etcd.since(self.before.etcd)
        return sum(grown.total(name) for name in grown.named(_PUT_BYTES)) / self.seconds


def steady(count: int, idle: Span, window: Span, requests: Requests) -> Steady:
    """Return the figures of a window.

    Args:
        count: number of twins.
        idle: a window before there were twins.
        window: the steady window.
        requests: of the operator to the API server in it.
    """
    operator = window.after.operator.since(window.before.operator)
    prometheus = window.after.prometheus.since(window.before.prometheus)
    results = operator.by("twinops_sync_total", "result")
    # Without a sync nothing can be divided by syncs: the figures are then those of the window.
    syncs = sum(results.values()) or 1.0
    by_handler = prometheus.by("prometheus_http_requests_total", "handler")
    evaluated = prometheus.by("prometheus_engine_query_duration_seconds_count", "slice").get("inner_eval", 0.0)
    puts = max(0.0, window.put_bytes_per_second - idle.put_bytes_per_second)
    loop = [name.removesuffix("_bucket") for name in operator.named(_LOOP_LAG)]
    cores = window.cores
    machine = (window.after.busy_seconds - window.before.busy_seconds) / window.seconds
    return Steady(
        seconds=window.seconds,
        syncs=results,
        costs=_costs(cores, idle.cores, syncs / window.seconds),
        prometheus_requests=sum(n for handler, n in by_handler.items() if handler.startswith(QUERIES)) / syncs,
        prometheus_queries=evaluated / syncs,
        api_requests={name: number / syncs for name, number in requests.counts.most_common()},
        api_refused=requests.refused,
        etcd_bytes_per_twin_day=puts * DAY / count,
        status_bytes=requests.mean_status_bytes,
        object_bytes=requests.mean_object_bytes,
        status_writes=operator.by("twinops_status_writes_total", "kind"),
        lag=spread(operator.histogram("twinops_sync_lag_seconds")),
        duration=spread(operator.histogram("twinops_sync_duration_seconds")),
        loop_lag=spread(operator.histogram(loop[0])) if loop else None,
        resident_bytes=window.after.usages["operator"].resident_bytes,
        idle_resident_bytes=idle.after.usages["operator"].resident_bytes,
        machine_cores=machine,
        other_cores=max(0.0, machine - sum(cores.values())),
    )


def spread(histogram: Histogram) -> Spread:
    """Return the quantiles of a histogram."""
    return Spread(histogram.quantile(0.5), histogram.quantile(0.99), histogram.largest())


def _costs(cores: Mapping[str, float], idle: Mapping[str, float], rate: float) -> dict[str, Cost]:
    return {
        name: Cost(
            ms_per_sync=MS * used / rate,
            net_ms_per_sync=MS * (used - idle.get(name, 0.0)) / rate,
            cores=used,
            idle_cores=idle.get(name, 0.0),
        )
        for name, used in cores.items()
    }


def finite(value: float | None) -> float | None:
    """Return a figure as JSON can hold it: None for an infinite one."""
    return value if value is None or math.isfinite(value) else None
