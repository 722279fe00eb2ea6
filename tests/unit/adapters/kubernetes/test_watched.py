"""A kind in several namespaces: each is watched, refused and current by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from fakes.clock import FakeClock, in_fake_time
from fakes.kube_collection import FakeCollection, thing
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.hpa_cache import KeptScaler
from twinops.adapters.kubernetes.watched import STARTING_SECONDS, Watched
from twinops.errors import Refused


@dataclass
class ByNamespace:
    """Stands in for a client: one collection each."""

    places: dict[str, FakeCollection]
    asked: set[str] = field(default_factory=set)

    def _of(self, path: str) -> FakeCollection:
        self.asked.add(path)
        return self.places[path.split("/")[-2]]

    async def get(self, path: str, **more: Any) -> Any:
        return await self._of(path).get(path, **more)

    def watch(self, path: str, **more: Any) -> Any:
        return self._of(path).watch(path, **more)


def keep(body: Any) -> KeptScaler:
    meta = body["metadata"]
    return KeptScaler(meta["namespace"], meta["name"], int(meta["resourceVersion"]), ("", "", "", ""))


@in_fake_time
async def test_each_namespace_by_itself() -> None:
    shop, pay = FakeCollection(thing("a", 1, "shop")), FakeCollection()
    pay.failing = Refused("403", status=403)
    client = ByNamespace({"shop": shop, "pay": pay})
    watched = Watched(
        cast("KubeClient", client), FakeClock(), "v1", "pods", ["shop", "pay"], keep=keep, changed=lambda *_: None
    )
    task = asyncio.create_task(watched.run())
    begun = asyncio.get_running_loop().time()
    await watched.first()
    await asyncio.sleep(1)

    assert asyncio.get_running_loop().time() - begun < STARTING_SECONDS
    assert client.asked == {"/api/v1/namespaces/shop/pods", "/api/v1/namespaces/pay/pods"}
    current = watched.current("shop")
    assert current is not None
    assert current.get("shop", "a") is not None
    assert watched.current("pay") is None
    assert watched.forbidden("pay") is pay.failing
    assert (watched.forbidden("shop"), watched.forbidden("other")) == (None, None)
    assert watched.of("other") is None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
