"""What one does to a cluster that runs: commands, accounts, usage, and its audit log."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from devcluster.api import ApiClient
from devcluster.audit import read_audit_log
from devcluster.components.apiserver import audit_log
from devcluster.components.kwok import USAGE_CPU, USAGE_MEMORY
from devcluster.errors import CommandError
from devcluster.kubeconfig import write_kubeconfig
from devcluster.site import ADMINS, Site

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.api import Json

_KUBECTL_SECONDS = 60.0
_TOKEN_SECONDS = 24 * 3600


class Access:
    """An administrator's hands on a cluster.

    Attributes:
        kubeconfig: The administrator's.
        api: A small client of the API server, as administrator.
    """

    def __init__(self, site: Site) -> None:
        """Write the administrator's certificate and kubeconfig."""
        self._site = site
        self.kubeconfig = site.kubeconfig("admin", organization=ADMINS)
        probe = site.pki.issue("devcluster", organization=ADMINS)
        self.api = ApiClient(site.api_url, site.pki.ca_file, probe)

    @property
    def api_url(self) -> str:
        """Address of the API server."""
        return self._site.api_url

    @property
    def ca_file(self) -> Path:
        """Certificate authority of the API server."""
        return self._site.pki.ca_file

    @property
    def bin_dir(self) -> Path:
        """Folder of links to the programs."""
        return self._site.folder("bin")

    @property
    def logs_dir(self) -> Path:
        """Folder with one log per process."""
        return self._site.folder("logs")

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to work with the cluster, on top of the inherited environment."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self._site.folder("kubectl-cache")),
            "KUBERC": "off",
            "PATH": f"{self.bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def bin(self, name: str) -> Path:
        """Return the path of a program (`kubectl`, `helm`, `promtool`…), built if need be."""
        return self._site.binaries.path(name)

    def kubectl(self, *args: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
        """Run kubectl and return its standard output.

        Args:
            args: Its arguments.
            stdin: Text for its standard input, for `-f -`.
            kubeconfig: On whose behalf; the administrator's by default.

        Raises:
            CommandError: It failed; `stderr` says why.
        """
        user = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
        done = subprocess.run(
            [str(self.bin("kubectl")), *args],
            input=stdin,
            env={**os.environ, **self.environment, **user},
            capture_output=True,
            text=True,
            timeout=_KUBECTL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"kubectl {' '.join(args)}", done.returncode, done.stderr)
        return done.stdout

    def service_account_kubeconfig(self, namespace: str, name: str, *, seconds: int = _TOKEN_SECONDS) -> Path:
        """Write a kubeconfig with a fresh token of a service account, and return its path.

        Args:
            namespace: Of the service account, and of the kubeconfig's context.
            name: The service account; it must exist.
            seconds: For how long the token is valid (600 at least).
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = self.api.create(path, {"spec": {"expirationSeconds": seconds}})
        return write_kubeconfig(
            self._site.folder("kubeconfigs") / f"{namespace}.{name}.kubeconfig",
            api_url=self.api_url,
            ca_file=self.ca_file,
            user={"token": request["status"]["token"]},
            namespace=namespace,
        )

    def audit_events(self, *, reads: bool = False) -> list[Json]:
        """Return the audit log: all writes, and what service accounts were denied.

        Args:
            reads: Whether granted reads of service accounts are wanted too.
        """
        return read_audit_log(audit_log(self._site), reads=reads)

    def set_pod_usage(self, namespace: str, pod: str, *, cpu: str = "", memory: str = "") -> None:
        """Let each container of a pod use so much from now on, as quantities (`250m`, `64Mi`)."""
        usage = {USAGE_CPU: cpu, USAGE_MEMORY: memory}
        annotations = {name: amount for name, amount in usage.items() if amount}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        self.api.merge(path, {"metadata": {"annotations": annotations}})
