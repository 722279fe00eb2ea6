"""A client of the API server in a few lines, for what kubectl is too slow or too wordy."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from devcluster.errors import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.pki import KeyPair

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
SERVER_SIDE_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"
_TIMEOUT_SECONDS = 10.0


class ApiClient:
    """Speaks JSON to the API server, as the owner of a client certificate.

    Each thread keeps a connection for what it reads: whoever waits reads twenty times a second, and a TLS handshake
    costs more than the request. A write has a connection of its own, since it must not be sent again where one that was
    kept has gone stale.

    Attributes:
        url: Address of the API server.
    """

    def __init__(self, url: str, ca_file: Path, pair: KeyPair) -> None:
        """Prepare the TLS side; no connection is made."""
        self.url = url
        self._address = urlsplit(url).netloc
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self._kept = threading.local()

    def get(self, path: str) -> Json:
        """Return an object or a list, by a path such as `/api/v1/nodes`."""
        return self._json("GET", path)

    def create(self, path: str, body: Json) -> Json:
        """POST an object to its collection."""
        return self._json("POST", path, body)

    def merge(self, path: str, patch: Json) -> Json:
        """Apply a JSON merge patch."""
        return self._json("PATCH", path, patch, MERGE_PATCH)

    def apply(self, path: str, body: Json) -> Json:
        """Apply an object server-side, forced, as field manager `devcluster`."""
        query = "?fieldManager=devcluster&force=true"
        return self._json("PATCH", path + query, body, SERVER_SIDE_APPLY)

    def delete(self, path: str) -> Json:
        """Delete an object without waiting for its end."""
        return self._json("DELETE", path)

    def text(self, path: str) -> str:
        """Return an answer that is no JSON, such as that of `/readyz`."""
        return self._send("GET", path, None, _JSON)

    def ready(self) -> bool:
        """Whether the API server says it is ready.

        Raises:
            OSError: It does not listen yet.
        """
        try:
            return self.text("/readyz") == "ok"
        except ApiError:
            return False

    def _json(self, method: str, path: str, body: Json | None = None, content_type: str = _JSON) -> Json:
        answer: Json = json.loads(self._send(method, path, body, content_type))
        return answer

    def _send(self, method: str, path: str, body: Json | None, content_type: str) -> str:
        if method == "GET":
            status, text = self._read(path)
        else:
            with closing(self._connection()) as connection:
                status, text = _ask(connection, method, path, body, content_type)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(method, path, status, text)
        return text

    def _read(self, path: str) -> tuple[int, str]:
        """Read over this thread's connection, and over a new one where the server has closed that."""
        kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            try:
                return self._read_over(kept, path)
            except (ConnectionError, ssl.SSLError):
                pass
        return self._read_over(self._connection(), path)

    def _read_over(self, connection: http.client.HTTPSConnection, path: str) -> tuple[int, str]:
        """Read, and keep the connection unless that went wrong."""
        self._kept.connection = None
        try:
            answer = _ask(connection, "GET", path, None, _JSON)
        except BaseException:
            connection.close()
            raise
        self._kept.connection = connection
        return answer

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, timeout=_TIMEOUT_SECONDS, context=self._tls)


def _ask(
    connection: http.client.HTTPSConnection, method: str, path: str, body: Json | None, content_type: str
) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": content_type, "Accept": _JSON})
    with connection.getresponse() as response:
        return response.status, response.read().decode(errors="replace")
