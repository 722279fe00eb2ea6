"""The control plane: its parts, wired, and the order in which they come up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devcluster.components import metrics_server
from devcluster.components.apiserver import apiserver
from devcluster.components.controller_manager import controller_manager
from devcluster.components.etcd import etcd
from devcluster.components.kwok import kwok, node
from devcluster.errors import ApiError
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.api import ApiClient, Json
    from devcluster.options import ClusterOptions
    from devcluster.process import Process
    from devcluster.site import Site

_READY_SECONDS = 60.0


class ControlPlane:
    """All that makes a cluster answer, and nothing that runs on it.

    Attributes:
        etcd: The process of that name, as are the following.
        apiserver: kube-apiserver.
        controller_manager: kube-controller-manager.
        kwok: The fake kubelets, if wanted.
        kwok_address: Their host and port.
        metrics_server: The source of the HPA's metrics, if wanted.
    """

    def __init__(self, site: Site, options: ClusterOptions, api: ApiClient) -> None:
        """Write keys and configuration; nothing is started yet."""
        self._api = api
        self._nodes = options.nodes if options.kwok else ()
        tokens = site.pki.signing_pair("service-accounts")
        memory = etcd(site)
        self.etcd = memory.process
        self.apiserver = apiserver(site, memory.url, tokens, self._api.ready, options.apiserver_flags)
        self.controller_manager = controller_manager(
            site, tokens, options.downscale_stabilization, options.controller_manager_flags
        )
        kubelets = kwok(site, complete_jobs=options.complete_jobs) if options.kwok else None
        self.kwok = kubelets.process if kubelets else None
        self.kwok_address = kubelets.address if kubelets else ""
        wanted = options.metrics_server and options.kwok
        self._usage = metrics_server.metrics_server(site) if wanted else None
        self.metrics_server = self._usage.process if self._usage else None

    @property
    def processes(self) -> list[Process]:
        """All processes, in the order of their start."""
        parts = (
            self.etcd,
            self.apiserver,
            self.controller_manager,
            self.kwok,
            self.metrics_server,
        )
        return [part for part in parts if part]

    def start(self) -> None:
        """Start everything and wait until nodes are ready and usage is served.

        Raises:
            ProcessError: A part did not come up; the end of its log is told.
            DeadlineError: The parts are up and do not get together.
        """
        self.etcd.launch()
        self.apiserver.launch()  # waits for etcd by itself
        self.etcd.wait_ready()
        self.apiserver.wait_ready()
        # These give up when they find no API server.
        followers = self.processes[2:]
        for process in followers:
            process.launch()
        for name in self._nodes:
            self._api.apply(f"/api/v1/nodes/{name}", node(name))
        for process in followers:
            process.wait_ready()
        self._wait_working()

    def _wait_working(self) -> None:
        self._wait(self._accounts_appear, "the controller manager works")
        self._wait(self._nodes_ready, "the nodes are ready")
        if self._usage:
            metrics_server.register(self._api, self._usage)
            self._wait(lambda: metrics_server.available(self._api), "the metrics API is available")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, within=_READY_SECONDS, what=what, retry_on=(ApiError, OSError))

    def _accounts_appear(self) -> bool:
        return bool(self._api.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def _nodes_ready(self) -> bool:
        nodes = self._api.get("/api/v1/nodes")["items"]
        return sum(map(_is_ready, nodes)) >= len(self._nodes)


def _is_ready(found: Json) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
