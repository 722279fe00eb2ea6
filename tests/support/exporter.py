"""A real scrape target whose series a test sets as it likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exporter:
    """Series by name and labels, served in the Prometheus text format."""

    def __init__(self) -> None:
        self._series: dict[str, Callable[[], str]] = {}
        self._lock = threading.Lock()

    def set(self, name: str, value: float, *, at: float | None = None, **labels: str) -> None:
        """Serve this value from the next scrape on.

        Args:
            name: of the series.
            value: its value.
            at: Unix seconds of the sample; without it Prometheus takes the time of each scrape.
            labels: of the series.
        """
        sample = f"{value!r}" if at is None else f"{value!r} {int(at * 1000)}"
        with self._lock:
            self._series[_text(name, labels)] = lambda: sample

    def grow(self, name: str, per_second: float, **labels: str) -> None:
        """Serve a counter that grows at this rate."""
        begin = time.time()
        with self._lock:
            self._series[_text(name, labels)] = lambda: repr(per_second * (time.time() - begin))

    def remove(self, name: str, **labels: str) -> None:
        """Serve this series no more."""
        with self._lock:
            self._series.pop(_text(name, labels), None)

    def render(self) -> bytes:
        """Return what a scrape gets."""
        with self._lock:
            return "".join(f"{series} {sample()}\n" for series, sample in self._series.items()).encode()


@contextmanager
def serve(exporter: Exporter) -> Iterator[str]:
    """Serve the exporter on a free port; yields host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _text(name: str, labels: dict[str, str]) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}" if pairs else name
