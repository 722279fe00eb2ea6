"""What ten thousand twins would cost, from what fewer did."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scale.figures import MS
from benchmarks.scale.run import Run

WANTED_TWINS = 10_000


@dataclass(frozen=True)
class Projection:
    """Figures for more twins than were measured.

    Each twin is taken to cost what it did in the run, on top of what a process uses without twins. Whatever is shared
    between twins is cheaper per twin with more of them, so this is an upper estimate as long as nothing overflows.

    Attributes:
        count: number of twins.
        measured: number of twins that it comes from.
        cores: use of CPU by process.
        ms_per_sync: CPU time per sync, by process.
        resident_bytes: of the operator.
    """

    count: int
    measured: int
    cores: dict[str, float]
    ms_per_sync: dict[str, float]
    resident_bytes: float


def project(run: Run, count: int = WANTED_TWINS) -> Projection:
    """Return what so many twins would cost by the figures of a run."""
    rate = count / run.interval
    costs = run.steady.costs
    cores = {name: cost.idle_cores + cost.net_ms_per_sync * rate / MS for name, cost in costs.items()}
    return Projection(
        count=count,
        measured=run.count,
        cores=cores,
        ms_per_sync={name: MS * used / rate for name, used in cores.items()},
        resident_bytes=run.steady.idle_resident_bytes + count * run.steady.bytes_per_twin(run.count),
    )
