"""The client of the API server: reads share a connection, and no write is sent twice."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devcluster.api import ApiClient
from devcluster.errors import ApiError
from devcluster.pki import Pki


class Handler(BaseHTTPRequestHandler):
    """Answers each path with itself, and tells the server over which connection it was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.client_address[1]))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.hang_up:
            # The server has ended in the middle of it.
            self.close_connection = True
            return
        content = f'{{"path": "{self.path}"}}'.encode()
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        # Closed without a word, as by a server that ends.
        self.close_connection = self.server.close_after

    do_POST = do_GET  # noqa: N815 - its name there

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """An API server as far as connections go."""

    daemon_threads = True
    close_after = False
    hang_up = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, int]] = []

    @property
    def connections(self) -> int:
        return len({port for _, port in self.asked})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, ApiClient]]:
    pki = Pki.create(tmp_path)
    pair = pki.issue("kube-apiserver", hosts=["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with Server() as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"https://127.0.0.1:{server.server_address[1]}"
            yield server, ApiClient(url, pki.ca_file, pair)
        finally:
            server.shutdown()
            thread.join()


def test_what_a_thread_reads_comes_over_one_connection(server: tuple[Server, ApiClient]) -> None:
    api, client = server
    assert [client.get(f"/{number}") for number in range(3)] == [{"path": f"/{number}"} for number in range(3)]
    with pytest.raises(ApiError, match="404"):
        client.get("/none")
    client.get("/again")
    assert api.connections == 1
    with ThreadPoolExecutor(1) as pool:
        pool.submit(client.get, "/elsewhere").result()
    assert api.connections == 2


def test_a_connection_that_the_server_has_closed_is_replaced(server: tuple[Server, ApiClient]) -> None:
    api, client = server
    api.close_after = True
    assert [client.get(f"/{number}") for number in range(3)] == [{"path": f"/{number}"} for number in range(3)]
    assert api.connections == 3


def test_a_write_is_never_sent_twice(server: tuple[Server, ApiClient]) -> None:
    api, client = server
    client.get("/read")
    api.hang_up = True
    with pytest.raises(ConnectionError):
        client.create("/written", {})
    assert [command for command, _ in api.asked] == ["GET", "POST"]
