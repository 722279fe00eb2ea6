"""What can be chosen about a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PrometheusOptions:
    """How a Prometheus runs.

    Attributes:
        scrape_interval: Pause between two scrapes, as Prometheus writes durations.
        scrape_kwok: Whether the fake kubelets' usage of pods is scraped (cluster's own only).
        backfill: OpenMetrics file loaded as history before the start.
        retention: How long samples are kept.
        config: Further top-level configuration, such as `rule_files`.
        flags: Further command-line flags.
    """

    scrape_interval: str = "2s"
    scrape_kwok: bool = True
    backfill: Path | None = None
    retention: str = "1y"
    config: dict[str, object] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterOptions:
    """How a cluster runs.

    Attributes:
        kwok: Whether kwok plays the kubelets; without it no pod becomes ready.
        metrics_server: Whether `kubectl top` and the HPA get usage (needs `kwok`).
        prometheus: How its Prometheus runs, None for none.
        nodes: Names of the fake nodes; a pod template names one as its `nodeName`.
        complete_jobs: Whether kwok marks the pods of Jobs as succeeded without running
            them; False leaves them running, for tests that play the kubelet.
        downscale_stabilization: How long the HPA remembers higher recommendations.
        apiserver_flags: Further flags of kube-apiserver.
        controller_manager_flags: Further flags of kube-controller-manager.
    """

    kwok: bool = True
    metrics_server: bool = True
    prometheus: PrometheusOptions | None = field(default_factory=PrometheusOptions)
    nodes: tuple[str, ...] = ("node-0", "node-1")
    complete_jobs: bool = True
    downscale_stabilization: str = "5s"
    apiserver_flags: tuple[str, ...] = ()
    controller_manager_flags: tuple[str, ...] = ()
