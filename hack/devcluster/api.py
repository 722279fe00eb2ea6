"""A client of the API server in a few lines, for what kubectl is too slow or too wordy."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

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

    Attributes:
        url: Address of the API server.
    """

    def __init__(self, url: str, ca_file: Path, pair: KeyPair) -> None:
        """Prepare the TLS side; no connection is made."""
        self.url = url
        tls = ssl.create_default_context(cafile=str(ca_file))
        tls.load_cert_chain(pair.certificate, pair.key)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
        )

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
        request = urllib.request.Request(  # noqa: S310 - always https
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content_type, "Accept": _JSON},
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise ApiError(method, path, error.code, text) from error
        return content.decode()
