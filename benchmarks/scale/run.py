"""One run: a fresh control plane, so many workloads, so many twins, and what came of it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.scale import audit, figures
from benchmarks.scale.figures import Span, Steady
from benchmarks.scale.options import Options
from benchmarks.scale.readings import read
from benchmarks.scale.start import Start, apply_and_watch, settle
from benchmarks.scale.world import Prepared, World
from devcluster.console import say

_BUSY = 0.95
"""Share of all cores from which on the machine, and not the operator, decides about lags and rates."""
_LATE = 0.98
"""Share of the syncs that were due, below which the operator did not keep up."""


@dataclass(frozen=True)
class Run:
    """What was measured with so many twins.

    Attributes:
        count: number of twins.
        interval: seconds between two syncs of each.
        prepared: what it took to prepare.
        start: how the start went.
        steady: the figures of the steady window.
        exits: exit statuses of the operator, one for each time that it ended and was started again.
        notes: what whoever reads the figures has to know.
    """

    count: int
    interval: int
    prepared: Prepared
    start: Start
    steady: Steady
    exits: list[int]
    notes: list[str]

    @property
    def due_per_second(self) -> float:
        """Syncs that are due a second."""
        return self.count / self.interval

    def as_json(self) -> dict[str, Any]:
        """Return everything, as JSON holds it."""
        found: dict[str, Any] = _finite(asdict(self))
        return found


def measure(options: Options, count: int, cores: int) -> Run:
    """Run once.

    Args:
        options: how the bench runs.
        count: number of twins.
        cores: of the machine.

    Raises:
        DevClusterError: a part did not come up.
        OSError: a part did not answer.
    """
    say(f"{count} twins: {options.history_hours:g} h of history, a week for {options.week_share:.0%}; control plane …")
    with World(options, count) as world:
        prepared = world.prepared
        say(
            f"  {prepared.history_samples:,} samples of history in {prepared.history_seconds:.0f} s, "
            f"workloads in {prepared.workloads_seconds:.0f} s; {options.idle:g} s without twins …"
        )
        idle = _span(world, options.idle)
        say("  applying the twins …")
        start = apply_and_watch(world, options)
        reached = ", ".join(f"{name.replace('_', ' ')} {seconds:.0f} s" for name, seconds in start.seconds.items())
        say(f"  applied {start.applied_seconds:.0f} s, {reached}; until the operator has settled …")
        settled = settle(world, options.settle)
        say(f"  steady window of {options.window:g} s …")
        window = _span(world, options.window)
        requests = audit.requests(world.audit_logs(), world.account, window.before.at, window.after.at)
        exits = list(world.operator.exits)
    steady = figures.steady(count, idle, window, requests)
    run = Run(count, options.interval, prepared, start, steady, exits, [])
    run.notes.extend(_notes(run, cores, settled=settled))
    return run


def _span(world: World, seconds: float) -> Span:
    """Return what happens in the next seconds."""
    before = read(world)
    time.sleep(max(0.0, before.at + seconds - time.time()))
    return Span(before, read(world))


def _notes(run: Run, cores: int, *, settled: bool) -> list[str]:
    notes = run.start.short_of(run.count)
    steady = run.steady
    if not settled:
        notes.append(
            "the operator's use of CPU had not settled when the window began: costs are those of the start, too"
        )
    if run.exits:
        notes.append(f"the operator ended with {run.exits} and was started again: costs and times are not those of one")
    if steady.machine_cores > _BUSY * cores:
        notes.append(
            f"the machine was full ({steady.machine_cores:.2f} of {cores} cores): lags and rates are the machine's"
        )
    if steady.syncs_per_second < _LATE * run.due_per_second:
        notes.append(f"{steady.syncs_per_second:.2f} syncs a second of {run.due_per_second:.2f} that were due")
    if others := {result: int(number) for result, number in steady.syncs.items() if result != "synced"}:
        notes.append(f"syncs that ended otherwise than synced: {others}")
    if steady.api_refused:
        notes.append(f"{steady.api_refused} requests were refused by the API server")
    return notes


def _finite(value: Any) -> Any:
    """Replace infinite figures, which JSON cannot hold, by None."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return figures.finite(value) if isinstance(value, float) else value
