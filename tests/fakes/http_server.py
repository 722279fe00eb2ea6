"""An HTTP server that misbehaves as it is told, for faults that no real Prometheus shows on request."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class Request(BaseHTTPRequestHandler):
    """One request; ``form`` holds what was posted."""

    protocol_version = "HTTP/1.1"
    form: dict[str, str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.form = {key: values[0] for key, values in parse_qs(body).items()}
        assert isinstance(self.server, FakeServer)
        self.server.requests.append(self)
        self.server.behaviour(self)

    def answer(self, status: int, body: str | bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


Behaviour = Callable[[Request], None]


class FakeServer(ThreadingHTTPServer):
    """The server, with every request that it has seen.

    Attributes:
        released: set when the test is over, so that a behaviour that hangs can end.
    """

    daemon_threads = True
    # Clients that went away are part of the tests.
    block_on_close = False

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about clients that went away."""


@contextmanager
def serve(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[FakeServer]:
    """Run a server for the time of a test."""
    server = FakeServer(behaviour)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
