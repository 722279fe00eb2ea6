"""The programs a cluster is made of: where their source is and which version is pinned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).with_name("modules")

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")
_KUBERNETES = "1.36.3"


@dataclass(frozen=True)
class Program:
    """A program and how it is built from the Go module that pins it.

    Attributes:
        name: File name of the binary.
        version: Pinned version, without a leading `v`.
        module: Folder of the pinning Go module under `modules/`.
        package: Go package of its `main`.
        variables: String variables set by the linker, by their full names.
        tags: Go build tags.
        version_args: Arguments that make it tell its version.
    """

    name: str
    version: str
    module: str
    package: str
    variables: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    version_args: tuple[str, ...] = ("--version",)

    @property
    def module_dir(self) -> Path:
        """Folder with the go.mod and go.sum that pin it."""
        return MODULES / self.module

    @property
    def build_flags(self) -> tuple[str, ...]:
        """Flags of `go build`."""
        linker = ["-s", "-w", *(f"-X={name}={value}" for name, value in self.variables)]
        tags = [f"-tags={','.join(self.tags)}"] if self.tags else []
        return ("-trimpath", *tags, f"-ldflags={' '.join(linker)}")

    def fits(self, told: str) -> bool:
        """Whether a version text, as programs print it, has our major and minor version."""
        ours, theirs = _VERSION.search(self.version), _VERSION.search(told)
        return bool(ours and theirs and ours.groups() == theirs.groups())


def _kubernetes(name: str, *version_args: str) -> Program:
    major, minor, _patch = _KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    return Program(
        name=name,
        version=_KUBERNETES,
        module="controlplane",
        package=f"k8s.io/kubernetes/cmd/{name}",
        # Unset, the server calls itself v0.0.0 and clients and charts refuse it.
        variables=(
            (f"{version}.gitVersion", f"v{_KUBERNETES}"),
            (f"{version}.gitMajor", major),
            (f"{version}.gitMinor", minor),
        ),
        version_args=version_args or ("--version",),
    )


def _prometheus(name: str) -> Program:
    return Program(
        name=name,
        version="3.13.0",
        module="prometheus",
        package=f"github.com/prometheus/prometheus/cmd/{name}",
        variables=(("github.com/prometheus/common/version.Version", "3.13.0"),),
        # File, HTTP and static discovery stay; the clouds' client libraries go.
        tags=("remove_all_sd",),
    )


ETCD = Program("etcd", "3.7.3", "controlplane", "go.etcd.io/etcd/server/v3")
APISERVER = _kubernetes("kube-apiserver")
CONTROLLER_MANAGER = _kubernetes("kube-controller-manager")
KUBECTL = _kubernetes("kubectl", "version", "--client")
KWOK = Program(
    "kwok",
    "0.8.0",
    "controlplane",
    "sigs.k8s.io/kwok/cmd/kwok",
    variables=(("sigs.k8s.io/kwok/pkg/consts.Version", "0.8.0"),),
)
METRICS_SERVER = Program(
    "metrics-server",
    "0.9.0",
    "controlplane",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
    variables=(("k8s.io/client-go/pkg/version.gitVersion", "v0.9.0"),),
)
PROMETHEUS = _prometheus("prometheus")
PROMTOOL = _prometheus("promtool")
HELM = Program(
    "helm",
    "3.22.0",
    "helm",
    "helm.sh/helm/v3/cmd/helm",
    variables=(
        ("helm.sh/helm/v3/internal/version.version", "v3.22.0"),
        # What `helm template` takes the cluster's version to be.
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "36"),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", "1"),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", "36"),
    ),
    version_args=("version", "--short"),
)

# The largest first: what it shares with the others is then compiled already.
PROGRAMS = (
    APISERVER,
    CONTROLLER_MANAGER,
    KUBECTL,
    ETCD,
    KWOK,
    METRICS_SERVER,
    PROMETHEUS,
    PROMTOOL,
    HELM,
)
BY_NAME = {program.name: program for program in PROGRAMS}
