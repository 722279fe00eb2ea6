"""A local copy of a collection, updated by LIST and WATCH; of every object only the fields in use are stored.

The client library's asyncio watch neither lists first nor resumes from bookmarks, builds a model of every object and
reconnects without a pause; its informer needs threads. See ``docs/decisions/0007``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import structlog

from twinops.adapters.kubernetes.answers import Json
from twinops.adapters.kubernetes.client import PAGE, KubeClient
from twinops.errors import ClusterError, NotFound, Refused, Unavailable
from twinops.ports.process import Clock

log = structlog.get_logger()

WATCH_SECONDS = 300
"""Length of one watch; the next one resumes at its last resourceVersion."""

SILENCE_SECONDS = 90.0
"""Longest time without a byte, bookmarks included; a connection that the network dropped shows in no other way."""

GRACE_SECONDS = 10.0
"""The copy counts as current for so long after its watch was cut."""

LONGEST_PAUSE = 30.0
NOT_SERVED_SECONDS = 60.0
"""Pause before a kind that is not served is asked for again; its CRD may be installed at any time."""

REFUSED_SECONDS = 300.0
"""Pause after a refusal; every refusal is a line in the cluster's audit log."""

DOUBTED_REFUSALS = 4
"""So many refusals in a row are retried soon: an API server that starts refuses all until it has loaded its roles."""

_GONE = 410
_SHORT_LIFE = 1.0


class Kept(Protocol):
    """The stored part of an object."""

    @property
    def namespace(self) -> str:
        """Its namespace."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """Its resourceVersion; those of one kind compare as numbers (guaranteed since Kubernetes 1.35)."""
        ...


R = TypeVar("R", bound=Kept)
Key = tuple[str, str]


def version_of(body: Json) -> int:
    """Return an object's resourceVersion as a number; 0 for one that is not decimal, as other API servers may send."""
    try:
        return _number(body["metadata"]["resourceVersion"])
    except (KeyError, TypeError):
        return 0


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


