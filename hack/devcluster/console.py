"""The one place that writes to the terminal."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

_TERMINAL_SECONDS = 1.0
_PLAIN_SECONDS = 15.0
_ERASE_LINE = "\r\x1b[2K"


def say(text: str) -> None:
    """Tell a person something, on standard error: standard output is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass
class Progress:
    """One long step: a line that counts seconds, or a line now and then in a log.

    Attributes:
        title: What is being done.
    """

    title: str
    _start: float = field(default_factory=time.monotonic)
    _next: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._start

    def tick(self) -> None:
        """Show that it still goes on; call it as often as you like."""
        if self.elapsed < self._next:
            return
        terminal = sys.stderr.isatty()
        self._next = self.elapsed + (_TERMINAL_SECONDS if terminal else _PLAIN_SECONDS)
        self._show("…", end="" if terminal else "\n")

    def done(self, remark: str = "done") -> None:
        """Close the line."""
        self._show(f": {remark}", end="\n")

    def _show(self, tail: str, end: str) -> None:
        start = _ERASE_LINE if sys.stderr.isatty() else ""
        sys.stderr.write(f"{start}{self.title}{tail} ({self.elapsed:.0f} s){end}")
        sys.stderr.flush()
