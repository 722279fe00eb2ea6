"""MetricsSources, and the Secrets they name in the operator's own namespace."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.paths import resource_path
from twinops.api import API_VERSION
from twinops.api.source.spec import MetricsSourceSpec, SecretKeyRef, SecretRef
from twinops.errors import ClusterError, NotFound, Refused, SourceInvalid, SourceNotFound, SpecError
from twinops.ports.kubernetes import SourceRef
from twinops.ports.metrics import SourceAccess
from twinops.ports.process import Clock

PLURAL = "metricssources"
KIND = "MetricsSource"

TTL_SECONDS = 30.0
"""A change that no watch told (a rotated Secret, above all) is seen after this time."""

PROBLEM_TTL_SECONDS = 3.0
"""A problem is looked at again soon (the Secret may be there by now), but not once per twin."""

MOST_KEPT = 256
"""With so many answers kept, those that are too old are dropped first."""


@dataclass(frozen=True, slots=True)
class _Cached:
    answer: SourceAccess | SpecError
    until: float


class ClusterSources:
    """Reads MetricsSources with their credentials, and keeps them for a short while.

    Args:
        client: the API server.
        clock: monotonic time for the cache.
        namespace: the operator's own: the only one whose Secrets are read.
    """

    def __init__(self, client: KubeClient, clock: Clock, namespace: str) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._cache: dict[str, _Cached] = {}
        self._reading: dict[str, asyncio.Future[_Cached]] = {}

    async def access(self, name: str) -> SourceAccess:
        """Return the source with its credentials.

        Raises:
            SourceNotFound: there is no such source.
            SourceInvalid: a Secret or a key is missing or unusable; the message says how to mend it.
            ClusterError: the API server did not answer.
        """
        cached = self._cache.get(name)
        if cached is None or cached.until <= self._clock.monotonic():
            cached = await self._read_once(name)
        if isinstance(cached.answer, SpecError):
            # A new one each time: raising the same would pile up tracebacks.
            raise type(cached.answer)(str(cached.answer), reason=cached.answer.reason)
        return cached.answer

    def _keep(self, name: str, cached: _Cached) -> None:
        # Anybody may name sources that are none: nothing is kept by name for longer than it is of use.
        if len(self._cache) >= MOST_KEPT:
            now = self._clock.monotonic()
            self._cache = {known: one for known, one in self._cache.items() if one.until > now}
        self._cache[name] = cached

    def forget(self, name: str) -> None:
        """Read the source anew when it is next asked for: it changed, or went."""
        self._cache.pop(name, None)
        # What is being read may have been read too early to be kept.
        self._reading.pop(name, None)

    async def read(self, name: str) -> Mapping[str, Any]:
        """Return the source of this name as it is now. Raises NotFound."""
        return await self._client.get(_path(name))

    async def get(self, ref: SourceRef) -> Mapping[str, Any]:
        """Return the source as it is now.

        Raises:
            NotFound: it is gone, or another one has taken its name.
            ClusterError: the API server said no, or nothing.
        """
        body = await self.read(ref.name)
        if body["metadata"]["uid"] != ref.uid:
            raise NotFound(f"{KIND} {ref.name} was made anew", status=404)
        return body

    async def write_status(
        self, ref: SourceRef, status: Mapping[str, Any], *, resource_version: str
    ) -> Mapping[str, Any]:
        """Replace the status and return the object as written.

        Raises:
            Conflict: the source changed since ``resource_version`` was read, or was made anew.
            ClusterError: the API server said no, or nothing.
        """
        metadata = {"name": ref.name, "uid": ref.uid, "resourceVersion": resource_version}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": dict(status)}
        return await self._client.replace(_path(ref.name, "status"), body)

    async def _read_once(self, name: str) -> _Cached:
        """Read the source, or wait for the one who does: thousands of twins may share it, and its failure, too."""
        reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.ensure_future(self._read(name))
            reading.add_done_callback(lambda done: self._end(name, done))
        try:
            return await asyncio.shield(reading)
        except ClusterError as error:
            # A new one each time, for the same reason as above.
            raise type(error)(str(error), status=error.status, retry_after=error.retry_after) from error

    def _end(self, name: str, done: asyncio.Future[_Cached]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if self._reading.get(name) is done:
            del self._reading[name]
            if not failed:
                self._keep(name, done.result())

    async def _read(self, name: str) -> _Cached:
        now = self._clock.monotonic()
        try:
            return _Cached(await self._resolve(name), now + TTL_SECONDS)
        except SpecError as problem:
            return _Cached(problem, now + PROBLEM_TTL_SECONDS)

    async def _resolve(self, name: str) -> SourceAccess:
        try:
            body = await self.read(name)
        except NotFound as error:
            raise SourceNotFound(
                f"{KIND} {name} does not exist: create it, or name another one in spec.source.metricsSourceRef"
            ) from error
        try:
            spec = MetricsSourceSpec.from_wire(body.get("spec") or {})
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise SourceInvalid(f"{KIND} {name}: spec.{where} cannot be read: {error.errors()[0]['msg']}") from error
        reader = _SecretReader(self._client, self._namespace, name)
        token = spec.auth and spec.auth.bearer_token_secret_ref
        basic = spec.auth and spec.auth.basic_auth_secret_ref
        ca = spec.tls and spec.tls.ca_secret_ref
        return SourceAccess(
            name=name,
            spec=spec,
            bearer_token=await reader.token(token) if token else None,
            basic_auth=await reader.basic_auth(basic) if basic else None,
            ca_pem=await reader.certificates(ca) if ca else None,
        )


class _SecretReader:
    """Reads the Secrets of one source; no message ever shows what is in them."""

    def __init__(self, client: KubeClient, namespace: str, source: str) -> None:
        self._client = client
        self._namespace = namespace
        self._source = source

    async def token(self, ref: SecretKeyRef) -> str:
        token = (await self._text(ref.name, ref.key)).strip()
        if not token or not token.isascii() or not token.isprintable():
            raise self._problem(ref.name, ref.key, "must hold a bearer token: one line of ASCII, not empty")
        return token

    async def basic_auth(self, ref: SecretRef) -> tuple[str, str]:
        username = (await self._text(ref.name, "username")).rstrip("\r\n")
        if not username or ":" in username:
            raise self._problem(ref.name, "username", "must hold a user name: not empty, without a colon")
        return username, (await self._text(ref.name, "password")).rstrip("\r\n")

    async def certificates(self, ref: SecretKeyRef) -> str:
        pem = await self._text(ref.name, ref.key)
        try:
            ssl.create_default_context(cadata=pem or "empty")
        except ssl.SSLError as error:
            raise self._problem(ref.name, ref.key, "must hold certificates in PEM form") from error
        return pem

    async def _text(self, name: str, key: str) -> str:
        try:
            secret = await self._client.get(resource_path("v1", "secrets", namespace=self._namespace, name=name))
        except NotFound as error:
            raise self._problem(name, None, f"does not exist: create it with the key {key}") from error
        except Refused as error:
            raise self._problem(
                name, None, "may not be read: name it in rbac.secretNames of the chart, or grant get"
            ) from error
        data = secret.get("data") or {}
        if key not in data:
            raise self._problem(name, key, "is missing: add it, or name a key that it has")
        try:
            return base64.b64decode(data[key]).decode()
        except ValueError as error:
            raise self._problem(name, key, "must hold text in UTF-8") from error

    def _problem(self, name: str, key: str | None, what: str) -> SourceInvalid:
        where = f"Secret {self._namespace}/{name}" + (f", key {key}," if key else "")
        return SourceInvalid(f"{KIND} {self._source}: {where} {what}")


def _path(name: str, subresource: str | None = None) -> str:
    return resource_path(API_VERSION, PLURAL, name=name, subresource=subresource)
