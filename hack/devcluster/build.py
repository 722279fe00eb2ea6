"""Builds programs from their pinned Go modules into the cache."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.cache import arriving, build_lock, program_dir
from devcluster.console import Progress, say
from devcluster.errors import BuildError, CommandError
from devcluster.gotool import find_go, go_environment
from devcluster.process import Process
from devcluster.programs import KWOK, Program
from devcluster.text import last_lines
from devcluster.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Iterable

# What kwok does to nodes and pods, and what it measures: files of its module.
KWOK_FILES = (
    "stage/node/fast/node-initialize.yaml",
    "stage/node/heartbeat/node-heartbeat.yaml",
    "stage/pod/fast/pod-ready.yaml",
    "stage/pod/fast/pod-complete.yaml",
    "stage/pod/fast/pod-delete.yaml",
    "metrics/resource/metrics-resource.yaml",
    "metrics/usage/usage-from-annotation.yaml",
)
KWOK_FOLDER = "kustomize"

_POLL_SECONDS = 0.2
_HINT = (
    "hint: the first build needs the network for Go modules, about 6 GB of disk and 4 GB of "
    "memory; it goes on where it stopped when run again"
)


def build(programs: Iterable[Program], cache: Path) -> None:
    """Build what the cache lacks, one program after the other, showing the progress.

    A second run waits for the first and then finds the work done.

    Raises:
        BuildError: `go build` failed.
        BinaryError: There is no Go.
    """
    with build_lock(cache), Warden() as warden:
        missing = [program for program in programs if not program_dir(program, cache).exists()]
        if missing:
            names = ", ".join(program.name for program in missing)
            say(f"to be built, once: {names} (all of them, from nothing: some minutes)")
        for number, program in enumerate(missing, start=1):
            title = f"[{number}/{len(missing)}] building {program.name} {program.version}"
            _build_one(program, cache, Progress(title), warden)


def fetch_kwok_files(cache: Path) -> Path:
    """Return a folder with kwok's own configuration, for a kwok that was not built here."""
    target = cache / "share" / f"kwok-{KWOK.version}"
    if not target.exists():
        with build_lock(cache), Warden() as warden, arriving(target) as folder:
            progress = Progress("fetching kwok's configuration")
            _copy_kwok_files(find_go(cache, KWOK.module_dir), folder, progress, warden)
    return target


def _build_one(program: Program, cache: Path, progress: Progress, warden: Warden) -> None:
    go = find_go(cache, program.module_dir)
    with arriving(program_dir(program, cache)) as folder:
        command = [str(go), "build", *program.build_flags, "-o", str(folder / program.name)]
        try:
            _run([*command, program.package], program, progress, warden)
            if program is KWOK:
                _copy_kwok_files(go, folder, progress, warden)
        except BaseException:
            progress.done("failed")
            raise
    progress.done()


def _copy_kwok_files(go: Path, folder: Path, progress: Progress, warden: Warden) -> None:
    command = [str(go), "mod", "download", "-json", "sigs.k8s.io/kwok"]
    answer = _run(command, KWOK, progress, warden)
    source = Path(json.loads(answer[answer.index("{") :])["Dir"]) / KWOK_FOLDER
    for name in KWOK_FILES:
        target = folder / KWOK_FOLDER / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)


def _run(command: list[str], program: Program, progress: Progress, warden: Warden) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        go = Process(
            "go",
            command,
            log=Path(scratch) / "output",
            warden=warden,
            env=go_environment(),
            cwd=program.module_dir,
        )
        go.launch()
        try:
            while go.alive:
                progress.tick()
                time.sleep(_POLL_SECONDS)
        finally:
            go.kill()
        output = go.log.read_text(errors="replace")
    if go.returncode:
        failure = CommandError(f"go {command[1]}", go.returncode, last_lines(output))
        message = f"{program.name} could not be built: {failure}\n{_HINT}"
        raise BuildError(message) from failure
    return output
