"""Runs the command line: `python -m devcluster`, or `python hack/devcluster` with any Python 3.

A Python without the project's packages hands over to the project's own. And what a shell evaluates
(`env`) first leads kubectl nowhere, whatever happens then: a shell that evaluates nothing at all would go
on with the cluster that was current before.
"""

# Nothing in this file may need a newer Python than the oldest that somebody's `python` may be.
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "/dev/null/no-local-cluster-is-up"
"""A kubeconfig that cannot be there: clients refuse it, while one that is only missing has them look elsewhere."""


def main() -> int:
    """Run the command line, and return its exit status."""
    to_evaluate = sys.argv[1:2] == ["env"] and not {"-h", "--help"} & set(sys.argv)
    if not to_evaluate:
        return _main()
    sys.stdout.write("export KUBECONFIG=" + NOWHERE + "\n")
    sys.stdout.flush()
    failed = True
    try:
        failed = _main() != 0
    finally:
        if failed:
            sys.stderr.write("KUBECONFIG leads nowhere now, so that kubectl talks to no other cluster\n")
            sys.stdout.write("false\n")
    return int(failed)


def _main() -> int:
    if not __package__:
        # Run as a folder, which Python then puts on the path in place of the folder's parent.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    try:
        from devcluster import cli  # noqa: PLC0415
    except (ImportError, SyntaxError) as error:
        return _hand_over(error)
    return cli.main()


def _hand_over(error: Exception) -> int:
    """Go on as the project's own Python; return only when there is none."""
    own = ROOT / ".venv" / "bin" / "python"
    if own.exists() and Path(sys.prefix).resolve() != own.parents[1].resolve():
        os.execv(str(own), [str(own), str(Path(__file__).resolve().parent)] + sys.argv[1:])  # noqa: RUF005, S606
    sys.stderr.write(
        "error: " + sys.executable + " cannot run this (" + str(error) + "), and there is no " + str(own) + ".\n"
        "Run `make cluster-up` in " + str(ROOT) + ", which makes it.\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
