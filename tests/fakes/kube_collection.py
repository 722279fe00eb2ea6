"""One collection of an API server, in virtual time: lists, watches, and what goes wrong with both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from twinops.adapters.kubernetes.discovery import ApiResource
from twinops.errors import ClusterError, Unavailable

Json = dict[str, Any]
_END = object()


def thing(name: str, version: int, namespace: str = "shop", **more: Any) -> Json:
    """Build an object."""
    meta = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta, **more}


class FakeCollection:
    """Stands in for a KubeClient that is only asked for one collection.

    Attributes:
        objects: by name, what a list finds.
        failing: raised by every request while it is set.
        watch_failing: raised by every watch while it is set.
        lists: times at which the first page was asked for.
        watches: versions from which was watched.
    """

    def __init__(self, *objects: Json, page: int = 500) -> None:
        self.objects = {one["metadata"]["name"]: one for one in objects}
        self.version = max((int(one["metadata"]["resourceVersion"]) for one in objects), default=1)
        self.failing: ClusterError | None = None
        self.watch_failing: ClusterError | None = None
        self.lists: list[float] = []
        self.watches: list[str] = []
        self._page = page
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, body: Json) -> None:
        """Create or change an object."""
        meta = body["metadata"]
        kind = "MODIFIED" if meta["name"] in self.objects else "ADDED"
        self.objects[meta["name"]] = body
        self.version = int(meta["resourceVersion"])
        self.send(kind, body)

    def remove(self, name: str, version: int) -> None:
        """Delete an object."""
        gone = self.objects.pop(name)
        self.version = version
        self.send("DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(version)}})

    def send(self, kind: str, body: Json) -> None:
        """Send an event to whoever watches."""
        self._events.put_nowait({"type": kind, "object": body})

    def cut(self, error: ClusterError | None = None) -> None:
        """End the watch that is under way."""
        self._events.put_nowait(error or _END)

    async def get(self, _path: str, *, params: Mapping[str, Any] | None = None) -> Json:
        """Answer one page of a list."""
        start = int((params or {}).get("continue", 0))
        if start == 0:
            self.lists.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        if self.failing is not None:
            raise self.failing
        items = list(self.objects.values())
        end = start + self._page
        proceed = {"continue": str(end)} if end < len(items) else {}
        return {"metadata": {"resourceVersion": str(self.version), **proceed}, "items": items[start:end]}

    async def watch(self, _path: str, *, version: str, opened: Callable[[], None], **_: Any) -> AsyncGenerator[Json]:
        """Yield events until the watch is cut."""
        self.watches.append(version)
        await asyncio.sleep(0.01)
        failing = self.failing or self.watch_failing
        if failing is not None:
            raise failing
        opened()
        while True:
            event = await self._events.get()
            if event is _END:
                return
            if isinstance(event, ClusterError):
                raise event
            yield event


class FakeDiscovery:
    """Every kind lives where its name says, and can be scaled."""

    async def find(self, _api_version: str, kind: str) -> ApiResource:
        """Return where it lives."""
        return ApiResource(f"{kind.lower()}s", namespaced=True, scalable=True)


def unreachable() -> Unavailable:
    """Return the error of a server that is away."""
    return Unavailable("GET /things: no answer")
