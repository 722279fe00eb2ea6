"""kube-apiserver, with RBAC, the aggregation layer and an audit log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devcluster.pki import KeyPair
    from devcluster.process import Process
    from devcluster.site import Site

AUDIT_POLICY = Path(__file__).parents[1] / "manifests" / "audit-policy.yaml"
FRONT_PROXY = "front-proxy"

# It would wait for its watchers to leave, which they never do.
_GRACE_SECONDS = 1.0
_SERVICE_RANGE = "10.0.0.0/24"
_HOSTS = (
    "localhost",
    LOOPBACK,
    "10.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def audit_log(site: Site) -> Path:
    """Return the file that takes the audit events, one JSON object a line."""
    return site.directory / "audit.log"


def apiserver(
    site: Site,
    etcd_url: str,
    tokens: KeyPair,
    ready: Callable[[], bool],
    more_flags: Sequence[str],
) -> Process:
    """Describe the API server.

    Args:
        site: The cluster it belongs to.
        etcd_url: Client address of etcd.
        tokens: Key pair that signs the tokens of service accounts.
        ready: Whether it is ready.
        more_flags: Further flags.
    """
    server = site.pki.issue("kube-apiserver", hosts=_HOSTS)
    proxy = site.pki.issue(FRONT_PROXY)
    flags = [
        f"--etcd-servers={etcd_url}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={site.api_port}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--client-ca-file={site.pki.ca_file}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={tokens.certificate}",
        f"--service-account-signing-key-file={tokens.key}",
        f"--requestheader-client-ca-file={site.pki.ca_file}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={proxy.certificate}",
        f"--proxy-client-key-file={proxy.key}",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={audit_log(site)}",
        # Endpoints of the "kubernetes" Service may not be loopback addresses.
        "--endpoint-reconciler-type=none",
        *more_flags,
    ]
    return site.process("kube-apiserver", flags, ready=ready, grace=_GRACE_SECONDS)
