"""The thin client: what it sends, and how answers and faults become ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from twinops.adapters.kubernetes import answers, connection
from twinops.adapters.kubernetes.client import APPLY_PATCH, JSON_PATCH, KubeClient
from twinops.errors import ClusterError, Conflict, NotFound, Refused, SettingsError, Unavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def kubeconfig(directory: Path, url: str, token: str = "first") -> Path:  # noqa: S107 - not a secret
    (directory / "token").write_text(token)
    path = directory / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {"server": url}}],
                "users": [{"name": "test", "user": {"tokenFile": str(directory / "token")}}],
            }
        )
    )
    return path


@asynccontextmanager
async def served(directory: Path, handler: Handler, timeout_seconds: float = 5) -> AsyncIterator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        path = kubeconfig(directory, str(server.make_url("")).rstrip("/"))
        client = await KubeClient.connect(str(path), timeout_seconds=timeout_seconds)
        try:
            yield client
        finally:
            await client.aclose()


@pytest.mark.parametrize(
    ("status", "headers", "error", "retry_after"),
    [
        pytest.param(400, {}, Refused, None, id="bad request"),
        pytest.param(401, {}, Unavailable, None, id="token run out"),
        pytest.param(403, {}, Refused, None, id="forbidden"),
        pytest.param(404, {}, NotFound, None, id="missing"),
        pytest.param(409, {}, Conflict, None, id="conflict"),
        pytest.param(410, {}, Unavailable, None, id="list expired"),
        pytest.param(422, {}, Refused, None, id="invalid"),
        pytest.param(429, {"Retry-After": "7"}, Unavailable, 7.0, id="too many requests"),
        pytest.param(429, {"Retry-After": "soon"}, Unavailable, None, id="retry-after that is no number"),
        pytest.param(500, {}, Unavailable, None, id="server error"),
        pytest.param(503, {"Retry-After": "1"}, Unavailable, 1.0, id="overloaded"),
    ],
)
@pytest.mark.parametrize("method", ["get", "create", "patch", "replace", "delete"])
async def test_an_error_is_translated_and_the_request_sent_once(
    tmp_path: Path,
    method: str,
    status: int,
    headers: dict[str, str],
    error: type[ClusterError],
    retry_after: float | None,
) -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        return web.json_response({"kind": "Status", "message": "no, because"}, status=status, headers=headers)

    async with served(tmp_path, handler) as client:
        arguments: list[Any] = [] if method in ("get", "delete") else [{}]
        with pytest.raises(error, match="no, because") as refused:
            await getattr(client, method)("/api/v1/namespaces/a/pods/b", *arguments)
    assert (refused.value.status, refused.value.retry_after) == (status, retry_after)
    assert type(refused.value) is error
    assert len(seen) == 1


@pytest.mark.parametrize(
    "body", [pytest.param("<html>", id="not JSON"), pytest.param("[1]", id="no object"), pytest.param("", id="empty")]
)
async def test_an_answer_that_is_no_object(tmp_path: Path, body: str) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with served(tmp_path, handler) as client:
        with pytest.raises(Unavailable, match="not"):
            await client.get("/api/v1/pods")


async def test_a_server_that_never_answers(tmp_path: Path) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with served(tmp_path, handler, timeout_seconds=0.2) as client:
        with pytest.raises(Unavailable, match="Timeout") as refused:
            await client.get("/api/v1/pods")
    assert isinstance(refused.value.__cause__, TimeoutError)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    client = await KubeClient.connect(str(kubeconfig(tmp_path, "http://127.0.0.1:1")))
    with pytest.raises(Unavailable):
        await client.get("/api/v1/pods")
    await client.aclose()


async def test_what_is_sent(tmp_path: Path) -> None:
    seen: list[tuple[str, str, str, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.text()
        content = request.headers.get("Content-Type", "").partition(";")[0]
        seen.append((request.method, request.path_qs, content, json.loads(body) if body else None))
        assert request.headers["Authorization"] == "Bearer first"
        return web.json_response({"metadata": {"unknownField": 1}})

    async with served(tmp_path, handler) as client:
        assert await client.get("/x", params={"watch": False}) == {"metadata": {"unknownField": 1}}
        await client.patch("/x", {"a": 1}, content_type=APPLY_PATCH, params={"force": True})
        await client.patch("/x", [{"op": "test"}], content_type=JSON_PATCH)
        await client.patch("/x", {"a": None}, params={"fieldManager": "kubectl-edit"})
        await client.create("/x", {"a": 1})
    assert [entry for entry in seen if entry[0] != "GET"] == [
        ("PATCH", "/x?fieldManager=twinops&force=true", APPLY_PATCH, {"a": 1}),
        ("PATCH", "/x?fieldManager=twinops", JSON_PATCH, [{"op": "test"}]),
        ("PATCH", "/x?fieldManager=kubectl-edit", "application/merge-patch+json", {"a": None}),
        ("POST", "/x?fieldManager=twinops", "application/json", {"a": 1}),
    ]
    assert seen[0][:2] == ("GET", "/x?watch=false")


async def test_tokens_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = []

    async def handler(request: web.Request) -> web.StreamResponse:
        tokens.append(request.headers["Authorization"])
        return web.json_response({})

    async with served(tmp_path, handler) as client:
        await client.get("/x")
        (tmp_path / "token").write_text("second")
        await client.get("/x")
        monkeypatch.setattr(connection, "_TOKEN_PERIOD_SECONDS", 0)
        await client.get("/x")
    assert tokens == ["Bearer first", "Bearer first", "Bearer second"]


async def test_no_way_to_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        await KubeClient.connect(str(tmp_path / "missing"))


async def test_a_resource_whose_requests_hang_leaves_connections_to_others(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if "scaledobjects" in request.path:
            await asyncio.sleep(60)
        return web.json_response({})

    async with served(tmp_path, handler, timeout_seconds=3) as client:
        fenced = client.fenced(lambda: None, timeout_seconds=3)
        hanging = [
            asyncio.create_task(fenced.get("/apis/keda.sh/v1alpha1/namespaces/x/scaledobjects")) for _ in range(150)
        ]
        await asyncio.sleep(0.2)
        for path in ("/apis/apps/v1/namespaces/x/deployments/y", "/apis/coordination.k8s.io/v1/namespaces/x/leases/y"):
            await asyncio.wait_for(client.get(path), 2)
        with pytest.raises(Unavailable):
            await client.get("/apis/keda.sh/v1alpha1/namespaces/x/scaledobjects", timeout_seconds=0.2)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_nothing_is_looked_up_in_a_thread_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread pool that others keep busy must not hold up a renewal; and a netrc file has no say."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password of-another-tenant\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.json_response({})

    async with served(tmp_path, handler) as client:
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", None)
        await client.get("/api/v1/pods")
    assert seen == ["Bearer first"]


@pytest.mark.parametrize(
    ("environment", "through_proxy"),
    [
        pytest.param({"http_proxy": "PROXY"}, True, id="for all"),
        pytest.param({"http_proxy": "PROXY", "no_proxy": "127.0.0.1"}, False, id="not for this host"),
        pytest.param({"https_proxy": "PROXY"}, False, id="for another scheme"),
    ],
)
async def test_a_proxy_from_the_environment_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    through_proxy: bool,  # noqa: FBT001 - a table case
) -> None:
    async def direct(_: web.Request) -> web.StreamResponse:
        return web.json_response({"by": "server"})

    async def proxy(request: web.Request) -> web.StreamResponse:
        assert str(request.url).endswith("/api/v1/pods")
        return web.json_response({"by": "proxy"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy)
    async with TestServer(app) as middle:
        for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value.replace("PROXY", str(middle.make_url(""))))
        async with served(tmp_path, direct) as client:
            answer = await client.get("/api/v1/pods")
    assert answer == {"by": "proxy" if through_proxy else "server"}


def event(kind: str, **body: Any) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


async def watched(directory: Path, *pieces: bytes, status: int = 200, silence: float = 5) -> list[dict[str, Any]]:
    """Watch a server that sends these pieces and then ends; with an empty piece it falls silent instead."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.query_string)
        if status != 200:
            return web.json_response({"message": "no"}, status=status)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            if not piece:
                await asyncio.sleep(silence * 10)
            await response.write(piece)
            await asyncio.sleep(0)
        return response

    opened: list[bool] = []
    async with served(directory, handler) as client:
        events = client.for_watches().watch(
            "/api/v1/pods",
            version="7",
            timeout_seconds=300,
            silence_seconds=silence,
            opened=lambda: opened.append(True),
        )
        found = [one async for one in events]
    assert asked == ["watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300"]
    assert opened == [True]
    return found


