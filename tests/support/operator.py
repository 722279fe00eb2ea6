"""The operator as users run it: its own process, under the chart's ServiceAccount."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from devcluster.cluster import DevCluster
from devcluster.supervised import Supervised
from support.chart import install_chart, operator_environment

SYSTEM = "twinops-system"
SCRAPE_SECONDS = 1


def install(cluster: DevCluster, namespace: str = SYSTEM, *, url: str | None = None) -> str:
    """Install the chart into its own namespace with a MetricsSource named default; returns the ServiceAccount."""
    cluster.kubectl("create", "namespace", namespace)
    source = {"name": "default", "url": url or cluster.prometheus_url, "scrapeIntervalSeconds": SCRAPE_SECONDS}
    return install_chart(cluster, namespace, {"metricsSource": source})


def start(
    cluster: DevCluster,
    account: str,
    namespace: str = SYSTEM,
    *,
    name: str = "operator",
    restart: bool = True,
    env: dict[str, str] | None = None,
    kubeconfig: Path | None = None,
) -> Supervised:
    """Start the operator under this ServiceAccount; it is started again as a kubelet would."""
    kubeconfig = kubeconfig or cluster.service_account_kubeconfig(namespace, account)
    environment = operator_environment(cluster, namespace)
    environment |= {"TWINOPS_LISTEN_HOST": "127.0.0.1", "TWINOPS_LISTEN_PORT": "0", "TWINOPS_LOG_FORMAT": "console"}
    # Tests ask for many syncs of one twin, one after the other.
    environment["TWINOPS_SYNC_SPACING_SECONDS"] = "0.2"
    argv = [sys.executable, "-m", "twinops.cli.main", "run", "--kubeconfig", str(kubeconfig)]
    return cluster.supervise(name, argv, env=environment | (env or {}), restart=restart)


def twin(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """Build a DigitalTwin."""
    return {
        "apiVersion": "twinops.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def condition(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return one condition of a twin; empty when it does not stand."""
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind), {})
