"""HTTP under prometheus-api-client: what may leave, what may come back, and for how long.

The library leaves redirects, retries, the size of answers and the texts of errors to its session. This
one is given to it instead: no redirect is followed, nothing is retried, no proxy, netrc file or CA bundle
is taken from the environment (only the MetricsSource says where credentials go), and of an error only
what Prometheus' own vocabulary knows leaves this module.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from twinops.errors import MetricsUnavailable, SourceInvalid, SpecError, TwinOpsError
from twinops.services.ports import SourceAccess

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Larger answers are cut off: two series of 10,000 points take less than 1 MiB."""

_CHUNK = 64 * 1024
_REFUSALS = frozenset({"bad_data", "execution", "timeout", "canceled"})
_FORBIDDEN = frozenset({401, 403})
_REDIRECTS = range(300, 400)
_OK = 200
_TOO_MANY_REQUESTS = 429
_POSITION = re.compile(r'(?:invalid parameter "query": )?(\d{1,6}:\d{1,6}): parse error')


class QueryFailed(TwinOpsError):
    """One query failed; the endpoint is well.

    Args:
        kind: Prometheus' ``errorType``, or ``too_large``.
        position: ``line:column`` of a parse error, where Prometheus gave one.
    """

    def __init__(self, kind: str, position: str = "") -> None:
        """Keep kind and position."""
        super().__init__(kind)
        self.kind = kind
        self.position = position


@dataclass(frozen=True, slots=True)
class Answer:
    """As much of ``requests.Response`` as prometheus-api-client looks at."""

    status_code: int
    document: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """Return the checked document."""
        return self.document


class Transport:
    """Stands in for the ``requests.Session`` of prometheus-api-client.

    Args:
        source: where to, with which credentials.
        connections: how many requests may run at once.
    """

    cert = None

    def __init__(self, source: SourceAccess, connections: int) -> None:
        self._name = source.name
        self._timeout = float(source.spec.timeout_seconds)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(source.spec.headers)
        if source.bearer_token is not None:
            self._session.headers["Authorization"] = f"Bearer {source.bearer_token}"
        self._session.auth = source.basic_auth
        tls = source.spec.tls
        self.verify = not (tls is not None and tls.insecure_skip_verify)
        adapter = _Adapter(source.ca_pem if self.verify else None, connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def mount(self, _prefix: str, _adapter: HTTPAdapter) -> None:
        """Keep our own adapter where the library would mount one that retries."""

    def close(self) -> None:
        """Close all idle connections."""
        self._session.close()

    def request(self, method: str, url: str, *, params: dict[str, Any], **_others: Any) -> Answer:
        """Send one request and return its checked answer.

        The parameters travel in the body, where long queries fit.

        Raises:
            QueryFailed: this query failed.
            MetricsUnavailable: the endpoint did not answer as a Prometheus does.
            SpecError: reason ``MetricsSourceForbidden`` or ``MetricsSourceInvalid``.
        """
        deadline = time.monotonic() + self._timeout
        try:
            with self._session.request(
                method,
                url,
                data=params,
                verify=self.verify,
                timeout=(self._timeout, self._timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response, deadline)
                return self._check(response.status_code, body)
        except requests.Timeout as error:
            raise self._unavailable(f"no answer within {self._timeout:.0f} s") from error
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError) as error:
            raise SourceInvalid(
                f"the address, a header or the credentials of metrics source {self._name} cannot be sent over HTTP"
            ) from error
        except requests.exceptions.SSLError as error:
            raise self._unavailable("its TLS certificate is not trusted, or TLS failed") from error
        except (requests.RequestException, OSError) as error:
            raise self._unavailable("no connection, or it broke") from error

    def _check(self, status: int, body: bytes) -> Answer:
        if status in _FORBIDDEN:
            raise SpecError(
                f"metrics source {self._name} refuses the operator's credentials (HTTP {status}): mend spec.auth of "
                f"the MetricsSource or its Secret",
                reason="MetricsSourceForbidden",
            )
        if status in _REDIRECTS:
            raise self._unavailable(
                f"it redirects elsewhere (HTTP {status}), which is never followed; set spec.url to the final address"
            )
        document = _parse(body)
        if status == _OK and document.get("status") == "success":
            return Answer(status, self._with_result(document))
        kind = document.get("errorType")
        if isinstance(kind, str) and kind in _REFUSALS and status != _TOO_MANY_REQUESTS:
            found = _POSITION.match(str(document.get("error", "")))
            raise QueryFailed(kind, found.group(1) if found else "")
        if status == _OK:
            raise self._unavailable("its answer is not of the Prometheus HTTP API; is spec.url right?")
        raise self._unavailable(f"it answered with HTTP {status}")

    def _with_result(self, document: dict[str, Any]) -> dict[str, Any]:
        data = document.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("result"), list):
            raise self._unavailable("its answer is not of the Prometheus HTTP API; is spec.url right?")
        if data.get("resultType") == "string":
            raise QueryFailed("bad_data")
        return document

    def _unavailable(self, why: str) -> MetricsUnavailable:
        return MetricsUnavailable(f"metrics source {self._name}: {why}")


class _Adapter(HTTPAdapter):
    """Never retries; with a CA bundle given it trusts nothing else.

    The bundle stays in memory: requests itself would want a file, which a read-only container cannot write.
    """

    def __init__(self, ca_pem: str | None, connections: int) -> None:
        self._context = None if ca_pem is None else ssl.create_default_context(cadata=ca_pem)
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        if self._context is None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]


def _read(response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise QueryFailed("too_large")
        if time.monotonic() > deadline:
            raise requests.ReadTimeout
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
