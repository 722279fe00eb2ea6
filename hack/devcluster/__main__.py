"""Runs the command line: `python -m devcluster`, or `python hack/devcluster`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a folder, which Python then puts on the path in place of the folder's parent.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from devcluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
