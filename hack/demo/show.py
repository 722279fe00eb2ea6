"""What a person sees: headings, a line while waiting, the comparison."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence

from demo import scenario
from demo.load.measure import Second
from demo.stage import Report

_BARS = "▁▂▃▄▅▆▇█"
_ERASE_LINE = "\r\x1b[2K"
_WIDEST = 120
_CHART_COLUMNS = 72


class Screen:
    """The terminal, or a log: a line that is rewritten in the one, a line now and then in the other."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._open_line = False
        self._next = 0.0

    @property
    def terminal(self) -> bool:
        """Whether a person sits there."""
        return self._terminal

    def say(self, text: str = "", *, indent: str = "") -> None:
        """Write lines, wrapped at the width of the terminal; lines that begin with a space stay as they are."""
        self._close_line()
        width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
        for line in text.splitlines() or [""]:
            wrapped = textwrap.wrap(line, width - len(indent)) if indent and not line.startswith(" ") else [line]
            sys.stdout.write("".join(f"{indent}{part}\n" for part in wrapped))
        sys.stdout.flush()

    def wait(self, seconds: float, text: Callable[[], str]) -> None:
        """Show how things stand while waiting; call it as often as you like.

        Args:
            seconds: since the beginning.
            text: made only when it is shown.
        """
        if seconds < self._next:
            return
        self._next = seconds + (1 if self._terminal else 10)
        if self._terminal:
            sys.stdout.write(f"{_ERASE_LINE}   {text()}")
            self._open_line = True
        else:
            sys.stdout.write(f"   {text()}\n")
        sys.stdout.flush()

    def _close_line(self) -> None:
        if self._open_line:
            sys.stdout.write(_ERASE_LINE)
            self._open_line = False


def clock(seconds: float) -> str:
    """Return a time as people read it: `3:07`."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def latency(milliseconds: float) -> str:
    """Return a latency; what reached the time-out is told as such."""
    if math.isnan(milliseconds):
        return "-"
    if milliseconds >= 1000 * scenario.CLIENT_TIMEOUT_SECONDS:
        return "failing"
    return f"{milliseconds:.0f} ms"


def state_of(report: Report) -> str:
    """Return one line on how both shops fare, from the newest second of a report."""
    if not any(seconds for _, seconds in report.values()):
        return "nothing measured yet"
    parts = []
    for name, (_, seconds) in report.items():
        if seconds:
            now = seconds[-1]
            parts.append(f"{name} {now.replicas or '-'} pods, p95 {latency(now.p95_ms)}")
    rate = max((seconds[-1].offered for _, seconds in report.values() if seconds), default=0)
    return f"{rate:>3} req/s │ " + " │ ".join(parts)


def comparison(report: Report) -> str:
    """Return the table and the charts of both shops."""
    twinned, plain = (report[name][0] for name in scenario.NAMESPACES)
    rows = [
        ("requests", f"{twinned.requests}", f"{plain.requests}"),
        ("p95 latency", latency(twinned.p95_ms), latency(plain.p95_ms)),
        ("failed requests", f"{twinned.failed_share:.1%}", f"{plain.failed_share:.1%}"),
        (f"seconds with p95 over {scenario.LATENCY_LIMIT_MS} ms", f"{twinned.seconds_over}", f"{plain.seconds_over}"),
        ("replicas at the most", f"{twinned.most_replicas}", f"{plain.most_replicas}"),
        ("replica-minutes", f"{twinned.replica_seconds / 60:.1f}", f"{plain.replica_seconds / 60:.1f}"),
    ]
    lines = [f"{'':30}{'with twin':>12}{'without':>12}"]
    lines += [f"{title:30}{left:>12}{right:>12}" for title, left, right in rows]
    seconds = {name: report[name][1] for name in scenario.NAMESPACES}
    lines += ["", *_charts("requests/s", {"both": [s.offered for s in seconds[scenario.TWINNED]]})]
    lines += _charts("ready replicas", {name: _replicas(of_one) for name, of_one in seconds.items()})
    lines += _charts("p95 latency, ms", {name: [s.p95_ms for s in of_one] for name, of_one in seconds.items()})
    return "\n".join(lines)


def _replicas(seconds: Sequence[Second]) -> list[float]:
    filled: list[float] = []
    for second in seconds:
        filled.append(second.replicas or (filled[-1] if filled else 0))
    return filled


def _charts(title: str, series: dict[str, list[float]] | dict[str, list[int]]) -> list[str]:
    """Return one chart per series, all on the same scale from 0."""
    top = max((value for values in series.values() for value in values), default=0.0)
    return [f"{title}, 0..{top:.0f}", *(f"  {name:<11} {sparkline(v, top)}" for name, v in series.items())]


def sparkline(values: Sequence[float], top: float, columns: int = _CHART_COLUMNS) -> str:
    """Return a chart of one line: the largest value of each stretch, on a scale from 0 to `top`."""
    if not values:
        return ""
    stretch = max(1, math.ceil(len(values) / columns))
    peaks = [max(values[i : i + stretch]) for i in range(0, len(values), stretch)]
    return "".join(_BARS[min(len(_BARS) - 1, int(peak / top * len(_BARS)))] if top else _BARS[0] for peak in peaks)
