"""Where one cluster lives: what all of its components share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devcluster.kubeconfig import certificate_user, write_kubeconfig
from devcluster.ports import LOOPBACK, free_port
from devcluster.process import STOP_SECONDS, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from devcluster.binaries import Binaries
    from devcluster.pki import Pki
    from devcluster.warden import Warden

ADMINS = "system:masters"


@dataclass(frozen=True)
class Site:
    """A folder, ports, an authority and programs.

    Attributes:
        directory: Holds everything the cluster writes.
        binaries: The programs to run.
        pki: Whom all components trust.
        warden: Starts the processes.
        api_port: Port of the API server.
    """

    directory: Path
    binaries: Binaries
    pki: Pki
    warden: Warden
    api_port: int = field(default_factory=free_port)

    @property
    def api_url(self) -> str:
        """Address of the API server."""
        return f"https://{LOOPBACK}:{self.api_port}"

    def folder(self, *parts: str) -> Path:
        """Return a folder of the cluster, made if need be."""
        path = self.directory.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def kubeconfig(self, name: str, *, common_name: str = "", organization: str = "") -> Path:
        """Write the kubeconfig of a certificate's owner.

        Args:
            name: Base name of the files.
            common_name: The user; `name` by default.
            organization: The user's group.
        """
        pair = self.pki.issue(name, common_name=common_name, organization=organization)
        return write_kubeconfig(
            self.directory / f"{name}.kubeconfig",
            api_url=self.api_url,
            ca_file=self.pki.ca_file,
            user=certificate_user(pair),
        )

    def process(
        self,
        program: str,
        flags: Sequence[str],
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        grace: float = STOP_SECONDS,
    ) -> Process:
        """Describe a process of one of the programs, with its log under `logs/`."""
        name = name or program
        return Process(
            name,
            [str(self.binaries.path(program)), *flags],
            log=self.folder("logs") / f"{name}.log",
            warden=self.warden,
            env=env,
            ready=ready,
            grace=grace,
        )