class Reflector(Generic[R]):
    """A local copy of one collection.

    Args:
        client: of ``KubeClient.for_watches``.
        path: of the collection.
        clock: for pauses.
        keep: returns the stored part of an object; raises LookupError, TypeError, ValueError or AttributeError for an
            object that cannot be read, which is then left out.
        changed: called with the stored part before and after a change, None for a new or deleted object. The third
            argument is True for objects of the first list.

    Attributes:
        failure: error of the last attempt, None after a success.
        forbidden: error of a list that was refused for a missing right (403), None otherwise.
        settled: set once the first attempt has succeeded or failed.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        clock: Clock,
        *,
        keep: Callable[[Json], R],
        changed: Callable[[R | None, R | None, bool], None],
    ) -> None:
        self._client = client
        self._path = path
        self._clock = clock
        self._keep = keep
        self._changed = changed
        self._kept: dict[Key, R] = {}
        self._version = ""
        self._connected = False
        self._contact = float("-inf")
        self._failures = 0
        self._refusals = 0
        self._first = True
        self.failure: ClusterError | None = None
        self.forbidden: Refused | None = None
        self.settled = asyncio.Event()

    @property
    def current(self) -> bool:
        """Whether the copy is up to date, apart from events in transit."""
        return bool(self._version) and (self._connected or self._clock.monotonic() - self._contact < GRACE_SECONDS)

    def get(self, namespace: str, name: str) -> R | None:
        """Return the stored part of one object, None when it is not in the copy."""
        return self._kept.get((namespace, name))

    def __iter__(self) -> Iterator[R]:
        return iter(self._kept.values())

    def take(self, body: Json) -> None:
        """Store an object from another read, unless a newer version or its deletion is already known."""
        now = self._read(body)
        if now is None:
            return
        if (now.namespace, now.name) not in self._kept and now.version <= _number(self._version):
            # Not newer than the watch and not in the copy: it was deleted, and no further event would remove it.
            return
        self._put(now)

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            began = self._clock.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ClusterError as error:
                await self._clock.sleep(self._after(error))
            else:
                if self._clock.monotonic() - began < _SHORT_LIFE:
                    await self._clock.sleep(self._pause())
                else:
                    self._failures = 0
            finally:
                self._connected = False

    async def _list(self) -> None:
        """Read the whole collection, page by page; of each page only the stored parts are held."""
        found, version = await self._pages()
        for key in self._kept.keys() - found.keys():
            self._drop(key)
        for one in found.values():
            self._put(one)
        self._version = version
        self._first = False
        self.forbidden = None
        self._well()

    async def _pages(self) -> tuple[dict[Key, R], str]:
        found: dict[Key, R] = {}
        query: dict[str, str | int | bool] = {"limit": PAGE}
        while True:
            try:
                page = await self._client.get(self._path, params=query)
            except Refused as error:
                self.forbidden = error if is_forbidden(error) else None
                raise
            for body in page.get("items") or ():
                one = self._read(body)
                if one is not None:
                    found[one.namespace, one.name] = one
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return found, str(meta.get("resourceVersion") or "0")
            query["continue"] = meta["continue"]

    async def _watch(self) -> None:
        events = self._client.watch(
            self._path,
            version=self._version,
            timeout_seconds=WATCH_SECONDS,
            silence_seconds=SILENCE_SECONDS,
            opened=self._opened,
        )
        try:
            async for event in events:
                self._well()
                self._event(event["type"], event["object"])
            # The copy was current until the answer ended, however old the last event is.
            self._contact = self._clock.monotonic()
        finally:
            await events.aclose()

    def _opened(self) -> None:
        self._connected = True
        self._contact = self._clock.monotonic()
        self._refusals = 0
        self.failure = None

    def _event(self, kind: str, body: Json) -> None:
        meta = body.get("metadata") or {}
        if kind == "DELETED":
            self._drop((meta.get("namespace") or "", meta.get("name") or ""))
        elif kind != "BOOKMARK" and (now := self._read(body)) is not None:
            self._put(now)
        self._version = str(meta.get("resourceVersion") or self._version)

    def _read(self, body: Json) -> R | None:
        """Return the stored part of an object, None when it cannot be read."""
        try:
            return self._keep(body)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.warning("object could not be read", path=self._path, error=str(error))
            return None

    def _put(self, now: R) -> None:
        key = (now.namespace, now.name)
        before = self._kept.get(key)
        if before is not None and before.version > now.version:
            return
        self._kept[key] = now
        if before is None or before.version != now.version:
            self._changed(before, now, self._first)

    def _drop(self, key: Key) -> None:
        before = self._kept.pop(key, None)
        if before is not None:
            self._changed(before, None, False)  # noqa: FBT003 - a callback's third argument

    def _well(self) -> None:
        self._contact = self._clock.monotonic()
        self._failures = 0
        self.failure = None
        self.settled.set()

    def _after(self, error: ClusterError) -> float:
        """Record a failure and return the seconds until the next attempt."""
        before, self.failure = self.failure, error
        self.settled.set()
        if error.status == _GONE:
            # The resourceVersion is too old to resume from: list again.
            self._version = ""
            return self._pause()
        if isinstance(error, Unavailable):
            if before is None:
                log.info("watch was cut", path=self._path, error=str(error))
            return max(self._pause(), error.retry_after or 0)
        self._version = ""
        if isinstance(error, NotFound):
            if not isinstance(before, NotFound):
                log.info("kind is not served", path=self._path)
            return _around(NOT_SERVED_SECONDS)
        if not isinstance(before, Refused):
            log.warning("watch is refused", path=self._path, error=str(error))
        self._refusals += 1
        return self._pause() if self._refusals <= DOUBTED_REFUSALS else _around(REFUSED_SECONDS)

    def _pause(self) -> float:
        pause = min(2.0**self._failures, LONGEST_PAUSE)
        self._failures += 1
        return _around(pause)


def _around(seconds: float) -> float:
    # Jitter: watches that were cut together must not reconnect together.
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def is_forbidden(error: ClusterError) -> bool:
    """Whether the error is a missing right (403)."""
    return isinstance(error, Refused) and error.status == 403  # noqa: PLR2004 - HTTP's Forbidden
