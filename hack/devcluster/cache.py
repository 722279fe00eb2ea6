"""The cache folder: one folder per program and build, and the lock over building."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from devcluster.console import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.programs import Program

_KEY_LENGTH = 12
_LOCK_POLL_SECONDS = 0.5
_UNFINISHED = "unfinished-"


def cache_dir() -> Path:
    """Return `$TWINOPS_CACHE`, else `twinops` in the user's cache folder."""
    if own := os.environ.get("TWINOPS_CACHE"):
        return Path(own).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "twinops"


def program_dir(program: Program, cache: Path) -> Path:
    """Return where a build of `program` lies: another pin or flag, another folder."""
    content = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        content.update((program.module_dir / name).read_bytes())
    recipe = (program.package, *program.build_flags, platform.system(), platform.machine())
    content.update("\0".join(recipe).encode())
    key = content.hexdigest()[:_KEY_LENGTH]
    return cache / "bin" / f"{program.name}-{program.version}-{key}"


@contextmanager
def build_lock(cache: Path) -> Iterator[None]:
    """Hold the lock under which the cache is filled; says so while another holds it."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "build.lock")
    waiting: Progress | None = None
    while True:
        try:
            lock.acquire(timeout=_LOCK_POLL_SECONDS)
            break
        except Timeout:
            waiting = waiting or Progress("another run is building the same programs, waiting")
            waiting.tick()
    if waiting:
        waiting.done("its turn is over")
    try:
        _sweep(cache)
        yield
    finally:
        lock.release()


@contextmanager
def arriving(target: Path) -> Iterator[Path]:
    """Give a folder to be filled that becomes `target` when, and only when, all went well.

    To be used under `build_lock`, which also sweeps what a killed run left unfinished.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sweep(cache: Path) -> None:
    for unfinished in cache.glob(f"*/{_UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)
