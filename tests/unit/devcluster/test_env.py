"""What a shell evaluates leads kubectl to the local cluster or nowhere, never to the one that was current before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster.__main__ import NOWHERE

TOOL = Path(__file__).parents[3] / "hack" / "devcluster"

BEFORE = "/home/me/.kube/production"


def evaluated(*command: str) -> tuple[str, int, str]:
    """Evaluate what the command prints; return KUBECONFIG as it is then, the status of `eval`, and what was told."""
    script = 'eval "$("$@")"; echo "$KUBECONFIG $?"'
    done = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", script, "sh", *command],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "KUBECONFIG": BEFORE},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    kubeconfig, status = done.stdout.split()
    return kubeconfig, int(status), done.stderr


def none_is_up(tmp_path: Path) -> list[str]:
    return [sys.executable, str(TOOL), "env", "--dir", str(tmp_path)]


def another_python(tmp_path: Path) -> list[str]:
    """Name one that has none of the packages."""
    return [sys.executable, "-S", str(TOOL), "env", "--dir", str(tmp_path)]


def no_packages_anywhere(tmp_path: Path) -> list[str]:
    copied = tmp_path / "hack" / "devcluster"
    copied.mkdir(parents=True)
    shutil.copy(TOOL / "__main__.py", copied)
    return [sys.executable, "-S", str(copied), "env"]


def a_folder_that_is_none(tmp_path: Path) -> list[str]:
    (tmp_path / "file").touch()
    return [sys.executable, str(TOOL), "env", "--dir", str(tmp_path / "file")]


def bad_usage(_: Path) -> list[str]:
    return [sys.executable, str(TOOL), "env", "--directory"]


@pytest.mark.parametrize(
    "command", [none_is_up, another_python, no_packages_anywhere, a_folder_that_is_none, bad_usage]
)
def test_a_failure_leads_nowhere(command: Callable[[Path], list[str]], tmp_path: Path) -> None:
    kubeconfig, status, told = evaluated(*command(tmp_path))
    assert (kubeconfig, status) == (NOWHERE, 1)
    assert "KUBECONFIG leads nowhere now" in told
