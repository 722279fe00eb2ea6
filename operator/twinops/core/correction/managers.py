"""Field managers by how they write: only when somebody starts a tool, or by themselves.

Where a client does not name its manager the API server takes the first part of its User-Agent, and client-go puts
the base name of the binary there: ``helm-v3.12.0``, ``kubectl.exe``, ``terraform-provider-helm_v2.12.1_x5``. So
names are compared without the version and the platform that follow them. The table in docs/corrections.md
has the reason for each one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

ARGO: Final = frozenset({"argocd-controller", "argocd-application-controller", "argocd-server"})
FLUX: Final = frozenset({"kustomize-controller", "helm-controller", "flux", "flux-client-side-apply"})

HPA_CONTROLLER: Final = "kube-controller-manager"
KEDA: Final = frozenset({"keda", "keda-operator"})

_TOOLS: Final = frozenset(
    {
        *("kubectl", "oc", "before-first-apply"),
        *("helm", "tiller", "go-http-client", "werf", "nelm"),
        *("terraform", "hashicorp", "tofu", "opentofu", "pulumi"),
        *("mozilla", "dashboard", "dashboard-api", "kubernetes-dashboard", "headlamp", "headlamp-server", "octant"),
        *("k9s", "lens", "openlens", "freelens", "lens-k8s-proxy", "kubenav"),
        *("curl", "wget", "velero", "velero-server"),
    }
)
"""Names that may be followed by a version and a platform, and by nothing else."""

_FAMILIES: Final = ("kubectl-", "kubectl_", "pulumi-", "terraform-provider-")
"""Beginnings that may be followed by anything but a word that names a controller."""

_CONTROLLER: Final = re.compile(r"controllers?|operator|manager|reconciler|agent|daemon|autoscaler")
_VERSION: Final = re.compile(r"v?\d+|x\d+|(rc|alpha|beta|dev|gke|eks|aks|k3s|rke2r)\d*|g?[0-9a-f]{7,40}|stable|latest")
_PLATFORM: Final = re.compile(
    r"linux|darwin|macos|windows|freebsd|amd64|arm64|armv?\d?|aarch64|386|x86|64|s390x|ppc64le|exe|bin|real|static"
)
_BETWEEN: Final = re.compile(r"[-_.+~]+")


def one_shot(manager: str, further: Iterable[str] = ()) -> bool:
    """Tell whether a manager writes only when somebody starts it. Unknown ones do not.

    Args:
        manager: name of the field manager.
        further: patterns an administrator has added, ``*`` and ``?`` as in file names. They never reach Argo CD
            and Flux.
    """
    if manager in ARGO | FLUX:
        return False
    return _known(manager.casefold()) or any(fnmatchcase(manager, pattern) for pattern in further)


def _known(name: str) -> bool:
    if any(name == tool or (name.startswith(tool) and _versioned(name.removeprefix(tool))) for tool in _TOOLS):
        return True
    family = any(name.startswith(beginning) and name != beginning for beginning in _FAMILIES)
    return family and not any(_CONTROLLER.fullmatch(word) for word in _BETWEEN.split(name))


def _versioned(rest: str) -> bool:
    """Tell whether what follows a tool's name is only a version or a platform."""
    if not (rest[0].isdigit() or _BETWEEN.match(rest) or re.match(r"v\d", rest)):
        return False
    words = [word for word in _BETWEEN.split(rest) if word]
    return all(_VERSION.fullmatch(word) or _PLATFORM.fullmatch(word) for word in words)
