"""From the moment all twins are applied until each has a status, is ready and is predicting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scale import objects, procfs
from benchmarks.scale.bulk import create_twins
from benchmarks.scale.options import Options
from benchmarks.scale.workload import place
from benchmarks.scale.world import World
from devcluster.errors import ApiError

Json = Mapping[str, Any]

_PAGE = 500
_LOOKS_PER_SECOND = 300
"""Twins read a second while waiting, at most: reading them costs the API server what is measured here."""
_SETTLE_TIMES = 10
"""So many times is the operator given to settle."""
_SETTLED_SHARE, _SETTLED_CORES = 0.1, 0.02
"""It has when its use of CPU differs from that in the time before by less than this share, or so much of a core."""


@dataclass(frozen=True)
class Look:
    """How many twins have come how far, so many seconds after the first was applied."""

    seconds: float
    applied: int
    with_status: int
    ready: int
    predicting: int


@dataclass(frozen=True)
class Start:
    """How the start went.

    Attributes:
        applied_seconds: until the API server had taken all twins.
        seconds: until all had a status, were ready, were predicting; what was not reached is left out.
        looks: what was seen meanwhile.
        cpu_seconds: of operator, Prometheus and API server, meanwhile.
    """

    applied_seconds: float
    seconds: Mapping[str, float]
    looks: list[Look]
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)

    def short_of(self, count: int) -> list[str]:
        """Return what was not reached, in words."""
        last = self.looks[-1]
        return [
            f"{milestone}: {getattr(last, milestone)} of {count} twins after {last.seconds:.0f} s"
            for milestone in MILESTONES
            if milestone not in self.seconds
        ]


MILESTONES = ("with_status", "ready", "predicting")


def apply_and_watch(world: World, options: Options) -> Start:
    """Apply all twins at once and watch them until all are predicting, or patience ends.

    Raises:
        ApiError: a twin was refused.
    """
    places = [place(number) for number in range(world.count)]
    before = _cpu(world)
    reached: dict[str, float] = {}
    looks: list[Look] = []
    began = time.monotonic()
    with ThreadPoolExecutor(1) as executor:
        applying = executor.submit(_seconds_of, lambda: create_twins(world.cluster, places, options.interval))
        while len(reached) < len(MILESTONES) and time.monotonic() - began < options.patience:
            if (look := _look(world, began)) is not None:
                looks.append(look)
                for milestone in MILESTONES:
                    if getattr(look, milestone) >= world.count:
                        reached.setdefault(milestone, look.seconds)
            _raise_failure(applying)
            time.sleep(max(1.0, world.count / _LOOKS_PER_SECOND))
        applied = applying.result()
    after = _cpu(world)
    return Start(applied, reached, looks, {name: after[name] - before.get(name, 0.0) for name in after})


def settle(world: World, seconds: float) -> bool:
    """Wait until the operator has learned what it learns in the background: until it uses as much CPU as before.

    Args:
        world: where it runs.
        seconds: length of the times that are compared.

    Returns:
        Whether it came to that within ten such times.
    """
    last = _cores(world, seconds)
    for _ in range(_SETTLE_TIMES):
        now = _cores(world, seconds)
        if abs(now - last) < max(_SETTLED_CORES, _SETTLED_SHARE * last):
            return True
        last = now
    return False


def _cores(world: World, seconds: float) -> float:
    before = _cpu(world).get("operator", 0.0)
    time.sleep(seconds)
    return (_cpu(world).get("operator", 0.0) - before) / seconds


def _cpu(world: World) -> dict[str, float]:
    return {name: procfs.usage(pid).cpu_seconds for name, pid in world.pids().items()}


def _look(world: World, began: float) -> Look | None:
    """Return how far the twins are, None while the API server is too busy to say."""
    applied = 0
    reached = dict.fromkeys(MILESTONES, 0)
    try:
        for twin in twins(world):
            applied += 1
            status = twin.get("status") or {}
            conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
            reached["with_status"] += bool(status)
            reached["ready"] += conditions.get("Ready") == "True"
            reached["predicting"] += conditions.get("PredictionsAvailable") == "True"
    except (ApiError, OSError):
        return None
    return Look(round(time.monotonic() - began, 1), applied, **reached)


def twins(world: World) -> Iterator[Json]:
    """Yield all twins as the API server has them, read in pages."""
    token = ""
    while True:
        page = world.cluster.api.get(f"{objects.TWINS}?limit={_PAGE}{token and f'&continue={token}'}")
        yield from page["items"]
        token = page["metadata"].get("continue", "")
        if not token:
            return


def _seconds_of(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return round(time.monotonic() - began, 1)


def _raise_failure(job: Future[float]) -> None:
    if job.done():
        job.result()
