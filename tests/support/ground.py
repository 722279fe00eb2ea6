"""A control plane whose parts, the operator among them, a test may stop: nobody else works on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster.api import Json
from devcluster.cluster import DevCluster
from devcluster.errors import ApiError
from devcluster.options import ClusterOptions, PrometheusOptions
from devcluster.supervised import Supervised
from devcluster.waiting import wait_until
from support import operator as operator_support
from support.exporter import Exporter, serve
from support.shop import WELL_WITHIN, Shop, open_shop

QUICK_LEASE = {
    "TWINOPS_LEASE_DURATION_SECONDS": "3",
    "TWINOPS_RENEW_DEADLINE_SECONDS": "2",
    "TWINOPS_RETRY_PERIOD_SECONDS": "0.5",
    "TWINOPS_LEASE_REQUEST_TIMEOUT_SECONDS": "1",
}
"""For tests that are not about the lease: a leader that was killed is followed after three seconds, not fifteen."""

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{operator_support.SYSTEM}/leases"


@dataclass
class Ground:
    """The control plane, with the chart installed and no operator running yet."""

    cluster: DevCluster
    exporter: Exporter
    account: str

    def shop(self, namespace: str) -> Shop:
        """Make a namespace with nothing in it."""
        return open_shop(self.cluster, namespace, self.exporter)

    @contextmanager
    def operator(
        self, name: str = "operator", *, lease: dict[str, str] | None = None, restart: bool = True
    ) -> Iterator[Supervised]:
        """Run an operator with credentials of its own."""
        shared = self.cluster.service_account_kubeconfig(operator_support.SYSTEM, self.account)
        kubeconfig = shared.with_name(f"{name}.kubeconfig")
        shutil.copyfile(shared, kubeconfig)
        env = {"TWINOPS_IDENTITY": name, **(lease or {})}
        with self.run(name, kubeconfig, env=env, restart=restart) as running:
            yield running

    @contextmanager
    def run(self, name: str, kubeconfig: Path, *, env: dict[str, str], restart: bool = True) -> Iterator[Supervised]:
        """Run an operator with this kubeconfig."""
        running = operator_support.start(
            self.cluster, self.account, name=name, kubeconfig=kubeconfig, env=env, restart=restart
        )
        try:
            yield running
        finally:
            running.stop()

    def leader(self) -> str:
        """Return the identity that holds the lease now, empty when nobody does."""
        held = [lease["spec"].get("holderIdentity") or "" for lease in self.cluster.api.get(LEASES)["items"]]
        return held[0] if held else ""

    def end_lease(self) -> None:
        """Let nobody wait for a holder that is gone and could not release the lease."""
        for lease in self.cluster.api.get(LEASES)["items"]:
            self.cluster.api.delete(f"{LEASES}/{lease['metadata']['name']}")

    def until_leads(self, name: str, within: float = WELL_WITHIN) -> None:
        """Wait until this operator leads."""
        wait_until(lambda: self.leader() == name, within=within, what=f"{name} leads", retry_on=(ApiError, OSError))

    def hpa_writes(self, shop: Shop) -> list[Json]:
        """Return the operator's writes to HPAs of this namespace that succeeded, from the audit log."""
        return [
            event
            for event in self.cluster.audit_events()
            if event["objectRef"].get("namespace") == shop.namespace
            and event["objectRef"]["resource"] == "horizontalpodautoscalers"
            and is_operator(event)
            and event["responseStatus"]["code"] < 300
        ]


def is_operator(event: Json) -> bool:
    """Tell whether the operator's ServiceAccount sent this."""
    return str(event["user"]["username"]).startswith(f"system:serviceaccount:{operator_support.SYSTEM}:")


@contextmanager
def made(directory: Path) -> Iterator[Ground]:
    """Start a control plane and a Prometheus, and install the chart."""
    options = ClusterOptions(
        prometheus=PrometheusOptions(scrape_interval="1s", scrape_kwok=False), metrics_server=False
    )
    exporter = Exporter()
    with DevCluster(directory, options) as cluster, serve(exporter) as address:
        cluster.prometheus.add_target("exporter", address, {"job": "exporter"})
        yield Ground(cluster, exporter, operator_support.install(cluster))
