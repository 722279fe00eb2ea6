"""Creating objects by the ten thousand: kept connections, several requests at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import aiohttp

from benchmarks.scale import objects
from benchmarks.scale.objects import Json
from benchmarks.scale.workload import Place
from devcluster.cluster import DevCluster
from devcluster.errors import ApiError, DevClusterError
from devcluster.waiting import wait_until

T = TypeVar("T")

Send = Callable[[str, str, Json], Awaitable[Json]]
"""Takes method, path and body; returns the answer."""

_AT_A_TIME = 16
_ACCOUNTS_SECONDS = 300.0


def create_workloads(cluster: DevCluster, places: Sequence[Place]) -> None:
    """Create the namespaces of the workloads and all that a workload consists of.

    Raises:
        DevClusterError: an object was refused, or the namespaces did not get their service accounts, without which
            no pod can be.
    """
    names = sorted({where.namespace for where in places})
    _each(cluster, names, lambda send, name: send("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
    wait_until(
        lambda: not _without_account(cluster, names),
        within=_ACCOUNTS_SECONDS,
        what="every namespace has its service account",
        interval=1.0,
    )
    _each(cluster, places, _create_workload)


def create_twins(cluster: DevCluster, places: Sequence[Place], interval: int) -> None:
    """Create a twin of each workload, as fast as the API server takes them.

    Raises:
        DevClusterError: one was refused.
    """
    resource = objects.TWINS.removeprefix("/")
    _each(
        cluster,
        places,
        lambda send, where: send("POST", objects.path(where, resource), objects.twin(where, interval)),
    )


def _without_account(cluster: DevCluster, namespaces: Iterable[str]) -> set[str]:
    accounts = cluster.api.get("/api/v1/serviceaccounts")["items"]
    return set(namespaces) - {account["metadata"]["namespace"] for account in accounts}


async def _create_workload(send: Send, where: Place) -> None:
    deployments = objects.path(where, "apis/apps/v1/deployments")
    deployment = await send("POST", deployments, objects.deployment(where))
    await send("PUT", f"{deployments}/{where.name}/status", objects.rolled_out(deployment))
    replica_sets = objects.path(where, "apis/apps/v1/replicasets")
    replica_set = await send("POST", replica_sets, objects.replica_set(where, deployment))
    pods = objects.path(where, "api/v1/pods")
    for name in where.pods:
        pod = await send("POST", pods, objects.pod(where, name, replica_set))
        await send("PUT", f"{pods}/{name}/status", objects.ready(pod))
    # What `kubectl apply` is called tells the operator that a person, not another controller, owns the field.
    hpas = objects.path(where, "apis/autoscaling/v2/horizontalpodautoscalers")
    await send("POST", f"{hpas}?fieldManager=kubectl-client-side-apply", objects.autoscaler(where))


def _each(cluster: DevCluster, items: Iterable[T], work: Callable[[Send, T], Awaitable[object]]) -> None:
    """Do the work for each item, several at a time, as the cluster's administrator; the first failure ends it."""
    config = json.loads(cluster.kubeconfig.read_text())
    asyncio.run(_all_of(config, iter(items), work))


async def _all_of(config: Json, todo: Iterator[T], work: Callable[[Send, T], Awaitable[object]]) -> None:
    async with _sending(config) as send:

        async def worker() -> None:
            for item in todo:
                await work(send, item)

        await asyncio.gather(*(worker() for _ in range(_AT_A_TIME)))


@asynccontextmanager
async def _sending(config: Json) -> AsyncIterator[Send]:
    """Give a function that sends as the owner of a kubeconfig of the local cluster."""
    server = config["clusters"][0]["cluster"]["server"]
    connector = aiohttp.TCPConnector(limit=_AT_A_TIME, ssl=_tls(config))
    async with aiohttp.ClientSession(server, connector=connector) as session:

        async def send(method: str, path: str, body: Json) -> Json:
            try:
                async with session.request(method, path, json=body) as response:
                    if not response.ok:
                        raise ApiError(method, path, response.status, await response.text())
                    answer: Json = await response.json()
                    return answer
            except aiohttp.ClientError as error:
                raise DevClusterError(f"{method} {path}: {error}") from error

        yield send


def _tls(config: Json) -> ssl.SSLContext:
    authority = _decoded(config["clusters"][0]["cluster"]["certificate-authority-data"])
    user = config["users"][0]["user"]
    context = ssl.create_default_context(cadata=authority)
    with TemporaryDirectory() as folder:
        # The ssl module reads a client's certificate from a file only.
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
        context.load_cert_chain(pair)
    return context


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
