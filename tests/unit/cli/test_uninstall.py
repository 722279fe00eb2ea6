"""What ``twinops uninstall`` asks of an API server with very many HPAs."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from typing import Any, cast

from fakes.clock import in_fake_time
from fakes.kube_collection import FakeCollection, FakeDiscovery, Json, thing
from twinops.adapters.kubernetes.client import KubeClient
from twinops.adapters.kubernetes.discovery import Discovery
from twinops.adapters.kubernetes.levers import ClusterLevers
from twinops.api.references import TargetRef
from twinops.cli.uninstall_run import Command
from twinops.errors import NotFound
from twinops.settings import Settings

TWINS = 200


class Server:
    """An API server with HPAs and without KEDA; the clients of requests and of watches at once."""

    def __init__(self, *hpas: Json) -> None:
        self.hpas = FakeCollection(*hpas)
        self.lists = 0

    def for_watches(self) -> Server:
        return self

    async def get(self, path: str, **options: Any) -> Json:
        if "horizontalpodautoscalers" not in path:
            raise NotFound("404", status=404)
        self.lists += 1
        return await self.hpas.get(path, **options)

    async def list(self, path: str, **_: Any) -> Json:
        return await self.get(path)

    def watch(self, path: str, **options: Any) -> AsyncGenerator[Json]:
        return self.hpas.watch(path, **options)


def hpa(number: int) -> Json:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"app{number}"}
    return thing(f"hpa{number}", number + 1, spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9})


@in_fake_time
async def test_hpas_are_listed_once_however_many_twins_there_are() -> None:
    server = Server(*(hpa(number) for number in range(TWINS)))
    client = cast("KubeClient", server)
    command = Command(argparse.Namespace(deadline=240.0), Settings.from_env({"TWINOPS_NAMESPACE": "own"}))
    async with command.scalers(client) as known:
        levers = ClusterLevers(client, cast("Discovery", FakeDiscovery()), *known)
        for number in range(TWINS):
            lever = await levers.find("shop", TargetRef(name=f"app{number}"), None)
            assert lever.object.name == f"hpa{number}"
    assert server.lists == 1
