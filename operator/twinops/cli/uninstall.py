"""Arguments of ``twinops uninstall``; ``uninstall_run`` runs the command."""

from __future__ import annotations

import argparse
import math
import os

_DESCRIPTION = """\
End TwinOps' work before it is removed: give back every value that corrections have raised, and take both finalizers
off every twin, so that twins and definitions can be deleted. The operator must not run meanwhile: with --deployment it
is scaled to zero and waited for, otherwise the command refuses while one leads. It can be repeated, and then does what
is left. Namespaces and the Lease are those of the operator's own TWINOPS_ variables, or of the flags."""

DEADLINE = 240.0


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "uninstall",
        help="give back what is held and take finalizers off, before TwinOps is removed",
        description=_DESCRIPTION,
        epilog="exit status: 0 all done, 1 something could not be done (it is named), 2 nothing could be begun",
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: the pod's service account, else KUBECONFIG")
    parser.add_argument("-n", "--namespace", help="the operator's own; default: TWINOPS_NAMESPACE")
    parser.add_argument("--lease-name", metavar="NAME", help="default: TWINOPS_LEASE_NAME")
    parser.add_argument("--deployment", metavar="NAME", help="the operator's, in its own namespace: scale it to zero")
    parser.add_argument(
        "--deadline", metavar="SECONDS", type=_seconds, default=DEADLINE, help="for everything; default: %(default)g"
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and change nothing")
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and 60 <= seconds <= 86_400):  # noqa: PLR2004 - said in the error
        raise argparse.ArgumentTypeError(f"{text}: from 60 to 86400 seconds are allowed")
    return seconds


def _run(arguments: argparse.Namespace) -> int:
    # Imported here because it is slow, and the other commands do not need it.
    from twinops.cli.uninstall_run import run  # noqa: PLC0415

    return run(arguments, os.environ)
