"""``python -m benchmarks.scale.exporter WORKLOADS PORT``: serves the workloads' series, as their pods would.

Counters begin at zero and grow with the time between two scrapes.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np

from benchmarks.scale.workload import COLUMNS, PODS, Loads, place
from devcluster.ports import LOOPBACK


class Series:
    """All series and their present values.

    Args:
        count: number of workloads.
        now: seconds since 1970 at which counters begin.
    """

    def __init__(self, count: int, now: float) -> None:
        self._loads = Loads.of(count)
        self._rng = np.random.default_rng()
        self._last = now
        self._totals = np.zeros((len(COLUMNS), len(PODS) * count))
        places = [place(number) for number in range(count)]
        self._heads = [[column.head(where, pod) for where in places for pod in where.pods] for column in COLUMNS]

    def text(self, now: float) -> str:
        """Return the exposition at this time."""
        elapsed, self._last = max(0.0, now - self._last), now
        columns = self._loads.columns(np.array([now]), self._rng)
        for place_, (column, values) in enumerate(zip(COLUMNS, columns, strict=True)):
            if column.gauge:
                self._totals[place_] = values[:, 0]
            else:
                self._totals[place_] += values[:, 0] * elapsed
        return "".join(
            f"{head} {value:.9g}\n"
            for heads, values in zip(self._heads, self._totals, strict=True)
            for head, value in zip(heads, values.tolist(), strict=True)
        )


def serve(count: int, port: int) -> None:
    """Serve until the process ends."""
    series = Series(count, time.time())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = series.text(time.time()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing: a scrape every half minute is no news."""

    HTTPServer((LOOPBACK, port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
