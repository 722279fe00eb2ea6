"""The HTTP session under prometheus-api-client: bounded requests and checked answers. ``wire`` bounds time and bytes.

The library leaves redirects, retries, the size of answers and error texts to its session. This one follows no
redirect, retries nothing and takes no proxy, netrc file or CA bundle from the environment (credentials go only where
the MetricsSource says). Of an error only Prometheus' ``errorType`` and a position leave this module.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from twinops.adapters.prometheus.partial import shortcoming
from twinops.adapters.prometheus.wire import Adapter, Session, TooLarge, deadlines, read
from twinops.errors import MetricsUnavailable, SourceInvalid, SpecError, TwinOpsError
from twinops.ports.metrics import SourceAccess

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bound of a range query's answer: two series of 10,000 points take less than 1 MiB."""

MAX_INSTANT_BYTES = 256 * 1024
"""Bound of an instant query's answer, of which one value is wanted."""

MORE_BYTES = 2 * 1024
"""What is added to that bound for each query that is joined with others."""

MAX_PARTS = 300_000
"""Bound of brackets and commas of an answer, each of which may take a hundred times its size once parsed."""

_REFUSALS = frozenset({"bad_data", "execution", "timeout", "canceled"})
_FORBIDDEN = frozenset({401, 403})
_REDIRECTS = range(300, 400)
_OK = 200
_TOO_MANY_REQUESTS = 429
_POSITION = re.compile(r'(?:invalid parameter "query": )?(\d{1,6}:\d{1,6}): parse error')


class QueryFailed(TwinOpsError):
    """One query failed; the endpoint is healthy.

    Args:
        kind: Prometheus' ``errorType``, ``too_large``, ``PARTIAL`` or ``NO_STORE``.
        position: ``line:column`` of a parse error, where Prometheus gave one.
    """

    def __init__(self, kind: str, position: str = "") -> None:
        """Set kind and position."""
        super().__init__(kind)
        self.kind = kind
        self.position = position


class NoAnswer(MetricsUnavailable):
    """No answer within the time-out: the endpoint hangs, or only this query does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of ``requests.Response`` that prometheus-api-client uses."""

    status_code: int
    document: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """Return the checked document."""
        return self.document


class Transport:
    """Stands in for the ``requests.Session`` of prometheus-api-client.

    Args:
        source: address and credentials.
        connections: concurrent requests.
    """

    cert = None

    def __init__(self, source: SourceAccess, connections: int) -> None:
        self._name = source.name
        self._timeout = float(source.spec.timeout_seconds)
        tls = source.spec.tls
        self.verify = not (tls is not None and tls.insecure_skip_verify)
        self._session = Session(Adapter(source.ca_pem if self.verify else None, connections))
        self._session.headers.update(source.spec.headers)
        if source.bearer_token is not None:
            self._session.headers["Authorization"] = f"Bearer {source.bearer_token}"
        self._session.auth = source.basic_auth

    def mount(self, _prefix: str, _adapter: HTTPAdapter) -> None:
        """Do nothing: the library would mount an adapter that retries."""

    def close(self) -> None:
        """Close all idle connections."""
        self._session.close()

    def request(self, method: str, url: str, *, params: dict[str, Any], **_others: Any) -> Answer:
        """Send one request and return its checked answer, as ``send`` does."""
        most = MAX_BODY_BYTES if url.endswith("/query_range") else MAX_INSTANT_BYTES
        return self.send(method, url, params, most=most, seconds=self._timeout)

    def send(self, method: str, url: str, params: dict[str, Any], *, most: int, seconds: float) -> Answer:
        """Send one request and return its checked answer.

        The parameters are sent in the body, which has no limit on the length of queries.

        Args:
            method: of HTTP.
            url: address of the API's function.
            params: its parameters.
            most: bytes of the answer.
            seconds: time until the whole answer must be there.

        Raises:
            QueryFailed: this query failed.
            MetricsUnavailable: the endpoint did not answer as a Prometheus does.
            SpecError: reason ``MetricsSourceForbidden`` or ``MetricsSourceInvalid``.
        """
        with deadlines.within(seconds) as exchange:
            try:
                return self._exchange(method, url, params, most)
            except (OSError, ValueError, urllib3.exceptions.HTTPError, HTTPException, MetricsUnavailable) as error:
                # Checked first: a socket that was shut down looks like the end of an answer.
                if isinstance(error, TooLarge) or exchange.too_large:
                    raise QueryFailed("too_large") from error
                if exchange.too_late:
                    raise self._no_answer() from error
                if isinstance(error, MetricsUnavailable):
                    raise
                raise self._translated(error) from error

    def _exchange(self, method: str, url: str, params: dict[str, Any], most: int) -> Answer:
        with self._session.request(
            method,
            url,
            data=params,
            verify=self.verify,
            timeout=(self._timeout, self._timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            self._check_status(response.status_code)
            return self._check(response.status_code, read(response, most))

    def _translated(self, error: Exception) -> TwinOpsError:
        if isinstance(error, (requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError)):
            return self._no_answer()
        if isinstance(error, (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError)):
            return SourceInvalid(
                f"the address, a header or the credentials of metrics source {self._name} cannot be sent over HTTP"
            )
        if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
            return self._unavailable("its TLS certificate is not trusted, or TLS failed")
        return self._unavailable("no connection, or it broke")

    def _check_status(self, status: int) -> None:
        """Raise for statuses whose body does not matter."""
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

    def _check(self, status: int, body: bytes) -> Answer:
        document = _parse(body)
        if status == _OK and document.get("status") == "success":
            return Answer(status, self._with_result(document))
        kind = document.get("errorType")
        if isinstance(kind, str) and kind in _REFUSALS and status != _TOO_MANY_REQUESTS:
            text = document.get("error")
            found = _POSITION.match(text) if isinstance(text, str) else None
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
        # prometheus-api-client returns the result alone, so warnings beside it must be read here.
        if lacking := shortcoming(document):
            raise QueryFailed(lacking)
        return document

    def _no_answer(self) -> NoAnswer:
        return NoAnswer(f"metrics source {self._name}: no answer within {self._timeout:.0f} s")

    def _unavailable(self, why: str) -> MetricsUnavailable:
        return MetricsUnavailable(f"metrics source {self._name}: {why}")


def _parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object, an empty one for anything else.

    Raises:
        QueryFailed: it has more than ``MAX_PARTS`` parts.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > MAX_PARTS:
        raise QueryFailed("too_large")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
