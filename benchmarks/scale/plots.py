"""Plots of cost against the number of twins, and of each start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.scale.run import Run
from benchmarks.scale.start import MILESTONES

FORMS = ("png", "svg")
_MB = 1_000_000
_COLOURS = ("#2563eb", "#d97706", "#059669", "#6b7280")
_PROCESSES = ("operator", "prometheus", "apiserver", "etcd")


def write(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Write every plot as PNG and SVG; return their paths.

    Args:
        folder: made if need be.
        runs: in the order of their size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "twinops"  # the same figures give the same file
    paths = []
    for name, plot in {"scale": costs(runs), "scale-start": starts(runs)}.items():
        for form in FORMS:
            path = folder / f"{name}.{form}"
            plot.savefig(path, dpi=150, metadata={"Date": None} if form == "svg" else None)
            paths.append(path)
    return paths


def costs(runs: Sequence[Run]) -> Figure:
    """Draw CPU time per sync, cores and the operator's memory against the number of twins."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    per_sync, cores, memory = figure.subplots(1, 3)
    sizes = [run.count for run in runs]
    for process, colour in zip(_PROCESSES, _COLOURS, strict=True):
        its = [run.steady.costs[process] for run in runs]
        per_sync.plot(sizes, [cost.net_ms_per_sync for cost in its], color=colour, marker="o", label=process)
        cores.plot(sizes, [cost.cores for cost in its], color=colour, marker="o", label=process)
    memory.plot(sizes, [run.steady.resident_bytes / _MB for run in runs], color=_COLOURS[0], marker="o")
    per_sync.legend(fontsize=8)
    _label(per_sync, "twins", "ms CPU a sync, without what is used idle")
    _label(cores, "twins", "cores")
    _label(memory, "twins", "operator's resident memory, MB")
    return figure


def starts(runs: Sequence[Run]) -> Figure:
    """Draw how many twins had come how far since they were applied, a panel per run."""
    figure = Figure(figsize=(4 * len(runs), 3.4), layout="constrained")
    for axes, run in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs, strict=True):
        for milestone, colour in zip(MILESTONES, _COLOURS, strict=False):
            counts = [getattr(look, milestone) for look in run.start.looks]
            label = milestone.replace("_", " ")
            axes.plot([look.seconds for look in run.start.looks], counts, color=colour, label=label)
        axes.legend(fontsize=8)
        _label(axes, "seconds since the first was applied", f"of {run.count:,} twins")
    return figure


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
