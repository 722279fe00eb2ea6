"""What `up` leaves behind for `env`, `status` and `down`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.cluster import DevCluster

_FILE = "state.json"


@dataclass(frozen=True)
class State:
    """A cluster that is up.

    Attributes:
        pid: Process that holds it.
        api_url: Address of the API server.
        prometheus_url: Address of its Prometheus.
        prometheus_targets: Folder that takes more scrape targets.
        bin_dir: Folder of links to the programs.
        logs_dir: Folder with one log per process.
        processes: Process ids by name.
        environment: Variables for a shell, without PATH.
    """

    pid: int
    api_url: str
    prometheus_url: str
    prometheus_targets: str
    bin_dir: str
    logs_dir: str
    processes: dict[str, int]
    environment: dict[str, str]

    @classmethod
    def of(cls, cluster: DevCluster, pid: int) -> Self:
        """Describe a running cluster."""
        return cls(
            pid=pid,
            api_url=cluster.api_url,
            prometheus_url=cluster.prometheus_url,
            prometheus_targets=str(cluster.prometheus.targets_dir),
            bin_dir=str(cluster.bin_dir),
            logs_dir=str(cluster.logs_dir),
            processes={process.name: process.pid or 0 for process in cluster.processes},
            environment={name: value for name, value in cluster.environment.items() if name != "PATH"},
        )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Return what is written in a cluster's folder, None if it is not up yet."""
        try:
            return cls(**json.loads((directory / _FILE).read_text()))
        except FileNotFoundError:
            return None

    def write(self, directory: Path) -> None:
        """Write it, all at once."""
        unfinished = directory / f"{_FILE}.unfinished"
        unfinished.write_text(json.dumps(asdict(self), indent=2))
        unfinished.replace(directory / _FILE)

    @staticmethod
    def forget(directory: Path) -> None:
        """Remove what is written."""
        (directory / _FILE).unlink(missing_ok=True)
