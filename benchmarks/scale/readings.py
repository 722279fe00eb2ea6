"""All that is measured, read at one time: the processes' CPU time and memory, and what they say of themselves."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.scale import exposition, procfs
from benchmarks.scale.exposition import Samples
from benchmarks.scale.procfs import Usage
from benchmarks.scale.world import World

_TIMEOUT_SECONDS = 30.0

_OPERATOR = ("twinops_sync_", "twinops_status_writes_total", "twinops_event_loop_")
"""Beginnings of the operator's metrics that are used; none of them has a series per twin."""
_PROMETHEUS = ("prometheus_http_requests_total", "prometheus_engine_query")
_ETCD = ("etcd_mvcc_db_total_size_in_bytes", "etcd_debugging_mvcc_total_put_size_in_bytes", "etcd_mvcc_total_put_size")


@dataclass(frozen=True)
class Reading:
    """The state of everything at one time.

    Attributes:
        at: seconds since 1970.
        pids: process ids, by process.
        usages: CPU time and memory of each process.
        busy_seconds: CPU time of the whole machine since its start.
        operator: what the operator says; likewise the next two.
        prometheus: of itself, not what it has stored.
        etcd: of itself.
    """

    at: float
    pids: Mapping[str, int]
    usages: Mapping[str, Usage]
    busy_seconds: float
    operator: Samples
    prometheus: Samples
    etcd: Samples

    def cpu_since(self, before: Reading) -> dict[str, float]:
        """Return the CPU seconds of each process since an earlier reading; of a new process, since its start."""
        return {
            name: usage.cpu_seconds
            - (before.usages[name].cpu_seconds if before.pids.get(name) == self.pids[name] else 0.0)
            for name, usage in self.usages.items()
        }


def read(world: World) -> Reading:
    """Read everything now.

    Raises:
        OSError: a part does not answer.
    """
    pids = world.pids()
    return Reading(
        time.time(),
        pids,
        {name: procfs.usage(pid) for name, pid in pids.items()},
        procfs.busy_seconds(),
        _metrics(world.operator_url, _OPERATOR),
        _metrics(world.cluster.prometheus_url, _PROMETHEUS),
        _metrics(world.etcd_url, _ETCD),
    )


def _metrics(url: str, prefixes: tuple[str, ...]) -> Samples:
    with urllib.request.urlopen(f"{url}/metrics", timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - http, loopback
        return exposition.parse(response.read().decode(), prefixes)