async def test_events_of_a_watch_however_they_are_cut_to_pieces(tmp_path: Path) -> None:
    large = event("MODIFIED", name="b", text="x" * 300_000)
    whole = event("ADDED", name="a") + large + event("BOOKMARK", name="c")
    pieces = [whole[:5], whole[5:40], whole[40:200_000], whole[200_000:]]

    found = await watched(tmp_path, *pieces)

    assert [(one["type"], one["object"]["name"]) for one in found] == [
        ("ADDED", "a"),
        ("MODIFIED", "b"),
        ("BOOKMARK", "c"),
    ]


@pytest.mark.parametrize(
    ("pieces", "status", "error", "code"),
    [
        pytest.param([event("ERROR", code=410, message="too old")], 200, Unavailable, 410, id="too old a version"),
        pytest.param([event("ERROR", message="?")], 200, Unavailable, 500, id="an error without a code"),
        pytest.param([b"{]\n"], 200, Unavailable, 0, id="no JSON"),
        pytest.param([b"[]\n"], 200, Unavailable, 0, id="no object"),
        pytest.param([b'{"type":"ADDED"}\n'], 200, Unavailable, 0, id="an event without an object"),
        pytest.param([], 403, Refused, 403, id="forbidden"),
        pytest.param([], 404, NotFound, 404, id="not served"),
        pytest.param([event("ADDED", name="a"), b""], 200, Unavailable, 0, id="silence"),
    ],
)
async def test_a_watch_that_fails(
    tmp_path: Path, pieces: list[bytes], status: int, error: type[ClusterError], code: int
) -> None:
    with pytest.raises(error) as failed:
        await watched(tmp_path, *pieces, status=status, silence=0.2)

    assert failed.value.status == code


async def test_an_endless_event_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LONGEST_EVENT", 1000)

    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        await watched(tmp_path, b"x" * 2000)
