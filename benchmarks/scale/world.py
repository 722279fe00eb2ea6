"""What a run happens in: control plane, Prometheus with a past, exporter, the operator under the chart's rights."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.scale import history
from benchmarks.scale.bulk import create_workloads
from benchmarks.scale.options import Options
from benchmarks.scale.workload import place
from devcluster.cluster import DevCluster
from devcluster.options import ClusterOptions, PrometheusOptions
from devcluster.ports import LOOPBACK, free_port
from devcluster.probes import answers
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support.chart import install_chart, operator_environment

NAMESPACE = "twinops-system"
SCRAPE_SECONDS = 30

_ROOT = Path(__file__).parents[2]
_READY_SECONDS = 60.0
_PROMETHEUS = PrometheusOptions(
    scrape_interval=f"{SCRAPE_SECONDS}s",
    scrape_kwok=False,
    # Blocks stay as promtool made them: merging a week of them into longer ones would count as the twins' cost.
    flags=("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"),
)
_CLUSTER = ClusterOptions(
    kwok=False,
    metrics_server=False,
    prometheus=None,  # started when its past is there
    # The workloads are made as these controllers would leave them: there is no kubelet to make pods ready.
    controller_manager_flags=(
        "--controllers=-deployment-controller,-replicaset-controller,-horizontal-pod-autoscaler-controller",
    ),
)


@dataclass(frozen=True)
class Prepared:
    """How long it took to prepare, in seconds, and how much history there is."""

    history_seconds: float
    history_samples: int
    workloads_seconds: float


class World:
    """Everything that runs, from `with` on; the workloads are there, the twins are not.

    Attributes:
        count: number of workloads.
        cluster: the control plane with Prometheus.
        operator: the operator's process.
        operator_url: where it serves its metrics.
        prepared: what it took.

    Args:
        options: how the bench runs.
        count: number of workloads.
    """

    operator: Supervised
    operator_url: str
    prepared: Prepared

    def __init__(self, options: Options, count: int) -> None:
        self.count = count
        self._options = options
        self.cluster = DevCluster(options.directory / f"{count}", _CLUSTER)

    def __enter__(self) -> Self:
        self.cluster.start()
        try:
            self._prepare()
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.cluster.stop()
        # Gigabytes with many twins; the logs of the processes stay.
        for log in self.audit_logs():
            log.unlink()
        for data in ("etcd", "prometheus"):
            shutil.rmtree(self.cluster.directory / data, ignore_errors=True)

    @property
    def account(self) -> str:
        """User name of the operator at the API server."""
        return f"system:serviceaccount:{NAMESPACE}:{self._account}"

    @property
    def etcd_url(self) -> str:
        """Where etcd serves its metrics."""
        flag = "--listen-client-urls="
        return next(text.removeprefix(flag) for text in self.cluster.etcd.argv if text.startswith(flag))

    def audit_logs(self) -> list[Path]:
        """Return the files of the audit log, those that the API server has closed included."""
        return sorted(self.cluster.directory.glob("audit*.log"))

    def pids(self) -> dict[str, int]:
        """Return the process ids of what is measured; what does not run is left out."""
        processes = {
            "operator": self.operator.process,
            "prometheus": self.cluster.prometheus.process,
            "apiserver": self.cluster.apiserver,
            "etcd": self.cluster.etcd,
            "controller-manager": self.cluster.controller_manager,
        }
        return {name: process.pid for name, process in processes.items() if process.pid and process.alive}

    def _prepare(self) -> None:
        began = time.monotonic()
        samples = self._start_prometheus()
        made = time.monotonic()
        create_workloads(self.cluster, [place(number) for number in range(self.count)])
        self.prepared = Prepared(made - began, samples, time.monotonic() - made)
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        source = {"name": "default", "url": self.cluster.prometheus_url, "scrapeIntervalSeconds": SCRAPE_SECONDS}
        self._account = install_chart(self.cluster, NAMESPACE, {"metricsSource": source})
        self._start_operator(self._options.operator_environment)

    def _start_prometheus(self) -> int:
        week = round(self._options.week_share * self.count)
        past = history.Past(self.count, week, 3600 * self._options.history_hours)
        data = self.cluster.directory / "prometheus" / "data"
        samples = history.make(self.cluster.bin("promtool"), data, past)
        port = free_port()
        exporter = [sys.executable, "-m", "benchmarks.scale.exporter", str(self.count), str(port)]
        self.cluster.supervise("exporter", exporter, cwd=_ROOT)
        prometheus = self.cluster.start_prometheus("prometheus", _PROMETHEUS)
        prometheus.add_target("load", f"{LOOPBACK}:{port}", {"job": "load"})
        return samples

    def _start_operator(self, more: Mapping[str, str]) -> None:
        port = free_port()
        kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, self._account)
        environment = operator_environment(self.cluster, NAMESPACE) | {
            "TWINOPS_LISTEN_HOST": LOOPBACK,
            "TWINOPS_LISTEN_PORT": str(port),
            **more,
        }
        argv = [sys.executable, "-m", "twinops.cli.main", "run", "--kubeconfig", str(kubeconfig)]
        self.operator = self.cluster.supervise("operator", argv, env=environment)
        self.operator_url = f"http://{LOOPBACK}:{port}"
        wait_until(
            lambda: answers(f"{self.operator_url}/readyz"),
            within=_READY_SECONDS,
            what="the operator is ready",
            retry_on=(OSError,),
            on_deadline=self.operator.process.tail,
        )
