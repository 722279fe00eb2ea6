"""Finds each program: where the user has it already, in the cache, or by building it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.build import KWOK_FOLDER, build, fetch_kwok_files
from devcluster.cache import cache_dir, program_dir
from devcluster.programs import BY_NAME, KWOK, PROGRAMS, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION_SECONDS = 20.0


@dataclass(frozen=True)
class Binaries:
    """The programs of one machine.

    Looked for in `KUBEBUILDER_ASSETS`, then on PATH (there only of our major and minor
    version), then in the cache; what is nowhere is built into the cache.

    Attributes:
        cache: The cache folder.
    """

    cache: Path = field(default_factory=cache_dir)
    _found: dict[str, Path] = field(default_factory=dict, repr=False)

    def ensure(self, programs: Iterable[Program] = PROGRAMS) -> None:
        """Find or build all of `programs`.

        Raises:
            BinaryError: One of them can be neither found nor built.
        """
        missing = [program for program in programs if not self.find(program)]
        if missing:
            build(missing, self.cache)

    def path(self, name: str) -> Path:
        """Return the path of a program, found or built.

        Raises:
            BinaryError: It can be neither found nor built.
            KeyError: No such program is pinned.
        """
        program = BY_NAME[name]
        found = self.find(program)
        if found is None:
            build([program], self.cache)
            found = program_dir(program, self.cache) / name
        return found

    def find(self, program: Program) -> Path | None:
        """Return the path of a program if it need not be built."""
        if program.name not in self._found:
            found = self._elsewhere(program) or self._cached(program)
            if found is None:
                return None
            self._found[program.name] = found
        return self._found[program.name]

    def kwok_files(self) -> Path:
        """Return the folder of kwok's stages and metrics configuration."""
        beside = self.path(KWOK.name).parent / KWOK_FOLDER
        return beside if beside.is_dir() else fetch_kwok_files(self.cache) / KWOK_FOLDER

    def _cached(self, program: Program) -> Path | None:
        path = program_dir(program, self.cache) / program.name
        return path if path.exists() else None

    def _elsewhere(self, program: Program) -> Path | None:
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        for folder in (assets, os.environ.get("PATH")):
            found = shutil.which(program.name, path=folder) if folder else None
            if found and program.fits(_told_version(Path(found), program)):
                return Path(found)
        return None


def _told_version(path: Path, program: Program) -> str:
    try:
        answer = subprocess.run(
            [str(path), *program.version_args],
            env={**os.environ, "KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout + answer.stderr
