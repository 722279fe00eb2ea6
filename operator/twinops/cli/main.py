"""``twinops``: run the operator, try it on recorded history, end its work, or print its CRDs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from twinops import __version__
from twinops.api import crdgen
from twinops.cli import replay, uninstall
from twinops.errors import TwinOpsError
from twinops.printable import printable

EXIT_USAGE = 2
LONGEST_ERROR = 2000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except TwinOpsError as error:
        sys.stderr.write(f"twinops: {printable(str(error), LONGEST_ERROR)}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """Prints errors about arguments without control characters, which file names may contain."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message, LONGEST_ERROR))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(prog="twinops", description="Digital twins for Kubernetes workloads.")
    parser.add_argument("--version", action="version", version=f"twinops {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the operator; settings come from TWINOPS_… variables")
    run.add_argument("--kubeconfig", help="default: the pod's service account, else KUBECONFIG")
    run.set_defaults(run=_run)

    replay.add_command(commands)
    uninstall.add_command(commands)

    crds = commands.add_parser("crds", help="print the CRDs, for kubectl apply --server-side -f -")
    crds.set_defaults(run=_crds)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    # Imported here because it is slow: printing CRDs does not need it.
    from twinops.adapters import process  # noqa: PLC0415

    # Before any thread is started, since threads inherit the signal mask.
    process.hold_signals()
    # Our arrays are small: BLAS threads would cost more than they gain.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # After the signal mask is set, and only for this command: kopf and the Kubernetes client.
    from twinops.main import run  # noqa: PLC0415

    return run(os.environ, kubeconfig=arguments.kubeconfig)


def _crds(_: argparse.Namespace) -> int:
    sys.stdout.write("---\n".join(crdgen.to_yaml(crd) for crd in crdgen.crds()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
