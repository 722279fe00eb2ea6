"""A thin client of the Kubernetes API: JSON in, JSON out, time-outs, and our errors.

It goes through ``kubernetes.aio``'s ``ApiClient`` for connection, TLS and credentials, and leaves its
models alone: what the API server sends is handed on unchanged, fields we do not know included.
Nothing is ever sent twice: whoever calls decides whether a request may be repeated. Requests for one resource
never take all connections: where its webhook or its API service hangs, the others still get through.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import OpenApiException
from yaml import YAMLError

from twinops.api import FIELD_MANAGER
from twinops.engine.fair_slots import FairSlots
from twinops.errors import ClusterError, Conflict, NotFound, Refused, SettingsError, Unavailable

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

TIMEOUT_SECONDS: Final = 10.0
PAGE: Final = 500
_TOKEN_PERIOD_SECONDS: Final = 60.0
_LONGEST_EVENT: Final = 16 << 20
_LISTS_AT_ONCE: Final = 8
_MESSAGE_LENGTH: Final = 500

UNREADABLE: Final = (YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the client raises at a kubeconfig that is none: it reads YAML and trusts in its form."""

_NO_NAMES: Final = frozenset({"", ".", ".."})
"""Parts that a path would swallow, and so lead elsewhere."""

Json = dict[str, Any]
Body = dict[str, Any] | list[dict[str, Any]]
Params = Mapping[str, str | int | bool]


