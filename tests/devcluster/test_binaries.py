"""Where a program is taken from, with scripts in its place that only tell a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.binaries import Binaries
from devcluster.cache import cache_dir, program_dir
from devcluster.programs import APISERVER, ETCD, HELM, KUBECTL, PROGRAMS, Program

OURS = {
    "etcd": "etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8",
    "kube-apiserver": "Kubernetes v1.36.3",
    "kube-controller-manager": "Kubernetes v1.36.3",
    "kubectl": "Client Version: v1.36.3\nKustomize Version: v5.8.1",
    "kwok": "kwok version v0.8.0 go1.26.8 (linux/amd64)",
    "metrics-server": "v0.9.0",
    "prometheus": "prometheus, version 3.13.0 (branch: , revision: unknown)",
    "promtool": "promtool, version 3.13.0 (branch: , revision: unknown)",
    "helm": "v3.22.0",
}


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


def install(folder: Path, program: Program, version: str) -> Path:
    """Put a script into a folder that tells a version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / program.name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_our_own_builds_tell_fits(program: Program) -> None:
    assert program.fits(OURS[program.name])


@pytest.mark.parametrize(
    ("program", "told", "fits"),
    [
        pytest.param(APISERVER, "Kubernetes v1.36.0", True, id="another patch"),
        pytest.param(APISERVER, "Kubernetes v1.35.3", False, id="an older minor"),
        pytest.param(ETCD, "etcd Version: 3.6.5", False, id="older etcd"),
        pytest.param(HELM, "v4.0.1+g1234", False, id="another major"),
        pytest.param(KUBECTL, "", False, id="says nothing"),
        pytest.param(KUBECTL, "exec format error", False, id="no version in it"),
    ],
)
def test_only_our_major_and_minor_version_fits(program: Program, told: str, *, fits: bool) -> None:
    assert program.fits(told) is fits


def test_assets_come_before_the_path_and_the_path_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert Binaries(cache).find(ETCD) is None

    cached = install(program_dir(ETCD, cache), ETCD, "whatever")
    assert Binaries(cache).find(ETCD) == cached

    on_path = install(tmp_path / "bin", ETCD, OURS["etcd"])
    monkeypatch.setenv("PATH", f"{on_path.parent}:/usr/bin:/bin")
    assert Binaries(cache).find(ETCD) == on_path

    asset = install(tmp_path / "assets", ETCD, OURS["etcd"])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(asset.parent))
    assert Binaries(cache).find(ETCD) == asset


def test_an_unfit_one_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    unfit = install(tmp_path / "bin", ETCD, "etcd Version: 3.4.1")
    monkeypatch.setenv("PATH", f"{unfit.parent}:/usr/bin:/bin")
    cached = install(program_dir(ETCD, cache), ETCD, "whatever")
    assert Binaries(cache).find(ETCD) == cached


def test_kwoks_files_lie_beside_a_kwok_that_was_built(tmp_path: Path) -> None:
    kwok = next(program for program in PROGRAMS if program.name == "kwok")
    folder = program_dir(kwok, tmp_path)
    install(folder, kwok, "whatever")
    (folder / "kustomize").mkdir()
    assert Binaries(tmp_path).kwok_files() == folder / "kustomize"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"TWINOPS_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a", id="our own"),
        pytest.param({"XDG_CACHE_HOME": "/b"}, "/b/twinops", id="the user's cache folder"),
        pytest.param({"HOME": "/home/me"}, "/home/me/.cache/twinops", id="its usual place"),
    ],
)
def test_the_cache_folder(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWINOPS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


def test_another_flag_is_another_place(tmp_path: Path) -> None:
    other = Program(HELM.name, HELM.version, HELM.module, HELM.package, tags=("other",))
    assert program_dir(other, tmp_path) != program_dir(HELM, tmp_path)
