"""kube-controller-manager: Deployments, namespaces, and the HPA controller in a hurry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devcluster.pki import KeyPair
    from devcluster.process import Process
    from devcluster.site import Site

_USER = "system:kube-controller-manager"


def controller_manager(site: Site, tokens: KeyPair, downscale_stabilization: str, more_flags: Sequence[str]) -> Process:
    """Describe the controller manager.

    Args:
        site: The cluster it belongs to.
        tokens: Key pair that signs the tokens of service accounts.
        downscale_stabilization: How long the HPA remembers higher recommendations.
        more_flags: Further flags.
    """
    kubeconfig = site.kubeconfig("kube-controller-manager", common_name=_USER)
    hpa = "--horizontal-pod-autoscaler"
    flags = [
        f"--kubeconfig={kubeconfig}",
        # Without these two, requests for its own metrics would need extra rights.
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={tokens.key}",
        f"--root-ca-file={site.pki.ca_file}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--controllers=*,-node-route-controller,-cloud-node-lifecycle-controller",
        f"{hpa}-sync-period=2s",
        f"{hpa}-initial-readiness-delay=0s",
        # Pods of kwok have usage from their first moment: let it count at once.
        f"{hpa}-cpu-initialization-period=0s",
        f"{hpa}-downscale-stabilization={downscale_stabilization}",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        *more_flags,
    ]
    return site.process("kube-controller-manager", flags)
