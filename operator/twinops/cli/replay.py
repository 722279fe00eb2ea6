"""Arguments of ``twinops replay``; ``replay_run`` runs the command."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from twinops.replay.files import STDOUT

_DESCRIPTION = """\
Replay recorded history through the operator's own core, row by row and without looking ahead, before anything is
switched on: how good its forecasts would have been beside naive, seasonal naive and Theta, which risks it would have
raised and which of them came true, and which drift it would have told of. Nothing is changed anywhere."""
_EXAMPLES = """\
examples:
  twinops replay --csv history.csv --limit cpuUsage=80 --plot replay.png
  twinops replay --prometheus http://localhost:9090 --query 'rps=sum(rate(http_requests_total[5m]))' --range 7d
  twinops replay --twin checkout -n shop --prometheus http://localhost:9090 --plot replay.html
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        help="try the twin on recorded history: a CSV file or Prometheus",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_argument_group("where history is")
    source.add_argument("--csv", metavar="FILE", type=Path, help="first column time, every other one a metric")
    source.add_argument("--prometheus", metavar="URL", help="base URL of a Prometheus HTTP API")
    source.add_argument(
        "--query", metavar="NAME=PROMQL", action="append", default=[], help="one series to replay; repeat for more"
    )
    source.add_argument("--twin", metavar="NAME", help="a DigitalTwin of the cluster: its queries, limits and horizons")
    source.add_argument("-n", "--namespace", help="of the twin; default: the kubeconfig's")
    source.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config")
    source.add_argument("--context", help="of the kubeconfig; default: its current one")
    source.add_argument("--range", metavar="SPAN", help="how far back, with --prometheus; default: 7d")
    source.add_argument("--until", metavar="TIME", help="end of the range, for example 2026-05-01T12:00:00Z")
    source.add_argument(
        "--step", metavar="SPAN", help="between two syncs; default: the file's or the twin's own, 5m with --query"
    )
    source.add_argument("--metric", metavar="NAME", action="append", default=[], help="only this one; repeat for more")
    source.add_argument("--header", metavar="NAME=VALUE", action="append", default=[], help="sent to Prometheus")
    source.add_argument("--token-file", metavar="FILE", type=Path, help="holds a bearer token for Prometheus")
    source.add_argument("--ca-file", metavar="FILE", type=Path, help="PEM bundle to trust Prometheus by")
    judging = parser.add_argument_group("what it is judged by")
    judging.add_argument("-f", "--file", metavar="FILE", type=Path, help="manifest of a DigitalTwin")
    judging.add_argument("--limit", metavar="METRIC=VALUE", action="append", default=[], help="must not be crossed")
    judging.add_argument("--expected", metavar="METRIC=VALUE", action="append", default=[], help="normal value")
    judging.add_argument("--horizons", metavar="SPANS", help="how far to look ahead; default: 15m,30m,60m")
    output = parser.add_argument_group("what comes out, beside the table")
    output.add_argument(
        "--json", metavar="FILE", nargs="?", const=STDOUT, help="everything as JSON; without FILE, or -: on stdout"
    )
    output.add_argument(
        "--plot", metavar="FILE", type=Path, action="append", default=[], help=".png, .svg or .html; repeat for more"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Our arrays are small: BLAS threads would cost more than they gain.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported here because it is slow, and the other commands do not need it.
    from twinops.cli.replay_run import run  # noqa: PLC0415

    return run(arguments)
