"""CPU time and memory of processes and of the machine, from /proc."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
"""Columns of /proc/stat for time in which nothing ran: idle, and waiting for a disk."""
_GUEST = 8
"""From here on columns of /proc/stat count again what the ones before have."""


@dataclass(frozen=True)
class Usage:
    """CPU time of a process since its start in seconds, and its resident memory in bytes."""

    cpu_seconds: float
    resident_bytes: int


def usage(pid: int) -> Usage:
    """Return what a process uses.

    Raises:
        OSError: there is no such process.
    """
    folder = _PROC / str(pid)
    return Usage(cpu_seconds((folder / "stat").read_text()), resident_bytes((folder / "status").read_text()))


def cpu_seconds(stat: str) -> float:
    """Return user and system time of all threads from the text of /proc/PID/stat."""
    # The name, in brackets, may hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(status: str) -> int:
    """Return VmRSS from the text of /proc/PID/status; 0 for a process that has ended and was not collected."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def busy_seconds() -> float:
    """Return the CPU time of the whole machine since it started, in seconds of one core."""
    return busy_of((_PROC / "stat").read_text())


def busy_of(stat: str) -> float:
    """Return the time in which something ran, from the text of /proc/stat."""
    columns = [int(column) for column in stat.splitlines()[0].split()[1 : _GUEST + 1]]
    return sum(ticks for at, ticks in enumerate(columns) if at not in _IDLE) / _TICKS


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    processor = re.search(r"^model name\s*:\s*(.+)$", (_PROC / "cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", (_PROC / "meminfo").read_text(), re.MULTILINE)
    return {
        "cores": os.cpu_count() or 0,
        "processor": processor[1] if processor else platform.machine(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else 0,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
