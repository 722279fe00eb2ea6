"""The parts of a cluster, one file per program: flags and files, and nothing is started here."""

from __future__ import annotations
