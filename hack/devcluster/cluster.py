"""The cluster as tests and demonstrations use it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self, TypeVar

from devcluster.access import Access
from devcluster.binaries import Binaries
from devcluster.components.kwok import metrics_path
from devcluster.components.prometheus import Prometheus
from devcluster.controlplane import ControlPlane
from devcluster.errors import DevClusterError
from devcluster.options import ClusterOptions, PrometheusOptions
from devcluster.pki import Pki
from devcluster.process import Process
from devcluster.programs import BY_NAME, PROGRAMS, Program
from devcluster.site import Site
from devcluster.supervised import Supervised
from devcluster.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

# What an earlier cluster in the same folder left: a cluster always begins empty.
_LEFTOVERS = ("audit.log", "bin", "etcd", "kubeconfigs", "logs", "pki", "prometheus")
_PROMETHEUS = "prometheus"


class DevCluster(Access):
    """A control plane on this machine, from `start` (or `with`) to `stop`.

    Attributes:
        directory: Holds everything it writes.
        options: How it runs.
        control_plane: Its processes, to stop, pause and start them.
        supervised: What `supervise` started, by name.
    """

    def __init__(
        self, directory: Path, options: ClusterOptions | None = None, *, binaries: Binaries | None = None
    ) -> None:
        """Find or build the programs, write keys and configuration; start nothing yet.

        Args:
            directory: Holds everything it writes; an earlier cluster there is overwritten.
            options: How it runs.
            binaries: Where its programs come from.
        """
        self.directory = directory.resolve()
        self.options = options or ClusterOptions()
        self.supervised: dict[str, Supervised] = {}
        self._prometheuses: dict[str, Prometheus] = {}
        binaries = binaries or Binaries()
        binaries.ensure(programs_of(self.options))
        _clear(self.directory)
        self._warden = Warden()
        super().__init__(Site(self.directory, binaries, Pki.create(self.directory / "pki"), self._warden))
        self.control_plane = ControlPlane(self._site, self.options, self.api)

    @property
    def etcd(self) -> Process:
        """The process of that name, as are the following."""
        return self.control_plane.etcd

    @property
    def apiserver(self) -> Process:
        """kube-apiserver."""
        return self.control_plane.apiserver

    @property
    def controller_manager(self) -> Process:
        """kube-controller-manager."""
        return self.control_plane.controller_manager

    @property
    def kwok(self) -> Process:
        """The fake kubelets."""
        return _present(self.control_plane.kwok, "kwok")

    @property
    def metrics_server(self) -> Process:
        """The source of the HPA's metrics."""
        return _present(self.control_plane.metrics_server, "metrics_server")

    @property
    def prometheus(self) -> Prometheus:
        """The cluster's own Prometheus."""
        return _present(self._prometheuses.get(_PROMETHEUS), "prometheus")

    @property
    def prometheus_url(self) -> str:
        """Address of the cluster's own Prometheus."""
        return self.prometheus.url

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to work with the cluster, on top of the inherited environment."""
        address = {"TWINOPS_PROMETHEUS_URL": self.prometheus_url} if self.options.prometheus else {}
        return {**super().environment, **address}

    @property
    def processes(self) -> list[Process]:
        """All processes of the cluster itself."""
        others = [prometheus.process for prometheus in self._prometheuses.values()]
        return [*self.control_plane.processes, *others]

    def start(self) -> None:
        """Start everything and return when it works.

        Raises:
            DevClusterError: A part did not come up; what had started is stopped.
        """
        try:
            self._link_binaries()
            if self.options.prometheus:
                self._new_prometheus(_PROMETHEUS, self.options.prometheus).process.launch()
            self.control_plane.start()
            if self.options.prometheus:
                self.prometheus.process.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything; the logs stay."""
        try:
            for supervised in self.supervised.values():
                supervised.stop()
            # Nothing is kept, so nothing needs to end in good order.
            for process in reversed(self.processes):
                process.kill()
        finally:
            self._warden.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start_prometheus(self, name: str, options: PrometheusOptions | None = None) -> Prometheus:
        """Start one more Prometheus, with targets and data of its own.

        Args:
            name: Of its log and folder; may be used once.
            options: How it runs.
        """
        prometheus = self._new_prometheus(name, options or PrometheusOptions())
        prometheus.process.start()
        return prometheus

    def supervise(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        restart: bool = True,
    ) -> Supervised:
        """Run a program, such as the operator, until the cluster stops.

        Args:
            name: Of its log, `logs/NAME.log`; may be used again once it was stopped.
            argv: Program and arguments.
            env: Variables added to the inherited environment; `KUBECONFIG` leads nowhere
                unless it is given here.
            cwd: Working directory.
            restart: Whether it is started again when it ends, with a short backoff.
        """
        log = self.logs_dir / f"{name}.log"
        process = Process(name, argv, log=log, warden=self._warden, env=env, cwd=cwd)
        self.supervised[name] = supervised = Supervised(process, restart=restart)
        return supervised

    def _new_prometheus(self, name: str, options: PrometheusOptions) -> Prometheus:
        if name in self._prometheuses:
            raise DevClusterError(f"there is a Prometheus {name} already")
        self._prometheuses[name] = prometheus = Prometheus(self._site, name, options)
        if options.scrape_kwok and self.options.kwok:
            for node in self.options.nodes:
                labels = {"job": "kubelet", "node": node, "__metrics_path__": metrics_path(node)}
                prometheus.add_target(f"kubelet-{node}", self.control_plane.kwok_address, labels)
        return prometheus

    def _link_binaries(self) -> None:
        for program in PROGRAMS:
            if found := self._site.binaries.find(program):
                (self.bin_dir / program.name).symlink_to(found)


def programs_of(options: ClusterOptions) -> list[Program]:
    """Return the programs that a cluster with these options needs."""
    names = ["kube-apiserver", "kube-controller-manager", "kubectl", "etcd"]
    if options.kwok:
        names += ["kwok"]
    if options.kwok and options.metrics_server:
        names += ["metrics-server"]
    if options.prometheus:
        names += ["prometheus"]
    return [BY_NAME[name] for name in names]


def _clear(directory: Path) -> None:
    for name in _LEFTOVERS:
        leftover = directory / name
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)


def _present(part: T | None, option: str) -> T:
    if part is None:
        raise DevClusterError(f"the cluster runs without it: see ClusterOptions.{option}")
    return part