def resource_path(
    api_version: str,
    plural: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """Return the path of a resource, every part escaped.

    Args:
        api_version: ``v1`` or ``group/version``.
        plural: for example ``deployments``.
        namespace: None for cluster-scoped resources, and to list over all namespaces.
        name: None for the collection.
        subresource: for example ``status`` or ``scale``.

    Raises:
        NotFound: a part that no object can be called.
    """
    parts = ["apis", *api_version.split("/", 1)] if "/" in api_version else ["api", api_version]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(plural)
    parts += [part for part in (name, subresource) if part is not None]
    if any(part in _NO_NAMES for part in parts):
        raise NotFound(f"{plural} {name!r}: no object can be called so", status=404)
    return "/" + "/".join(quote(part, safe="") for part in parts)


class KubeClient:
    """Sends single requests to the API server.

    Args:
        api: the client whose connection, TLS and credentials are used. It is closed with this one.
        timeout_seconds: limit of one request unless it names its own.
        fence: called right before every request that is not a read; raises to hold it back.
        places: shares the connections; None where no other client uses them.
    """

    def __init__(
        self,
        api: ApiClient,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        fence: Callable[[], None] | None = None,
        places: FairSlots | None = None,
    ) -> None:
        self._api = api
        connections = api.configuration.connection_pool_maxsize
        self._places = places or FairSlots(connections, spare=(connections // 4,))
        self._timeout_seconds = timeout_seconds
        self._fence = fence
        self._apart: list[KubeClient] = []

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, *, context: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> KubeClient:
        """Connect by this kubeconfig, else as the pod's service account, else by the default kubeconfig.

        Tokens are read again every minute: projected service-account tokens live for an hour.

        Raises:
            SettingsError: none of them can be used.
        """
        configuration = Configuration()
        # Writes must not be repeated behind our back: a second apply could undo somebody's change.
        configuration.retries = None
        configuration.client_go_retries = False
        try:
            if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                kube_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # ships no types
            else:
                await _load_kubeconfig(configuration, kubeconfig, context)
                _reload_tokens(configuration, kubeconfig, context)
        except (kube_config.ConfigException, OSError) as error:
            raise SettingsError(f"no way to reach a cluster: {error}") from error
        except UNREADABLE as error:
            raise SettingsError(
                f"no way to reach a cluster: the kubeconfig is none ({type(error).__name__})"
            ) from error
        _look_up_proxy(configuration)
        return cls(ApiClient(configuration), timeout_seconds=timeout_seconds)

    def fenced(self, fence: Callable[[], None], *, timeout_seconds: float) -> KubeClient:
        """Return a client over the same connections whose writes go out only while ``fence`` does not raise.

        Args:
            fence: raises when this process may not write.
            timeout_seconds: limit of one request; a write that was let through must end within the
                time that the fence leaves before somebody else may write.
        """
        return KubeClient(self._api, timeout_seconds=timeout_seconds, fence=fence, places=self._places)

    def apart(self) -> KubeClient:
        """Return a client with connections of its own, for what must not wait for anything. Closed with this one."""
        client = KubeClient(ApiClient(self._api.configuration), timeout_seconds=self._timeout_seconds)
        self._apart.append(client)
        return client

    def for_watches(self) -> KubeClient:
        """Return a client with connections of its own, as many as it has requests. Closed with this one.

        A watch holds its connection for minutes: within a pool, enough of them would leave none to anybody else.
        """
        configuration = copy.copy(self._api.configuration)
        configuration.connection_pool_maxsize = 0
        client = KubeClient(
            ApiClient(configuration), timeout_seconds=self._timeout_seconds, places=FairSlots(_LISTS_AT_ONCE)
        )
        self._apart.append(client)
        return client

    async def get(self, path: str, *, params: Params | None = None, timeout_seconds: float | None = None) -> Json:
        """Read one object (or, raw, one page of a list).

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
            trim: what is kept of an item, so that a collection takes no more than that and one page.

        Returns:
            The last page with the ``items`` of all pages. Items of a list carry no ``kind`` and ``apiVersion``.

        Raises:
            ClusterError: Unavailable also when the collection changed so much meanwhile that the pages
                no longer fit together (410); then start again.
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
        """Yield what changes in a collection, as the API server sends it, until it ends the answer.

        Args:
            path: of the collection.
            version: resourceVersion of the list, or of the last event, to go on from.
            timeout_seconds: after which the API server is to end it.
            silence_seconds: a connection on which nothing comes for so long is given up. The API server sends a
                bookmark about once a minute.
            opened: called when the API server has begun to answer.

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
        except _BROKEN as error:
            raise _unavailable(what, error) from error
        try:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise _error(what, answer.status, await answer.read(), answer.headers.get("Retry-After"))
            opened()
            async for line in _lines(what, answer.content):
                yield _event(what, line)
        except _BROKEN as error:
            raise _unavailable(what, error) from error
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
        """Delete an object and return what the API server said.

        Raises:
            ClusterError: NotFound, Conflict (a precondition), Refused or Unavailable.
        """
        return await self._send("DELETE", path, body=body, params=params, timeout_seconds=timeout_seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._apart:
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
                place = await self._places.take((_resource_of(path),))
            try:
                if self._fence is not None and method != "GET":
                    # Not before: the lease may be lost while other requests go first.
                    self._fence()
                total = aiohttp.ClientTimeout(total=limit)
                answer = await self._request(
                    method, path, body=body, params=params, content_type=content_type, limit=total
                )
                raw: bytes = await answer.read()
            finally:
                place.release()
        except _BROKEN as error:
            raise _unavailable(what, error) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's success codes
            raise _error(what, answer.status, raw, answer.headers.get("Retry-After"))
        return _object(what, raw)

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
        """Send a request, and return the answer as soon as its head is there."""
        verb, url, signed, _, _ = await self._api.param_serialize(
            method,
            path,
            query_params=[(key, _text(value)) for key, value in (params or {}).items()],
            header_params={"Accept": JSON, "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(verb, url, signed, body, _request_timeout=limit)


_BROKEN: Final = (TimeoutError, aiohttp.ClientError, OpenApiException, OSError)
"""How a connection shows that no whole answer came."""


def _unavailable(what: str, error: BaseException) -> Unavailable:
    return Unavailable(f"{what}: {type(error).__name__} {error}".rstrip())


async def _lines(what: str, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole lines; the reader's own ``readline`` gives up on long ones, as large objects are."""
    rest = bytearray()
    async for chunk in content.iter_any():
        *whole, tail = chunk.split(b"\n")
        for part in whole:
            yield bytes(rest + part)
            rest.clear()
        rest += tail
        if len(rest) > _LONGEST_EVENT:
            raise Unavailable(f"{what}: an event of more than {_LONGEST_EVENT} bytes")


def _event(what: str, line: bytes) -> Json:
    """Read one event of a watch.

    Raises:
        ClusterError: it says that the watch has failed.
    """
    event = _object(what, line)
    told = event.get("object")
    if not isinstance(told, dict):
        raise Unavailable(f"{what}: an event without an object")
    if event.get("type") == "ERROR":
        code = told.get("code")
        status = code if isinstance(code, int) else 500
        raise _kind(status)(f"{what}: {status} {told.get('message') or ''}".rstrip()[:_MESSAGE_LENGTH], status=status)
    return event


def _look_up_proxy(configuration: Configuration) -> None:
    """Take the proxy from the environment once, where the kubeconfig names none.

    Left to aiohttp, every single request would look it up again, and a netrc file as well, in threads that
    others may keep busy. Credentials come from the kubeconfig alone.
    """
    configuration.client_session_kwargs = {"trust_env": False}
    server = urlsplit(configuration.host)
    if not configuration.proxy and server.hostname and not proxy_bypass(server.netloc.rpartition("@")[2]):
        configuration.proxy = getproxies().get(server.scheme)


def _resource_of(path: str) -> str:
    """Return group and plural of the resource that a path leads to, whatever its namespace and name."""
    parts = path.split("/")[1:]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    if rest[:1] == ["namespaces"] and len(rest) > len(("namespaces", "name")):
        rest = rest[2:]
    return f"{group}/{rest[0] if rest else ''}"


async def _load_kubeconfig(configuration: Configuration, path: str | None, context: str | None) -> None:
    await kube_config.load_kube_config(  # type: ignore[no-untyped-call]  # ships no types
        config_file=path, context=context, client_configuration=configuration, persist_config=False
    )


def _reload_tokens(configuration: Configuration, path: str | None, context: str | None) -> None:
    """Read ``tokenFile`` and exec plugins again before they grow old."""
    if not configuration.api_key:
        return
    read_at = time.monotonic()

    async def reload(target: Configuration) -> None:
        # Clients over the same configuration share its keys, so whoever comes first reads for all.
        nonlocal read_at
        if time.monotonic() - read_at < _TOKEN_PERIOD_SECONDS:
            return
        read_at = time.monotonic()
        await _load_kubeconfig(target, path, context)

    configuration.refresh_api_key_hook = reload  # type: ignore[assignment]  # its type is read off its default


def _text(value: str | int | bool) -> str:  # noqa: FBT001 - a query parameter, not a switch
    return str(value).lower() if isinstance(value, bool) else str(value)


def _object(what: str, raw: bytes) -> Json:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{what}: the answer is not JSON that can be read") from error
    if not isinstance(data, dict):
        raise Unavailable(f"{what}: the answer is not a JSON object")
    return data


def _error(what: str, status: int, raw: bytes, retry_after: str | None) -> ClusterError:
    """Turn a ``metav1.Status`` answer into ours."""
    try:
        said = str(json.loads(raw).get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        said = ""
    message = f"{what}: {status} {said}".rstrip()[:_MESSAGE_LENGTH]
    return _kind(status)(message, status=status, retry_after=_seconds(retry_after))


def _kind(status: int) -> type[ClusterError]:
    match status:
        case 404:
            return NotFound
        case 409:
            return Conflict
        # A token may just have run out (it is read again), and an expired list must only be started again.
        case 401 | 408 | 410 | 429:
            return Unavailable
        case _ if 400 <= status < 500:  # noqa: PLR2004 - HTTP's client errors
            return Refused
        case _:
            return Unavailable


def _seconds(retry_after: str | None) -> float | None:
    """Read a ``Retry-After`` header; the API server sends whole seconds."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
