"""A client of the Kubernetes API: JSON in, JSON out, a time-out on every request, errors as ours.

It uses ``kubernetes.aio``'s ``ApiClient`` for connection, TLS and credentials, not its models: objects are returned
as the API server sends them, unknown fields included. No request is retried here; the caller decides whether it may
be repeated. Requests for one resource never take all connections (see ``FairSemaphore``), so that one whose webhook or
API service hangs does not block the others.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient

from twinops.adapters.kubernetes.answers import (
    BROKEN,
    Json,
    read_error,
    read_event,
    read_lines,
    read_object,
    unavailable,
)
from twinops.adapters.kubernetes.connection import load_configuration
from twinops.adapters.kubernetes.paths import resource_of
from twinops.api import FIELD_MANAGER
from twinops.engine.fair_semaphore import FairSemaphore

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

TIMEOUT_SECONDS: Final = 10.0
PAGE: Final = 500
_LISTS_AT_ONCE: Final = 8

Body = dict[str, Any] | list[dict[str, Any]]
Params = Mapping[str, str | int | bool]


class KubeClient:
    """Sends single requests to the API server.

    Args:
        api: the client whose connection, TLS and credentials are used; closed by ``aclose``.
        timeout_seconds: time-out of a request that does not give its own.
        fence: called right before every write; the write is not sent when it raises.
        permits: shares the connections among resources; None for an allocation of its own.
    """

    def __init__(
        self,
        api: ApiClient,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        fence: Callable[[], None] | None = None,
        permits: FairSemaphore | None = None,
    ) -> None:
        self._api = api
        connections = api.configuration.connection_pool_maxsize
        self._permits = permits or FairSemaphore(connections, spare=(connections // 4,))
        self._timeout_seconds = timeout_seconds
        self._fence = fence
        self._owned: list[KubeClient] = []

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, *, context: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> KubeClient:
        """Connect with this kubeconfig, else with the pod's service account, else with the default kubeconfig.

        Tokens are read again every minute, since projected service-account tokens expire after an hour.

        Raises:
            SettingsError: no usable configuration was found.
        """
        configuration = await load_configuration(kubeconfig, context=context)
        return cls(ApiClient(configuration), timeout_seconds=timeout_seconds)

    def fenced(self, fence: Callable[[], None], *, timeout_seconds: float) -> KubeClient:
        """Return a client over the same connections whose writes are sent only while ``fence`` does not raise.

        Args:
            fence: raises when this process may not write.
            timeout_seconds: time-out of a request; a write that the fence allowed must end before another
                process can acquire the lease.
        """
        return KubeClient(self._api, timeout_seconds=timeout_seconds, fence=fence, permits=self._permits)

    def for_watches(self) -> KubeClient:
        """Return a client with an unlimited connection pool of its own. Closed with this one.

        A watch holds its connection for minutes; in a bounded pool, watches would take all connections.
        """
        configuration = copy.copy(self._api.configuration)
        configuration.connection_pool_maxsize = 0
        client = KubeClient(
            ApiClient(configuration), timeout_seconds=self._timeout_seconds, permits=FairSemaphore(_LISTS_AT_ONCE)
        )
        self._owned.append(client)
        return client

    async def get(self, path: str, *, params: Params | None = None, timeout_seconds: float | None = None) -> Json:
        """Read one object, or one page of a list.

        Raises:
            ClusterError: NotFound, Refused or Unavailable.
        """
        return await self._send("GET", path, params=params, timeout_seconds=timeout_seconds)

    async def list(
        self,
        path: str,
        *,
        params: Params | None = None,
        timeout_seconds: float | None = None,
        trim: Callable[[Json], Json] | None = None,
    ) -> Json:
        """Read a whole collection, page by page.

        Args:
            path: of the collection.
            params: of the query.
            timeout_seconds: of each page.
            trim: maps each item to what is kept of it, so that only one page is ever held whole.

        Returns:
            The last page with the ``items`` of all pages. Items of a list carry no ``kind`` and ``apiVersion``.

        Raises:
            ClusterError: Unavailable with status 410 when the continue token has expired; then start again.
        """
        items: list[Any] = []
        query = {"limit": PAGE, **(params or {})}
        while True:
            page = await self._send("GET", path, params=query, timeout_seconds=timeout_seconds)
            found = page.get("items") or []
            items += found if trim is None else map(trim, found)
            proceed = (page.get("metadata") or {}).get("continue")
            if not proceed:
                return {**page, "items": items}
            query["continue"] = proceed

    async def watch(
        self, path: str, *, version: str, timeout_seconds: int, silence_seconds: float, opened: Callable[[], None]
    ) -> AsyncGenerator[Json]:
        """Yield the events of a watch, as the API server sends them, until it ends the answer.

        Args:
            path: of the collection.
            version: resourceVersion of the list, or of the last event, to continue from.
            timeout_seconds: after which the API server ends the watch.
            silence_seconds: longest time without a byte; the API server sends a bookmark about once a minute.
            opened: called when the headers of the answer have arrived.

        Raises:
            ClusterError: NotFound, Refused or Unavailable; with status 410 when the version is too old.
        """
        params: Params = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": version,
            "timeoutSeconds": timeout_seconds,
        }
        what = f"WATCH {path}"
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_seconds, sock_read=silence_seconds)
        try:
            answer = (await self._request("GET", path, params=params, limit=limit)).response
        except BROKEN as error:
            raise unavailable(what, error) from error
        try:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise read_error(what, answer.status, await answer.read(), answer.headers.get("Retry-After"))
            opened()
            async for line in read_lines(what, answer.content):
                yield read_event(what, line)
        except BROKEN as error:
            raise unavailable(what, error) from error
        finally:
            answer.close()

    async def create(
        self, path: str, body: Body, *, params: Params | None = None, timeout_seconds: float | None = None
    ) -> Json:
        """Create an object in the collection at ``path`` and return it.

        Raises:
            ClusterError: Conflict when it exists, Refused or Unavailable.
        """
        query = {"fieldManager": FIELD_MANAGER, **(params or {})}
        return await self._send("POST", path, body=body, params=query, timeout_seconds=timeout_seconds)

    async def replace(
        self, path: str, body: Body, *, params: Params | None = None, timeout_seconds: float | None = None
    ) -> Json:
        """Replace an object and return it.

        Raises:
            ClusterError: Conflict when its ``metadata.resourceVersion`` is no longer current, NotFound,
                Refused or Unavailable.
        """
        query = {"fieldManager": FIELD_MANAGER, **(params or {})}
        return await self._send("PUT", path, body=body, params=query, timeout_seconds=timeout_seconds)

    async def patch(
        self,
        path: str,
        body: Body,
        *,
        content_type: str = MERGE_PATCH,
        params: Params | None = None,
        timeout_seconds: float | None = None,
    ) -> Json:
        """Patch an object and return it.

        Raises:
            ClusterError: Conflict, NotFound, Refused (a failed ``test`` of a JSON patch is one) or Unavailable.
        """
        query = {"fieldManager": FIELD_MANAGER, **(params or {})}
        return await self._send(
            "PATCH", path, body=body, params=query, content_type=content_type, timeout_seconds=timeout_seconds
        )

    async def delete(
        self,
        path: str,
        *,
        body: Body | None = None,
        params: Params | None = None,
        timeout_seconds: float | None = None,
    ) -> Json:
        """Delete an object and return the answer.

        Raises:
            ClusterError: NotFound, Conflict (a precondition), Refused or Unavailable.
        """
        return await self._send("DELETE", path, body=body, params=params, timeout_seconds=timeout_seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._owned:
            await client.aclose()
        await self._api.close()  # type: ignore[no-untyped-call]  # ships no types

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        params: Params | None = None,
        content_type: str = JSON,
        timeout_seconds: float | None = None,
    ) -> Json:
        what = f"{method} {path}"
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            async with asyncio.timeout(limit):
                permit = await self._permits.acquire((resource_of(path),))
            try:
                if self._fence is not None and method != "GET":
                    # After the permit was acquired: the lease may be lost while the request waits for it.
                    self._fence()
                total = aiohttp.ClientTimeout(total=limit)
                answer = await self._request(
                    method, path, body=body, params=params, content_type=content_type, limit=total
                )
                raw: bytes = await answer.read()
            finally:
                permit.release()
        except BROKEN as error:
            raise unavailable(what, error) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's success codes
            raise read_error(what, answer.status, raw, answer.headers.get("Retry-After"))
        return read_object(what, raw)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        limit: aiohttp.ClientTimeout,
        body: Body | None = None,
        params: Params | None = None,
        content_type: str = JSON,
    ) -> Any:
        """Send a request and return the response once its headers have arrived."""
        verb, url, signed, _, _ = await self._api.param_serialize(
            method,
            path,
            query_params=[(key, _text(value)) for key, value in (params or {}).items()],
            header_params={"Accept": JSON, "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(verb, url, signed, body, _request_timeout=limit)


def _text(value: str | int | bool) -> str:  # noqa: FBT001 - a query parameter, not a switch
    return str(value).lower() if isinstance(value, bool) else str(value)
