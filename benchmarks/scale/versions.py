"""Which versions were measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

from devcluster.programs import BY_NAME
from twinops import __version__

_ROOT = Path(__file__).parents[2]
_MEASURED = ("kube-apiserver", "etcd", "prometheus")


def versions() -> dict[str, str]:
    """Return the version of each program, and the commit that is checked out, where there is one."""
    found = {"twinops": f"{__version__} ({_commit()})"}
    return found | {name: BY_NAME[name].version for name in _MEASURED}


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the git of whoever works here
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "no commit"
