"""The table: a row per figure, a column per number of twins, and what is wanted at ten thousand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.figures import Cost, Spread
from benchmarks.scale.projection import WANTED_TWINS, Projection, project
from benchmarks.scale.run import Run
from benchmarks.scale.start import MILESTONES

_KB = 1000
_MB = 1_000_000
_COMPARED = 1000
_MOST_RESOURCES = 8


@dataclass(frozen=True)
class Row:
    """One figure: its words, how it is read from a run and from a projection, what is wanted."""

    words: str
    of: Callable[[Run], str]
    projected: Callable[[Projection], str] = lambda _projection: ""
    wanted: str = ""


def _cost(process: str) -> tuple[Callable[[Run], str], Callable[[Projection], str]]:
    def of(run: Run) -> str:
        cost = run.steady.costs.get(process)
        return "-" if cost is None else _cost_text(cost)

    def projected(projection: Projection) -> str:
        used = projection.cores.get(process)
        return "-" if used is None else f"{projection.ms_per_sync[process]:.1f} ({used:.2f} core)"

    return of, projected


def _cost_text(cost: Cost) -> str:
    return f"{cost.ms_per_sync:.1f}, net {cost.net_ms_per_sync:.1f} ({cost.cores:.2f} core)"


def _times(run: Run) -> str:
    return (
        " / ".join(f"{run.start.seconds[each]:.0f}" if each in run.start.seconds else "-" for each in MILESTONES) + " s"
    )


def _kb(size: float | None) -> str:
    return "-" if size is None else f"{size / _KB:.1f} KB"


def _seconds(spread: Spread | None) -> str:
    if spread is None or spread.most is None:
        return "-"
    return f"{_bounded(spread.p50)} / {_bounded(spread.p99)} / ≤ {_bounded(spread.most)} s"


def _bounded(seconds: float | None) -> str:
    return "-" if seconds is None else "∞" if math.isinf(seconds) else f"{seconds:.3g}"


def _counts(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number:.0f}" for name, number in sorted(numbers.items())) or "none"


ROWS = (
    Row("operator, ms CPU a sync", *_cost("operator"), "≤ 4.2 (.7 core)"),
    Row("requests to Prometheus a sync", lambda run: f"{run.steady.prometheus_requests:.3f}", wanted="≤ .05"),
    Row("expressions evaluated a sync", lambda run: f"{run.steady.prometheus_queries:.3f}"),
    Row("Prometheus, ms CPU a sync", *_cost("prometheus"), "≤ 2"),
    Row("API requests a sync", lambda run: f"{run.steady.api_total:.3f}", wanted="≤ .4"),
    Row("API server, ms CPU a sync", *_cost("apiserver"), "≤ 3"),
    Row("etcd, ms CPU a sync", *_cost("etcd")),
    Row(
        "etcd, bytes put per twin and day, extrapolated from the window",
        lambda run: f"{run.steady.etcd_bytes_per_twin_day / _MB:.2f} MB",
    ),
    Row(
        "status bytes a write; object",
        lambda run: f"{_kb(run.steady.status_bytes)}; {_kb(run.steady.object_bytes)}",
        wanted="≤ 2.5 KB; ≤ 5 KB",
    ),
    Row(
        "resident memory (a twin)",
        lambda run: f"{run.steady.resident_bytes / _MB:.0f} MB ({_kb(run.steady.bytes_per_twin(run.count))})",
        lambda projection: f"{projection.resident_bytes / _MB:.0f} MB",
        "< 1 GiB (≤ 85 KB)",
    ),
    Row("all first statuses / all `Ready` / all `Predicting`", _times, wanted="30 / 120 / 600 s"),
    Row("sync lag, p50 / p99 / most", lambda run: _seconds(run.steady.lag), wanted="p99 < 5 s"),
    Row("sync duration, p50 / p99 / most", lambda run: _seconds(run.steady.duration)),
    Row("event loop late, p50 / p99 / most", lambda run: _seconds(run.steady.loop_lag)),
    Row(
        "syncs a second (due)",
        lambda run: f"{run.steady.syncs_per_second:.2f} ({run.due_per_second:.2f})",
        wanted="166.7",
    ),
    Row(
        "syncs a second on a whole core, extrapolated",
        lambda run: f"{run.steady.costs['operator'].syncs_per_core:.0f}",
        wanted="≥ 170",
    ),
    Row("status writes in the window", lambda run: _counts(run.steady.status_writes)),
    Row(
        "whole machine (not measured here)",
        lambda run: f"{run.steady.machine_cores:.2f} ({run.steady.other_cores:.2f}) core",
    ),
)


def lines(runs: Sequence[Run], machine: Mapping[str, Any], versions: Mapping[str, str]) -> Iterator[str]:
    """Yield the report."""
    projection = project(runs[-1]) if runs[-1].count < WANTED_TWINS else None
    heads = ["", *(f"{run.count:,} twins" for run in runs)]
    if projection:
        heads.append(f"{projection.count:,}, extrapolated from {projection.measured:,}")
    yield _line([*heads, f"wanted at {WANTED_TWINS:,}"])
    yield _line(["---"] * (len(heads) + 1))
    for row in ROWS:
        more = [row.projected(projection)] if projection else []
        yield _line([row.words, *(row.of(run) for run in runs), *more, row.wanted])
    yield ""
    yield from _comparison(runs)
    for run in runs:
        yield from _details(run)
    yield ", ".join(f"{name} {value}" for name, value in machine.items())
    yield ", ".join(f"{name} {version}" for name, version in versions.items())


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _comparison(runs: Sequence[Run]) -> Iterator[str]:
    """Say how the cost of a twin grows with their number, between a thousand (or the fewest) and the most."""
    few = next((run for run in runs if run.count >= _COMPARED), runs[0])
    many = runs[-1]
    if many.count > few.count:
        ratio = many.steady.costs["operator"].ms_per_sync / few.steady.costs["operator"].ms_per_sync
        few_words = f"that with {few.count:,} (wanted: ≤ 1.1)"
        yield f"operator's CPU per sync with {many.count:,} twins: {ratio:.2f} times {few_words}"


def _details(run: Run) -> Iterator[str]:
    prepared, start, steady = run.prepared, run.start, run.steady
    yield f"{run.count:,} twins every {run.interval} s: {steady.sync_count:.0f} syncs in {steady.seconds:.0f} s"
    yield (
        f"  prepared: {prepared.history_samples:,} samples of history in {prepared.history_seconds:.0f} s, "
        f"workloads in {prepared.workloads_seconds:.0f} s"
    )
    used = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in start.cpu_seconds.items())
    yield f"  started: applied in {start.applied_seconds:.0f} s; CPU until then or until predicting: {used}"
    most = list(steady.api_requests.items())[:_MOST_RESOURCES]
    yield "  API requests a sync: " + (", ".join(f"{name} {number:.3f}" for name, number in most) or "none")
    for note in run.notes:
        yield f"  NOTE: {note}"
