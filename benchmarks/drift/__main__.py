"""``python -m benchmarks.drift [DATA=folder] [JSON=file]``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.drift.detectors import LEARNED, PEERS
from benchmarks.drift.report import as_json, evaluate, lines
from benchmarks.drift.series import WHERE, read_all
from twinops.errors import InputError

DEFAULT_DATA = "../shared/data"


def main(arguments: list[str]) -> int:
    """Run the bench; return the exit code."""
    options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if len(options) != len(arguments) or set(options) - {"DATA", "JSON"}:
        sys.stderr.write("usage: python -m benchmarks.drift [DATA=folder] [JSON=file]\n")
        return 2
    folder = Path(options.get("DATA") or os.environ.get("TWINOPS_BENCH_DATA") or DEFAULT_DATA)
    try:
        series = read_all(folder)
    except (FileNotFoundError, InputError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not any(one.labelled for one in series):
        sys.stderr.write(f"no labels: only alarms are reported\n{WHERE}\n")
    results = []
    for detector in (LEARNED, *PEERS):
        sys.stderr.write(f"→ {detector.name} on {len(series)} series\n")
        results.append(evaluate(detector, series))
    sys.stdout.write("\n".join(lines(series, results)) + "\n")
    if target := options.get("JSON"):
        Path(target).write_text(json.dumps(as_json(series, results[0], results[1:]), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
