"""``python -m benchmarks.scale``: the table; with ``JSON=file`` the figures, with ``PLOTS=folder`` the plots."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale import options as options_
from benchmarks.scale import procfs, report
from benchmarks.scale.options import OptionError, Options
from benchmarks.scale.run import Run, measure
from benchmarks.scale.versions import versions
from devcluster.console import say
from devcluster.errors import DevClusterError

_INTERRUPTED = 130


def main() -> int:
    """Run once for each size, the smallest first; print the table, return the exit code."""
    # Whoever ends us, every process ends with us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        options = options_.read()
    except OptionError as error:
        print(error, file=sys.stderr)
        return 2
    machine = procfs.machine()
    try:
        runs, failed = _runs(options, int(machine["cores"]))
    except KeyboardInterrupt:
        return _INTERRUPTED
    if runs:
        _publish(runs, failed, machine, versions())
    return 1 if failed else 0


def _runs(options: Options, cores: int) -> tuple[list[Run], list[str]]:
    """Return the runs that went through, and what became of the others; larger ones are not tried after a failure."""
    runs: list[Run] = []
    for count in sorted(options.sizes):
        try:
            runs.append(measure(options, count, cores))
        except (DevClusterError, OSError) as error:
            say(f"{count} twins: {error}")
            return runs, [f"{count:,} twins could not be measured: {str(error).splitlines()[0]}"]
    return runs, []


def _publish(
    runs: Sequence[Run], failed: Sequence[str], machine: Mapping[str, Any], made_by: Mapping[str, str]
) -> None:
    for line in report.lines(runs, machine, made_by):
        print(line)
    for line in failed:
        print(f"NOTE: {line}")
    if target := os.environ.get("JSON"):
        found = {
            "machine": machine,
            "versions": made_by,
            "runs": [run.as_json() for run in runs],
            "not_measured": list(failed),
        }
        Path(target).write_text(json.dumps(found, indent=1))
    if target := os.environ.get("PLOTS"):
        from benchmarks.scale import plots  # noqa: PLC0415 - matplotlib is needed for nothing else

        for path in plots.write(Path(target), runs):
            print(path)


if __name__ == "__main__":
    sys.exit(main())
