"""Connections for ``requests`` with a deadline per exchange and a bound on the bytes of an answer.

Socket time-outs bound the time between two bytes, not that of a whole answer; and ``http.client`` reads headers, chunk
lengths and bodies of redirects of any length. So bytes are counted as they are received, and another thread shuts the
socket down at the deadline, whatever the requesting thread waits for.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_WIRE_BYTES = 9 * 1024 * 1024
"""Bound of an answer on the wire in bytes: headers, body and framing."""

MAX_HEAD_BYTES = 256 * 1024
"""Bound of the bytes before the body, informational (1xx) answers included."""

_CHUNK = 64 * 1024
_BUFFER = 8 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(OSError):
    """An answer exceeds its bound in bytes."""


class Exchange:
    """One request and its answer. At its deadline its socket is shut down, so that the waiting thread fails.

    Attributes:
        end: deadline, in seconds of the monotonic clock.
        too_late: whether the deadline passed.
        too_large: whether the answer had too many bytes.
    """

    def __init__(self, end: float) -> None:
        """Start without a socket."""
        self.end = end
        self.too_late = False
        self.too_large = False
        self._descriptor = -1
        self._lock = threading.Lock()

    def watch(self, connection: socket.socket) -> None:
        """Set the socket in use."""
        with self._lock:
            self._let_go()
            # A duplicate descriptor: TLS detaches the socket during its handshake, and a connection that is not kept
            # alive is closed before its answer is read.
            self._descriptor = os.dup(connection.fileno())
            if self.too_late:
                self._shut_down()

    def expire(self) -> None:
        """Shut the socket down: the deadline has passed."""
        with self._lock:
            self.too_late = True
            self._shut_down()

    def close(self) -> None:
        """Release the socket."""
        with self._lock:
            self._let_go()

    def _shut_down(self) -> None:
        if self._descriptor < 0:
            return
        connection = socket.socket(fileno=self._descriptor)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.detach()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Deadlines:
    """Enforces the deadlines of all threads' exchanges, from one thread that runs while there are any."""

    _IDLE_SECONDS = 60.0

    def __init__(self) -> None:
        """Start without exchanges."""
        self._open: set[Exchange] = set()
        self._changed = threading.Condition()
        self._running = False
        self._wakes = 0.0

    @contextmanager
    def within(self, seconds: float) -> Iterator[Exchange]:
        """Set a deadline for what this thread sends and receives inside the block."""
        exchange = Exchange(time.monotonic() + seconds)
        with self._changed:
            self._open.add(exchange)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="metrics-deadlines", daemon=True).start()
            elif exchange.end < self._wakes:
                self._changed.notify()
        _here.exchange = exchange
        try:
            yield exchange
        finally:
            _here.exchange = None
            with self._changed:
                self._open.discard(exchange)
            exchange.close()

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for exchange in [one for one in self._open if one.end <= now]:
                    exchange.expire()
                    self._open.discard(exchange)
                self._wakes = min((one.end for one in self._open), default=now + self._IDLE_SECONDS)
                if not self._changed.wait(self._wakes - now) and not self._open:
                    self._running = False
                    return


class _Here(threading.local):
    """The exchange of the current thread."""

    exchange: Exchange | None = None


_here = _Here()
deadlines = Deadlines()
"""One for the whole process, to have one thread instead of one per source."""


class _Counted(io.RawIOBase):
    """Reads from another stream, up to a number of bytes.

    Attributes:
        left: bytes that may still be read.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        self.left = MAX_WIRE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        self.left -= count or 0
        if self.left < 0:
            if _here.exchange is not None:
                _here.exchange.too_large = True
            raise TooLarge("more bytes than an answer may have")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that counts all bytes, headers and framing included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # urllib3 and the standard library read lines of any length from this stream.
        self._counted = _Counted(self.fp.detach())
        self.fp = io.BufferedReader(self._counted, _BUFFER)

    def begin(self) -> None:
        self._counted.left = MAX_HEAD_BYTES
        super().begin()
        self._counted.left = MAX_WIRE_BYTES


class _Bounded:
    """Mixin of HTTP and HTTPS connections that registers their socket with the current exchange."""

    sock: socket.socket | None

    def _new_conn(self) -> socket.socket:
        connection: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the class it is mixed into
        _watch(connection)
        return connection

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _watch(self.sock)
        super().putrequest(*args, **kwargs)  # type: ignore[misc]  # likewise


def _watch(connection: socket.socket) -> None:
    if _here.exchange is not None:
        _here.exchange.watch(connection)


class _HTTP(_Bounded, HTTPConnection):
    response_class = _Response


class _HTTPS(_Bounded, HTTPSConnection):
    response_class = _Response


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class Adapter(HTTPAdapter):
    """An HTTP adapter without retries; a given CA bundle replaces the default trust store.

    The bundle is passed in memory: requests would need a file, which a read-only container cannot write.
    """

    def __init__(self, ca_pem: str | None, connections: int) -> None:
        self._context = None if ca_pem is None else ssl.create_default_context(cadata=ca_pem)
        super().__init__(pool_connections=1, pool_maxsize=connections + 1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use bounded connections, and the bundle."""
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave it to the bundle where there is one."""
        if self._context is None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]


class Session(requests.Session):
    """A session that ignores the environment, stores no cookies and follows no redirects."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Accept-Encoding"] = "gzip"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, _resp: requests.Response) -> None:
        """Return None: requests would read the whole body of a redirect even when it does not follow it."""


def read(response: requests.Response, most: int) -> bytes:
    """Return the decoded body.

    Raises:
        TooLarge: it has more than ``most`` bytes after decoding.
        requests.RequestException: it cannot be read, or has an encoding that was not requested.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise requests.exceptions.ContentDecodingError("an encoding that was not asked for")
    unpack = zlib.decompressobj(_GZIP) if encoding.endswith("gzip") else None
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        body += chunk if unpack is None else _unpacked(unpack, chunk, most + 1 - len(body))
        if len(body) > most:
            raise TooLarge("a body with more bytes than was expected")
    return bytes(body)


def _unpacked(unpack: Any, chunk: bytes, most: int) -> bytes:
    try:
        return bytes(unpack.decompress(chunk, most))
    except zlib.error as error:
        raise requests.exceptions.ContentDecodingError("not gzip") from error
