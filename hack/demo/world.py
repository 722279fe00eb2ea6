"""The stage set: a control plane, a Prometheus with a past, two shops and the load on them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from demo import manifests, operator, scenario
from demo.history import write_history
from demo.kubelet import Kubelet, ask
from demo.load.measure import Second, Summary
from demo.load.profile import Segment
from devcluster.binaries import Binaries
from devcluster.cluster import DevCluster, programs_of
from devcluster.errors import ApiError, CommandError, ProcessError
from devcluster.options import ClusterOptions
from devcluster.ports import LOOPBACK, free_port
from devcluster.programs import BY_NAME
from devcluster.text import last_lines
from devcluster.waiting import wait_until

Json = dict[str, Any]
Tell = Callable[[str], None]

_MORE_PROGRAMS = ("promtool", "helm")
_START_SECONDS = 40.0
_BACKFILL_SECONDS = 120.0
_WHOLE_PAST = "10000h"


class World:
    """Everything the story needs, from `start` (or `with`) to `stop`.

    Attributes:
        cluster: the control plane and its Prometheus.
        logs: folder with a log per process.

    Args:
        directory: holds everything it writes.
        tell: called with each step of the set-up.
    """

    def __init__(self, directory: Path, tell: Tell) -> None:
        self._tell = tell
        self._tell("looking for the control plane's programs (those that are missing are built, once)")
        # As long as in any cluster; the short one of tests would let replicas go at the first lull.
        options = ClusterOptions(downscale_stabilization="300s")
        binaries = Binaries()
        binaries.ensure([*programs_of(options), *(BY_NAME[name] for name in _MORE_PROGRAMS)])
        self.cluster = DevCluster(directory / "cluster", options, binaries=binaries)
        self.logs = self.cluster.logs_dir
        self._load = f"http://{LOOPBACK}:{free_port()}"
        self.shops = {namespace: f"http://{LOOPBACK}:{free_port()}" for namespace in scenario.NAMESPACES}
        self._kubelet = Kubelet(self.cluster, self.shops)

    def start(self) -> None:
        """Start everything and return when both shops serve the ordinary load.

        Raises:
            DevClusterError: a part did not come up; what had started is stopped.
        """
        try:
            self._tell("starting etcd, kube-apiserver, kube-controller-manager, kwok, metrics-server and Prometheus")
            began = time.time()
            self.cluster.start()
            self._tell("giving Prometheus a week of the shop's history")
            self._backfill(began)
            self._tell("opening two identical shops, with a Deployment and an HPA each")
            self._open_shops()
            self._tell(f"sending {scenario.BASE_RATE:g} requests/s to each of them")
            self._start_load()
            self._tell("installing TwinOps: its chart, and the operator with the chart's rights")
            operator.install(self.cluster)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process; the logs stay."""
        self._kubelet.stop()
        self.cluster.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def check(self) -> None:
        """Look whether every part of the stage still runs.

        Raises:
            ProcessError: one has ended; the end of its log is told.
        """
        for name in (*scenario.NAMESPACES, "load"):
            process = self.cluster.supervised[name].process
            if not process.alive:
                raise ProcessError(f"{name} has ended\n{process.tail()}")

    def apply(self, *objects: Json) -> None:
        """Apply objects as an administrator would, with kubectl."""
        self.cluster.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})
        )

    def get(self, path: str) -> Json:
        """Return an object by its path, `{}` when there is none."""
        try:
            return self.cluster.api.get(path)
        except ApiError as error:
            if error.status == 404:  # noqa: PLR2004 - not found
                return {}
            raise

    def go(self, segments: tuple[Segment, ...]) -> float:
        """Let the load follow these segments from now on; return the time on the load's clock."""
        body = [{"seconds": segment.seconds, "to": segment.to} for segment in segments]
        return float(ask(f"{self._load}/load", body=body)["now"])

    def load_time(self) -> float:
        """Return the time on the load's clock: seconds since its first request."""
        return float(ask(f"{self._load}/now")["now"])

    def report(self, start: float, end: float) -> dict[str, tuple[Summary, list[Second]]]:
        """Return what each shop's customers experienced between two times on the load's clock."""
        answer = ask(f"{self._load}/report?start={start}&end={end}&limit={scenario.LATENCY_LIMIT_MS}")
        return {
            name: (Summary(**shop["summary"]), [Second(**second) for second in shop["seconds"]])
            for name, shop in answer.items()
        }

    def _backfill(self, end: float) -> None:
        prometheus = self.cluster.prometheus
        history = self.cluster.directory / "history.txt"
        write_history(history, end=end)
        prometheus.process.stop()
        # In few large blocks: promtool reads the whole file once per block.
        command = ["tsdb", "create-blocks-from", f"--max-block-duration={_WHOLE_PAST}", "openmetrics"]
        done = subprocess.run(
            [str(self.cluster.bin("promtool")), *command, str(history), str(prometheus.data_dir)],
            capture_output=True,
            text=True,
            timeout=_BACKFILL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise CommandError("promtool tsdb create-blocks-from", done.returncode, last_lines(done.stderr))
        history.unlink()
        prometheus.process.start()

    def _open_shops(self) -> None:
        self.apply(*(manifests.namespace(namespace) for namespace in self.shops))
        for namespace, url in self.shops.items():
            address = url.removeprefix("http://")
            port = address.rpartition(":")[2]
            self._run("shop", "--namespace", namespace, "--port", port, "--seed", str(scenario.SEED), name=namespace)
            self.cluster.prometheus.add_target(namespace, address, {"job": "shop", "instance": namespace})
            self.apply(manifests.deployment(namespace), manifests.autoscaler(namespace))
        wait_until(self._listening, within=_START_SECONDS, what="the shops listen", retry_on=(OSError,))
        self._kubelet.start()
        wait_until(self._open, within=_START_SECONDS, what="the first pods of the shops are ready")
        self._kubelet.start_seconds = scenario.POD.start_seconds

    def _listening(self) -> bool:
        return all(ask(f"{url}/-/cpu") is not None for url in self.shops.values())

    def _open(self) -> bool:
        return all(len(ask(f"{url}/-/cpu")) == scenario.AUTOSCALER.minimum for url in self.shops.values())

    def _start_load(self) -> None:
        shops = [argument for name, url in self.shops.items() for argument in ("--shop", f"{name}={url}/")]
        settings = {
            "--port": self._load.rpartition(":")[2],
            "--rate": scenario.BASE_RATE,
            "--timeout": scenario.CLIENT_TIMEOUT_SECONDS,
            "--seed": scenario.SEED,
        }
        flags = [str(part) for setting in settings.items() for part in setting]
        self._run("load", *flags, *shops, name="load")
        wait_until(
            lambda: self.load_time() > 0, within=_START_SECONDS, what="the load generator runs", retry_on=(OSError,)
        )

    def _run(self, module: str, *arguments: str, name: str) -> None:
        # A part of the stage that breaks ends the story; it is not mended in secret.
        self.cluster.supervise(name, [sys.executable, "-m", f"demo.{module}", *arguments], restart=False)
